/** What happens to a generation, and to the files it reads, when its last waiter leaves. */
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

describe("a generation whose last waiter leaves", () => {
  test("a generation whose last waiter leaves continues for a moment, and is then cancelled", () => {
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

  test("a generation whose last waiter leaves is joined, not started again, by a reader who comes in time", () => {
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

  test("a generation continues for a whole moment again each time its last waiter leaves", () => {
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

  test("a generation whose last waiter leaves becomes the file's content if it succeeds in time", () => {
    using fs = served();
    fs.pending("/a");
    const reader = opening(fs, "/a");
    fs.stage("working");
    fs.kernel.interrupt(reader);
    fs.content("text");
    fs.pass(GRACE_MS);
    expect([fs.cat("/a"), fs.cancelled]).toEqual(["text", []]);
  });

  test("a generation may still fail after its last waiter left: that is then the reason why the file has no content", () => {
    using fs = served();
    fs.pending("/a");
    const reader = opening(fs, "/a");
    fs.stage("working");
    fs.kernel.interrupt(reader);
    fs.failed("EIO", "the model is ill");
    fs.pass(GRACE_MS);
    expect([state(fs, "/a"), fs.cancelled]).toEqual(["failed", []]);
  });

  test("a generation without waiters is cancelled sooner if another one is held up, before or after the last waiter leaves", () => {
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

  test("a generation without waiters is not cancelled sooner if the one that was held up has ended or begun", () => {
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

describe("a generation without waiters", () => {
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
    test(`a generation without waiters is not used for a reader who has changed ${what}`, () => {
      using fs = interrupted();
      const { ticket } = fs;
      change(fs);
      opening(fs, "/a", 200);
      expect([fs.requests.length, fs.cancelled]).toEqual([2, [ticket]]);
      fs.content("text");
    });
  }

  test("a generation without waiters is used for the interrupted reader, whatever others have written in the meantime", () => {
    using fs = interrupted();
    changes["the names in the tree"]?.(fs);
    opening(fs, "/a", 100);
    expect([fs.requests.length, fs.cancelled]).toEqual([1, []]);
    fs.content("text");
  });

  test("a generation without waiters is not used for the interrupted reader who has changed the prompt", () => {
    using fs = interrupted();
    changes["the file's own prompt"]?.(fs);
    opening(fs, "/a", 100);
    expect([fs.requests.length, fs.cancelled.length]).toEqual([2, 1]);
    fs.content("text");
  });

  test("a generation without waiters is repeated with another prompt on request", () => {
    using fs = interrupted();
    const value = Buffer.from("again:shorter");
    const request = { name: "user.llmfs.regen", value, size: value.length, flags: 0 };
    fs.kernel.call("setxattr", fs.node("/a"), request, { pid: 200 });
    opening(fs, "/a", 200);
    expect(fs.requests.map(({ prompts }) => prompts)).toEqual([[], ["shorter"]]);
    fs.content("text");
  });
});

describe("a generation that has not begun when its last waiter leaves", () => {
  for (const stage of ["preparing", "queued"] as const) {
    test(`a generation that has not begun when its last waiter leaves is cancelled at once while it is ${stage}`, () => {
      using fs = served();
      fs.pending("/a");
      const reader = opening(fs, "/a");
      fs.stage(stage);
      fs.kernel.interrupt(reader);
      expect([fs.cancelled, state(fs, "/a")]).toEqual([[fs.ticket], "pending"]);
    });
  }

  test("a generation that has not begun when its last waiter leaves is cancelled when it turns out that it has to wait before it continues", () => {
    using fs = served();
    fs.pending("/a");
    const reader = opening(fs, "/a");
    fs.stage("working");
    fs.kernel.interrupt(reader);
    fs.stage("queued");
    expect(fs.cancelled).toEqual([fs.ticket]);
  });
});

test("a generation for its own sake continues when a reader who waited for it leaves", () => {
  using fs = served();
  fs.pending("/view", { "user.llmfs.refresh": "0.000001s stale" });
  opening(fs, "/view");
  fs.content("first");
  opening(fs, "/view");
  const { ticket } = fs;
  // The old content is no longer served: this reader waits for the generation that began in the background.
  setXattr(fs.tree.resolve("/view", { follow: false }), "user.llmfs.refresh", Buffer.from("0.000001s"));
  const reader = opening(fs, "/view");
  expect(fs.ticket).toBe(ticket);
  fs.kernel.interrupt(reader);
  fs.pass(GRACE_MS);
  expect([fs.kernel.outcome(reader), fs.cancelled]).toEqual([{ error: "EINTR" }, []]);
});

describe("a file that another one is generated from", () => {
  /** The generator of /a reads /b, and that of /b reads /c. A generator that reads is not working. */
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

  test("a file that another one is generated from is cancelled with that file, through the whole chain, after one moment in all", () => {
    using fs = served();
    const { reader, a, b, c, heardByA, heardByB } = chain(fs);
    fs.kernel.interrupt(reader);
    expect([fs.cancelled, heardByA, heardByB]).toEqual([[a, b], ["EINTR"], ["EINTR"]]);
    fs.pass(GRACE_MS - 1);
    expect(fs.cancelled).toEqual([a, b]);
    fs.pass(1);
    expect(fs.cancelled).toEqual([a, b, c]);
  });

  test("a file that another one is generated from is cancelled with that file after one moment in all, even if both were working", () => {
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

  test("a file that another one is generated from continues to be generated if another reader or generator waits for it", () => {
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

  test("the next reader in time joins the generation, beginning with the file that it is generated from", () => {
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
    test(`a file is no longer needed by a file that ${how}`, () => {
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

  test("a file may be generated from several others, or read the same one twice", () => {
    using fs = served();
    for (const path of ["/a", "/b", "/c"]) fs.pending(path);
    const reader = opening(fs, "/a");
    const { ticket } = fs;
    const heard = ["/b", "/b", "/c"].map((path) => reading(fs, path, ticket));
    fs.kernel.interrupt(reader);
    expect(heard).toEqual([["EINTR"], ["EINTR"], ["EINTR"]]);
    expect(fs.cancelled).toEqual(fs.requests.map(({ ticket }) => ticket));
  });

  test("a file may need a directory to be listed first, or a name to be looked up", () => {
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

  test("a file cannot be read on behalf of a generation that has ended", () => {
    using fs = served();
    fs.pending("/a");
    fs.pending("/b");
    const reader = opening(fs, "/a");
    const { ticket } = fs;
    fs.kernel.interrupt(reader);
    expect(() => reading(fs, "/b", ticket)).toThrow("has ended");
    expect(fs.requests).toHaveLength(1);
  });

  test("a chain of files that are generated from each other may have any length", () => {
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

describe("a file that is generated for every reader", () => {
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

  test("a file that is generated for every reader is not generated again for an interrupted reader who retries", () => {
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

  test("a file that is generated for every reader is generated at once for the next reader when the last reader of the current generation leaves", () => {
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

  test("a file that is generated for every reader is generated at once for another reader: an earlier generation without readers is cancelled", () => {
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
