/** What becomes of a generation when the last one who waits for it leaves, and of what was to be generated for it. */
import { describe, expect, test } from "bun:test";
import { GRACE_MS, SHORT_GRACE_MS } from "../../../src/fs/waiting/grace.ts";
import { setXattr } from "../../../src/tree/xattrs.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

/** An open that may wait. */
function opening(fs: ServedTree, path: string, pid = 4711): number {
  return fs.kernel.start("open", fs.node(path), { flags: 0 }, { pid });
}

/** The generator of one file reads another. */
function reading(fs: ServedTree, path: string, ticket: number): string[] {
  const heard: string[] = [];
  fs.answers.read(
    path,
    ticket,
    (bytes) => void heard.push(Buffer.from(bytes).toString()),
    ({ code }) => void heard.push(code),
  );
  return heard;
}

const state = (fs: ServedTree, path: string) =>
  fs.kernel.call("getxattr", fs.node(path), { name: "user.llmfs.state", size: 99 }).toString();

describe("work that is under way when its last waiter leaves", () => {
  test("goes on for a moment, and is called off then", () => {
    using fs = served();
    fs.pending("/a");
    const reader = opening(fs, "/a");
    fs.stage("working");
    fs.kernel.interrupt(reader);
    expect(fs.kernel.outcome(reader)).toEqual({ error: "EINTR" });
    fs.pass(GRACE_MS - 1);
    expect([fs.cancelled, state(fs, "/a")]).toEqual([[], "generating"]);
    fs.pass(1);
    expect([fs.cancelled, state(fs, "/a")]).toEqual([[fs.ticket], "pending"]);
    expect(fs.timers.due).toBeUndefined();
  });

  test("is found by whoever comes in time, is not begun again, and goes on as long as that one waits", () => {
    using fs = served();
    fs.pending("/a");
    const first = opening(fs, "/a");
    fs.stage("working");
    fs.kernel.interrupt(first);
    fs.pass(GRACE_MS - 1);
    const second = opening(fs, "/a");
    fs.pass(10 * GRACE_MS);
    expect([fs.requests.length, fs.cancelled]).toEqual([1, []]);
    fs.content("text");
    expect(fs.kernel.outcome(second)).toHaveProperty("value");
    expect(fs.timers.due).toBeUndefined();
  });

  test("has a whole moment again each time it is left", () => {
    using fs = served();
    fs.pending("/a");
    for (let time = 0; time < 5; time++) {
      const reader = opening(fs, "/a");
      fs.stage("working");
      fs.kernel.interrupt(reader);
      fs.pass(GRACE_MS - 1);
    }
    expect([fs.requests.length, fs.cancelled]).toEqual([1, []]);
  });

  test("is the file's content if it succeeds in time", () => {
    using fs = served();
    fs.pending("/a");
    const reader = opening(fs, "/a");
    fs.stage("working");
    fs.kernel.interrupt(reader);
    fs.content("text");
    fs.pass(GRACE_MS);
    expect([fs.cat("/a"), fs.cancelled]).toEqual(["text", []]);
  });

  test("may fail in time: then that is why the file has no content", () => {
    using fs = served();
    fs.pending("/a");
    const reader = opening(fs, "/a");
    fs.stage("working");
    fs.kernel.interrupt(reader);
    fs.failed("EIO", "the model is ill");
    fs.pass(GRACE_MS);
    expect([state(fs, "/a"), fs.cancelled]).toEqual(["failed", []]);
  });

  test("gives way sooner to somebody who is held up, whether they come before or after", () => {
    for (const late of [false, true]) {
      using fs = served();
      fs.pending("/a");
      fs.pending("/b");
      const reader = opening(fs, "/a");
      const { ticket } = fs;
      fs.stage("working");
      const other = () => {
        opening(fs, "/b");
        fs.stage("queued");
      };
      if (!late) other();
      fs.kernel.interrupt(reader);
      fs.pass(SHORT_GRACE_MS - 1);
      expect(fs.cancelled).toEqual([]);
      if (late) fs.pass(GRACE_MS - SHORT_GRACE_MS - 1);
      if (late) other();
      else fs.pass(1);
      expect(fs.cancelled).toEqual([ticket]);
    }
  });

  test("does not give way to somebody who has gone, or whose turn has come", () => {
    using fs = served();
    for (const path of ["/a", "/b", "/c"]) fs.pending(path);
    const reader = opening(fs, "/a");
    const { ticket } = fs;
    fs.stage("working");
    const gone = opening(fs, "/b");
    fs.stage("queued");
    const called = fs.ticket;
    fs.kernel.interrupt(gone);
    opening(fs, "/c");
    fs.stage("queued");
    fs.stage("working");
    fs.kernel.interrupt(reader);
    fs.pass(GRACE_MS - 1);
    expect(fs.cancelled).toEqual([called]);
    fs.pass(1);
    expect(fs.cancelled).toEqual([called, ticket]);
  });
});

describe("work that nobody waits for", () => {
  /** What is done to the tree after the reader of /a was interrupted. */
  const changes: Readonly<Record<string, (fs: ServedTree) => void>> = {
    "the file's own prompt": (fs) => setPrompt(fs, "/a"),
    "a prompt above it": (fs) => setPrompt(fs, "/"),
    "a file that may be shown with it"(fs) {
      const file = fs.open("/notes", 1);
      fs.write(file, "other");
      fs.kernel.release(file.nodeid, file.fh);
    },
    "the names in the tree": (fs) => void fs.kernel.call("mkdir", ROOT, { name: "more", mode: 0o755, umask: 0 }),
  };

  function setPrompt(fs: ServedTree, path: string): void {
    const value = Buffer.from("shorter");
    const request = { name: "user.llmfs.prompt", value, size: value.length, flags: 0 };
    fs.kernel.call("setxattr", path === "/" ? ROOT : fs.node(path), request);
  }

  function interrupted(): ServedTree {
    const fs = served();
    fs.pending("/a");
    fs.file("/notes", "some");
    const reader = opening(fs, "/a", 100);
    fs.stage("working");
    fs.kernel.interrupt(reader);
    return fs;
  }

  for (const [what, change] of Object.entries(changes)) {
    test(`is not what somebody gets who has changed ${what}`, () => {
      using fs = interrupted();
      const { ticket } = fs;
      change(fs);
      opening(fs, "/a", 200);
      expect([fs.requests.length, fs.cancelled]).toEqual([2, [ticket]]);
      fs.content("text");
    });
  }

  test("is what the interrupted reader gets, whatever others have written in the meantime", () => {
    using fs = interrupted();
    changes["the names in the tree"]?.(fs);
    opening(fs, "/a", 100);
    expect([fs.requests.length, fs.cancelled]).toEqual([1, []]);
    fs.content("text");
  });

  test("is not what the interrupted reader gets who has changed the prompt", () => {
    using fs = interrupted();
    changes["the file's own prompt"]?.(fs);
    opening(fs, "/a", 100);
    expect([fs.requests.length, fs.cancelled.length]).toEqual([2, 1]);
    fs.content("text");
  });

  test("is made again with another prompt when somebody asks for that", () => {
    using fs = interrupted();
    const value = Buffer.from("again:shorter");
    const request = { name: "user.llmfs.regen", value, size: value.length, flags: 0 };
    fs.kernel.call("setxattr", fs.node("/a"), request, { pid: 200 });
    opening(fs, "/a", 200);
    expect(fs.requests.map(({ prompts }) => prompts)).toEqual([[], ["shorter"]]);
    fs.content("text");
  });
});

describe("what has not begun when its last waiter leaves", () => {
  for (const stage of ["preparing", "queued"] as const) {
    test(`is called off at once while it is ${stage}`, () => {
      using fs = served();
      fs.pending("/a");
      const reader = opening(fs, "/a");
      fs.stage(stage);
      fs.kernel.interrupt(reader);
      expect([fs.cancelled, state(fs, "/a")]).toEqual([[fs.ticket], "pending"]);
    });
  }

  test("is called off when it turns out that it has to wait before it goes on", () => {
    using fs = served();
    fs.pending("/a");
    const reader = opening(fs, "/a");
    fs.stage("working");
    fs.kernel.interrupt(reader);
    fs.stage("queued");
    expect(fs.cancelled).toEqual([fs.ticket]);
  });
});

test("what is made for its own sake goes on when somebody who waited for it leaves", () => {
  using fs = served();
  fs.pending("/view", { "user.llmfs.refresh": "0.000001s stale" });
  opening(fs, "/view");
  fs.content("first");
  opening(fs, "/view");
  const { ticket } = fs;
  // Nobody serves the old content any longer: this one waits for the renewal that began for nobody.
  setXattr(fs.tree.resolve("/view", { follow: false }), "user.llmfs.refresh", Buffer.from("0.000001s"));
  const reader = opening(fs, "/view");
  expect(fs.ticket).toBe(ticket);
  fs.kernel.interrupt(reader);
  fs.pass(GRACE_MS);
  expect([fs.kernel.outcome(reader), fs.cancelled]).toEqual([{ error: "EINTR" }, []]);
});

describe("what a file is made from", () => {
  /** The reader of /a has its generator read /b, and that one's reads /c. Whoever reads is not working meanwhile. */
  function chain(fs: ServedTree) {
    for (const path of ["/a", "/b", "/c"]) fs.pending(path);
    const reader = opening(fs, "/a");
    const a = fs.ticket;
    const heardByA = reading(fs, "/b", a);
    const b = fs.ticket;
    const heardByB = reading(fs, "/c", b);
    const c = fs.ticket;
    fs.stage("working", c);
    return { reader, a, b, c, heardByA, heardByB };
  }

  test("is called off with it, all the way down, after one moment in all", () => {
    using fs = served();
    const { reader, a, b, c, heardByA, heardByB } = chain(fs);
    fs.kernel.interrupt(reader);
    expect([fs.cancelled, heardByA, heardByB]).toEqual([[a, b], ["EINTR"], ["EINTR"]]);
    fs.pass(GRACE_MS - 1);
    expect(fs.cancelled).toEqual([a, b]);
    fs.pass(1);
    expect(fs.cancelled).toEqual([a, b, c]);
  });

  test("is called off with it after one moment in all, although both were working", () => {
    using fs = served();
    const { reader, a, b, c } = chain(fs);
    fs.stage("working", a);
    fs.stage("working", b);
    fs.kernel.interrupt(reader);
    fs.pass(GRACE_MS - 1);
    expect(fs.cancelled).toEqual([]);
    fs.pass(1);
    expect(fs.cancelled).toEqual([a, b, c]);
  });

  test("goes on if somebody else wants it: a reader, or another generator", () => {
    for (const other of ["reader", "generator"]) {
      using fs = served();
      const { reader, a, b, c } = chain(fs);
      let heard: string[] = [];
      if (other === "reader") opening(fs, "/c");
      else {
        fs.pending("/d");
        opening(fs, "/d");
        heard = reading(fs, "/c", fs.ticket);
      }
      fs.kernel.interrupt(reader);
      fs.pass(10 * GRACE_MS);
      expect(fs.cancelled).toEqual([a, b]);
      fs.content("text", c);
      expect(heard).toEqual(other === "reader" ? [] : ["text"]);
    }
  });

  test("is found by the next reader in time, who begins with what comes before it", () => {
    using fs = served();
    const { reader, c } = chain(fs);
    fs.kernel.interrupt(reader);
    opening(fs, "/a");
    reading(fs, "/b", fs.ticket);
    const heard = reading(fs, "/c", fs.ticket);
    fs.pass(10 * GRACE_MS);
    fs.content("text", c);
    expect([heard, fs.requests.map(({ path }) => path)]).toEqual([["text"], ["/a", "/b", "/c", "/a", "/b"]]);
  });

  for (const how of ["fails", "is written by hand", "is there without it"]) {
    test(`is not wanted any longer on behalf of a file that ${how}`, () => {
      using fs = served();
      const { reader, a, b, c, heardByA } = chain(fs);
      if (how === "fails") fs.failed("ETIMEDOUT", "too late", a);
      else if (how === "is there without it") fs.content("text", a);
      else {
        const { nodeid, fh } = fs.open("/a", 0o1001);
        fs.kernel.release(nodeid, fh);
      }
      expect(fs.kernel.outcome(reader)).toBeDefined();
      expect([heardByA, fs.cancelled.filter((ticket) => ticket !== a)]).toEqual([["EINTR"], [b]]);
      fs.pass(GRACE_MS);
      expect(fs.cancelled).toContain(c);
    });
  }

  test("may be several files, and the same one twice", () => {
    using fs = served();
    for (const path of ["/a", "/b", "/c"]) fs.pending(path);
    const reader = opening(fs, "/a");
    const { ticket } = fs;
    const heard = ["/b", "/b", "/c"].map((path) => reading(fs, path, ticket));
    fs.kernel.interrupt(reader);
    expect(heard).toEqual([["EINTR"], ["EINTR"], ["EINTR"]]);
    expect(fs.cancelled).toEqual(fs.requests.map(({ ticket }) => ticket));
  });

  test("may be a directory that is listed first, or a name that is looked up", () => {
    using fs = served({ listing: true, named: [{ match: "named/{name}", generator: "shop" }] });
    fs.pending("/a");
    fs.directory("/named");
    setXattr(fs.directory("/d"), "user.llmfs.generator", Buffer.from("shop"));
    const reader = opening(fs, "/a");
    const { ticket } = fs;
    const heard = [reading(fs, "/d/file", ticket), reading(fs, "/named/7", ticket)];
    fs.kernel.interrupt(reader);
    expect(heard).toEqual([["EINTR"], ["EINTR"]]);
    expect(fs.cancelled).toHaveLength(3);
  });

  test("cannot be read on behalf of a generation that is over", () => {
    using fs = served();
    fs.pending("/a");
    fs.pending("/b");
    const reader = opening(fs, "/a");
    const { ticket } = fs;
    fs.kernel.interrupt(reader);
    expect(() => reading(fs, "/b", ticket)).toThrow("over");
    expect(fs.requests).toHaveLength(1);
  });

  test("may be as long a chain as you like", () => {
    using fs = served();
    const length = 20_000;
    fs.pending("/0");
    const reader = opening(fs, "/0");
    for (let at = 1; at < length; at++) {
      const requester = fs.mount.waiters.get(at);
      if (requester === undefined) throw new Error(`there is no generation ${at}`);
      fs.mount.pending.wait(fs.pending(`/${at}`), { requester, done: () => {}, fail: () => {} });
    }
    fs.kernel.interrupt(reader);
    expect(fs.cancelled).toHaveLength(length);
  });
});

describe("a file that is made again for every reader", () => {
  function view(fs: ServedTree): void {
    fs.pending("/view", { "user.llmfs.refresh": "always" });
    const outcome = fs.kernel.outcome<"open">(answered(fs, "first"));
    if (outcome === undefined || "error" in outcome) throw new Error("it was not opened");
    fs.kernel.release(fs.node("/view"), outcome.value.fh);
  }

  function answered(fs: ServedTree, content: string): number {
    const unique = opening(fs, "/view");
    fs.content(content);
    return unique;
  }

  test("is not made again for the reader who was interrupted and tries again", () => {
    using fs = served();
    view(fs);
    const first = opening(fs, "/view", 100);
    fs.stage("working");
    fs.kernel.interrupt(first);
    const second = opening(fs, "/view", 100);
    expect(fs.requests).toHaveLength(2);
    fs.content("second");
    expect(fs.kernel.outcome(second)).toHaveProperty("value");
    expect(fs.cancelled).toEqual([]);
  });

  test("is made again at once for a reader who waited for the next one when the last of those before has gone", () => {
    using fs = served();
    view(fs);
    const first = opening(fs, "/view", 100);
    const { ticket } = fs;
    fs.stage("working");
    const second = opening(fs, "/view", 200);
    expect(fs.requests).toHaveLength(2);
    fs.kernel.interrupt(first);
    expect([fs.requests.length, fs.cancelled]).toEqual([3, [ticket]]);
    fs.content("third");
    expect(fs.kernel.outcome(second)).toHaveProperty("value");
  });

  test("is made again at once for another reader: what was begun earlier is called off", () => {
    using fs = served();
    view(fs);
    const first = opening(fs, "/view", 100);
    const { ticket } = fs;
    fs.stage("working");
    fs.kernel.interrupt(first);
    opening(fs, "/view", 200);
    expect([fs.requests.length, fs.cancelled]).toEqual([3, [ticket]]);
    fs.content("third");
    expect(fs.cancelled).toEqual([ticket]);
  });
});
