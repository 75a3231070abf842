/** Regenerating a file and undoing that: what readers see, through the in-memory kernel. */

import { describe, expect, spyOn, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import { type ServedTree, served } from "../../support/served.ts";

interface Open {
  readonly unique: number;
  readonly nodeid: number;
  readonly pid: number;
  readonly path: string;
}

let thread = 5000;

function start(fs: ServedTree, path: string, pid = ++thread): Open {
  const nodeid = fs.node(path);
  return { unique: fs.kernel.start("open", nodeid, { flags: 0 }, { pid }), nodeid, pid, path };
}

/** What a reader gets; as the kernel's open(2) does, it looks up the name again after one ESTALE. */
function read(fs: ServedTree, open: Open, again = true): string {
  const outcome = fs.kernel.outcome<"open">(open.unique);
  if (outcome === undefined) return "waiting";
  if ("error" in outcome) {
    return outcome.error === "ESTALE" && again ? read(fs, start(fs, open.path, open.pid), false) : outcome.error;
  }
  const text = fs.kernel.readAll(open.nodeid, outcome.value.fh).toString();
  fs.kernel.release(open.nodeid, outcome.value.fh);
  return text;
}

const cat = (fs: ServedTree, path = "/poem") => read(fs, start(fs, path));

/** As `llmfs regen` does it: announces the regeneration and opens the file, in one thread. */
function demand(fs: ServedTree, value = "again", path = "/poem", pid = ++thread): Open {
  set(fs, value, path, pid);
  return start(fs, path, pid);
}

function xattrRequest(name: string, value: string) {
  return { name: `user.llmfs.${name}`, value: Buffer.from(value), size: Buffer.byteLength(value), flags: 0 };
}

function set(fs: ServedTree, value: string, path = "/poem", pid = ++thread): void {
  const request = xattrRequest("regen", value);
  fs.kernel.call("setxattr", fs.node(path), request, { pid });
}

function refused(fs: ServedTree, value: string, path = "/poem"): string {
  const request = xattrRequest("regen", value);
  return fs.kernel.errno("setxattr", fs.node(path), request, { pid: ++thread });
}

function xattr(fs: ServedTree, name: string, path = "/poem"): string {
  return fs.kernel.call("getxattr", fs.node(path), { name: `user.llmfs.${name}`, size: 4096 }).toString();
}

/** A file that was generated once: "first". */
function poem(fs: ServedTree, xattrs: Readonly<Record<string, string>> = {}): void {
  fs.pending("/poem", xattrs);
  const reader = start(fs, "/poem");
  fs.content("first", undefined, { model: "m1" });
  expect(read(fs, reader)).toBe("first");
}

describe("a regenerated file", () => {
  test("a regenerated file is requested without earlier answers, and gets the new content", () => {
    using fs = served();
    poem(fs);
    const regeneration = demand(fs);
    expect(read(fs, regeneration)).toBe("waiting");
    expect(fs.requests.at(-1)).toMatchObject({ path: "/poem", again: true, pause: 0 });
    fs.content("second", undefined, { model: "m2" });
    expect(read(fs, regeneration)).toBe("second");
    expect(cat(fs)).toBe("second");
    expect([xattr(fs, "state"), xattr(fs, "meta.model")]).toEqual(["ready", "m2"]);
    expect(fs.requests).toHaveLength(2);
  });

  test("a regenerated file keeps what somebody wrote to it during the generation", () => {
    using fs = served();
    poem(fs);
    const regeneration = demand(fs);
    const hand = fs.open("/poem", 1);
    fs.clock.tick();
    fs.write(hand, "mine!");
    fs.kernel.release(hand.nodeid, hand.fh);
    fs.content("second");
    expect(read(fs, regeneration)).toBe("EBUSY");
    expect([cat(fs), xattr(fs, "state")]).toEqual(["mine!", "static"]);
  });

  test("a regenerated file gets another inode, and programs keep the old one open", () => {
    using fs = served();
    poem(fs);
    const old = fs.open("/poem");
    const regeneration = demand(fs);
    fs.content("second");
    expect(read(fs, regeneration)).toBe("second");
    expect(fs.node("/poem")).not.toBe(old.nodeid);
    expect(fs.kernel.readAll(old.nodeid, old.fh).toString()).toBe("first");
    fs.kernel.release(old.nodeid, old.fh);
  });

  test("a regenerated file shows the old content until the new one is complete", () => {
    using fs = served();
    poem(fs);
    const regeneration = demand(fs);
    expect(cat(fs)).toBe("first");
    fs.content("second");
    expect([cat(fs), read(fs, regeneration)]).toEqual(["second", "second"]);
  });

  test("a regenerated file has the new content under all its names, with its owner, mode and attributes", () => {
    using fs = served();
    poem(fs, { "user.llmfs.prompt": "a poem", "user.mine": "x" });
    fs.kernel.call("link", 1, { oldnodeid: fs.node("/poem"), name: "song" });
    fs.kernel.call("setattr", fs.node("/poem"), { valid: 7, mode: 0o100600, uid: 7, gid: 8 });
    const regeneration = demand(fs);
    fs.content("second");
    expect([read(fs, regeneration), cat(fs, "/song")]).toEqual(["second", "second"]);
    expect(fs.kernel.stat(fs.node("/song"))).toMatchObject({ nlink: 2, uid: 7, gid: 8, mode: 0o100600 });
    expect(xattr(fs, "prompt")).toBe("a poem");
  });

  test("a regenerated file is requested by its first name and replaced under all names without a walk through the tree", () => {
    using fs = served();
    for (const directory of ["/b", "/a", "/a/z", "/a.d"]) fs.directory(directory);
    fs.kernel.call("setxattr", fs.node("/a"), xattrRequest("prompt", "of a"));
    poem(fs);
    const nodeid = fs.node("/poem");
    for (const directory of ["/b", "/a.d", "/a/z"]) {
      for (let count = 0; count < 20; count++)
        fs.kernel.call("link", fs.node(directory), { oldnodeid: nodeid, name: `link${count}` });
    }
    const held = fs.open("/poem");
    fs.kernel.call("unlink", 1, { name: "poem" });
    const walk = spyOn(fs.tree, "walk");
    const regeneration = demand(fs, "again", "/b/link7");
    expect(fs.requests.at(-1)).toMatchObject({ path: "/a/z/link0", prompts: ["of a"] });
    fs.content("second");
    expect(walk).not.toHaveBeenCalled();
    expect([read(fs, regeneration), cat(fs, "/a.d/link19")]).toEqual(["second", "second"]);
    expect(fs.kernel.stat(fs.node("/a/z/link0")).nlink).toBe(60);
    fs.kernel.release(held.nodeid, held.fh);
  });

  test("a regenerated file is followed when it is renamed during the generation; its old name is not", () => {
    using fs = served();
    poem(fs);
    demand(fs);
    fs.kernel.call("rename", 1, { name: "poem", newdir: 1, newname: "moved" });
    fs.file("/poem", "another");
    fs.content("second");
    expect([cat(fs, "/moved"), cat(fs)]).toEqual(["second", "another"]);
  });

  test("regenerating a file that is unlinked in the meantime is an error and leaves nothing", () => {
    using fs = served();
    poem(fs);
    const regeneration = demand(fs);
    fs.kernel.call("unlink", 1, { name: "poem" });
    fs.content("second");
    const outcome = fs.kernel.outcome<"open">(regeneration.unique);
    expect(outcome).toEqual({ error: "ESTALE" });
    expect(fs.ls("/").filter((name) => !name.startsWith("."))).toEqual([]);
  });

  test("the thread that announced a regeneration starts it with its next open, and no other thread does", () => {
    using fs = served();
    poem(fs);
    const pid = ++thread;
    set(fs, "again", "/poem", pid);
    expect(cat(fs)).toBe("first");
    expect(fs.requests).toHaveLength(1);
    const regeneration = start(fs, "/poem", pid);
    expect(fs.requests).toHaveLength(2);
    fs.content("second");
    expect(read(fs, regeneration)).toBe("second");
    expect(read(fs, start(fs, "/poem", pid))).toBe("second");
    expect(fs.requests).toHaveLength(2);
  });

  test("a file can be regenerated again by the same thread at once", () => {
    using fs = served();
    poem(fs);
    const held = fs.open("/poem");
    const pid = ++thread;
    for (const content of ["second", "third", "fourth"]) {
      const regeneration = demand(fs, "again", "/poem", pid);
      fs.content(content);
      expect(read(fs, regeneration)).toBe(content);
    }
    fs.kernel.release(held.nodeid, held.fh);
  });

  test("an announced regeneration is started even if the thread opens other files first", () => {
    using fs = served();
    poem(fs);
    fs.file("/other", "x");
    const pid = ++thread;
    set(fs, "again", "/poem", pid);
    expect(read(fs, start(fs, "/other", pid))).toBe("x");
    const regeneration = start(fs, "/poem", pid);
    fs.content("second");
    expect(read(fs, regeneration)).toBe("second");
  });

  test("a thread may announce up to four regenerations before it opens any; a fifth is EBUSY", () => {
    using fs = served();
    const paths = ["/a", "/b", "/c", "/d", "/e"];
    for (const path of paths) fs.file(path, "by hand");
    const pid = ++thread;
    for (const path of paths.slice(0, 4)) set(fs, "again", path, pid);
    const request = xattrRequest("regen", "again");
    expect(fs.kernel.errno("setxattr", fs.node("/e"), request, { pid })).toBe("EBUSY");
    set(fs, "again:in verse", "/a", pid);
    for (const path of paths.slice(0, 4)) {
      const regeneration = start(fs, path, pid);
      expect(fs.requests.at(-1)?.path).toBe(path);
      fs.content(`new ${path}`);
      expect(read(fs, regeneration)).toBe(`new ${path}`);
    }
    expect(fs.requests.find(({ path }) => path === "/a")?.prompts).toEqual(["in verse"]);
    set(fs, "again", "/e", pid);
  });

  test("a thread without a thread id in this namespace cannot announce a regeneration, as it could not be recognized again", () => {
    using fs = served();
    poem(fs);
    const request = xattrRequest("regen", "again");
    expect(fs.kernel.errno("setxattr", fs.node("/poem"), request, { pid: 0 })).toBe("EOPNOTSUPP");
    expect(read(fs, start(fs, "/poem", 0))).toBe("first");
    expect(fs.requests).toHaveLength(1);
  });

  test("a later thread with the same thread id does not start the regeneration", async () => {
    using fs = served();
    poem(fs);
    const child = Bun.spawn(["cat"], { stdin: "pipe" });
    set(fs, "again", "/poem", child.pid);
    child.kill();
    await child.exited;
    expect(read(fs, start(fs, "/poem", child.pid))).toBe("first");
    expect(fs.requests).toHaveLength(1);
  });

  test("a regenerated file is requested only once at a time", () => {
    using fs = served();
    poem(fs);
    const first = demand(fs);
    const second = demand(fs);
    expect(fs.kernel.outcome<"open">(second.unique)).toEqual({ error: "EBUSY" });
    fs.content("second");
    expect(read(fs, first)).toBe("second");
  });

  test("a prompt given for the regeneration is used, and is stored with the content", () => {
    using fs = served();
    fs.directory("/d");
    fs.kernel.call("setxattr", fs.node("/d"), xattrRequest("prompt", "in verse"));
    fs.pending("/d/poem", { "user.llmfs.prompt": "of the sea" });
    const reader = start(fs, "/d/poem");
    fs.content("first");
    expect(read(fs, reader)).toBe("first");
    const regeneration = demand(fs, "again:of the land", "/d/poem");
    expect(fs.requests.at(-1)?.prompts).toEqual(["in verse", "of the land"]);
    expect(xattr(fs, "prompt", "/d/poem")).toBe("of the sea");
    fs.content("second");
    expect(read(fs, regeneration)).toBe("second");
    expect(xattr(fs, "prompt", "/d/poem")).toBe("of the land");
    demand(fs, "again", "/d/poem");
    expect(fs.requests.at(-1)?.prompts).toEqual(["in verse", "of the land"]);
  });

  test("a regenerated file keeps its directories' prompts when its own prompt replaces an empty one", () => {
    using fs = served();
    fs.directory("/d");
    fs.kernel.call("setxattr", fs.node("/d"), xattrRequest("prompt", "in verse"));
    fs.pending("/d/poem", { "user.llmfs.prompt": "" });
    start(fs, "/d/poem");
    fs.content("first");
    demand(fs, "again:of the land", "/d/poem");
    expect(fs.requests.at(-1)?.prompts).toEqual(["in verse", "of the land"]);
  });

  test("a failed regeneration keeps the content; the caller gets the errno, and the reason can be read", () => {
    using fs = served();
    poem(fs);
    const regeneration = demand(fs, "again:worse");
    fs.failed("EDQUOT", "the budget is spent");
    expect(fs.kernel.outcome<"open">(regeneration.unique)).toEqual({ error: "EDQUOT" });
    expect([cat(fs), xattr(fs, "state"), xattr(fs, "regen")]).toEqual([
      "first",
      "ready",
      "EDQUOT: the budget is spent",
    ]);
    expect(refused(fs, "undo")).toBe("ENODATA");
    const next = demand(fs);
    fs.content("second");
    expect(read(fs, next)).toBe("second");
  });

  test("a regenerated file keeps its old content if there is no space for the new one", () => {
    using fs = served({ size: 8192 });
    poem(fs);
    const regeneration = demand(fs);
    fs.content("x".repeat(9000));
    expect(fs.kernel.outcome<"open">(regeneration.unique)).toEqual({ error: "ENOSPC" });
    expect(cat(fs)).toBe("first");
  });

  test("a regeneration is cancelled when its last waiter leaves, and its answer is dropped", () => {
    using fs = served();
    poem(fs);
    const regeneration = demand(fs);
    const ticket = fs.ticket;
    fs.kernel.interrupt(regeneration.unique);
    expect(fs.kernel.outcome<"open">(regeneration.unique)).toEqual({ error: "EINTR" });
    expect(fs.cancelled).toEqual([ticket]);
    fs.content("second", ticket);
    expect(cat(fs)).toBe("first");
    const next = demand(fs);
    fs.content("third");
    expect(read(fs, next)).toBe("third");
  });

  for (const stage of ["working", "queued"] as const) {
    test(`an interrupted reader who retries gets the regenerated content, even if it was ${stage}`, () => {
      using fs = served();
      poem(fs);
      const regeneration = demand(fs);
      fs.stage(stage);
      fs.kernel.interrupt(regeneration.unique);
      // Another reader gets the present content.
      expect(cat(fs)).toBe("first");
      const again = start(fs, "/poem", regeneration.pid);
      expect([read(fs, again), fs.requests.length]).toEqual(["waiting", stage === "working" ? 2 : 3]);
      fs.content("second");
      expect(read(fs, again)).toBe("second");
      expect(cat(fs)).toBe("second");
    });
  }

  test("an interrupted reader who retries after the regenerated content has arrived gets it", () => {
    using fs = served();
    poem(fs);
    const regeneration = demand(fs);
    fs.stage("working");
    fs.kernel.interrupt(regeneration.unique);
    fs.content("second");
    expect([read(fs, start(fs, "/poem", regeneration.pid)), fs.requests.length]).toEqual(["second", 2]);
  });

  test("a retry with another prompt after an interrupt sends a new request", () => {
    using fs = served();
    poem(fs);
    const regeneration = demand(fs, "again:shorter");
    fs.stage("working");
    fs.kernel.interrupt(regeneration.unique);
    const same = demand(fs, "again:shorter");
    fs.kernel.interrupt(same.unique);
    const other = demand(fs, "again:longer");
    expect(fs.requests.map(({ prompts }) => prompts)).toEqual([[], ["shorter"], ["longer"]]);
    expect(fs.cancelled).toHaveLength(1);
    fs.content("second");
    expect(read(fs, other)).toBe("second");
  });
});

describe("the content that a regeneration replaced", () => {
  function twice(fs: ServedTree): void {
    poem(fs);
    const regeneration = demand(fs);
    fs.content("second", undefined, { model: "m2" });
    expect(read(fs, regeneration)).toBe("second");
  }

  test("undo restores the replaced content with its attributes, and undoing again brings the new one back", () => {
    using fs = served();
    twice(fs);
    set(fs, "undo");
    expect([cat(fs), xattr(fs, "meta.model")]).toEqual(["first", "m1"]);
    set(fs, "undo");
    expect([cat(fs), xattr(fs, "meta.model")]).toEqual(["second", "m2"]);
    expect(fs.requests).toHaveLength(2);
  });

  test("undo reports content that answered the same request, so that it is recorded again", () => {
    for (const [before, after] of [
      ["k1", "k1"],
      ["k1", "k2"],
    ] as const) {
      using fs = served();
      fs.pending("/poem");
      start(fs, "/poem");
      fs.content("first", undefined, { request: before });
      demand(fs);
      fs.content("second", undefined, { request: after });
      set(fs, "undo");
      const told = fs.posted.filter(({ type }) => type === "undone");
      expect(told).toEqual(before === after ? [{ type: "undone", request: "k1" }] : []);
    }
  });

  test("only one replaced content is kept", () => {
    using fs = served();
    twice(fs);
    const regeneration = demand(fs);
    fs.content("third");
    expect(read(fs, regeneration)).toBe("third");
    set(fs, "undo");
    expect(cat(fs)).toBe("second");
    set(fs, "undo");
    expect(cat(fs)).toBe("third");
  });

  test("undo restores the content under the names that the file has by then", () => {
    using fs = served();
    twice(fs);
    fs.kernel.call("link", 1, { oldnodeid: fs.node("/poem"), name: "song" });
    fs.kernel.call("rename", 1, { name: "poem", newdir: 1, newname: "moved" });
    set(fs, "undo", "/song");
    expect([cat(fs, "/moved"), cat(fs, "/song")]).toEqual(["first", "first"]);
    expect(fs.kernel.stat(fs.node("/moved")).nlink).toBe(2);
  });

  test("replaced content takes space as long as it can be restored", () => {
    using fs = served({ size: 1 << 20 });
    twice(fs);
    fs.kernel.letGo();
    expect(fs.tree.space.inodes).toBe([...fs.tree.walk()].length + 1);
    fs.mount.regen.clear();
    expect(fs.tree.space.inodes).toBe([...fs.tree.walk()].length);
    expect(refused(fs, "undo")).toBe("ENODATA");
  });
});

describe("errors when regenerating", () => {
  test("undo is an error if the file was never regenerated", () => {
    using fs = served();
    poem(fs);
    expect(refused(fs, "undo")).toBe("ENODATA");
  });

  test("an unknown command is EINVAL, and sends no request", () => {
    using fs = served();
    poem(fs);
    for (const value of ["", "afresh", "again ", "undo:"]) expect(refused(fs, value)).toBe("EINVAL");
    cat(fs);
    expect(fs.requests).toHaveLength(1);
  });

  test("regenerating a file while it is generated is EBUSY; a file that is only queued takes the new prompt", () => {
    using fs = served();
    fs.pending("/poem");
    set(fs, "again:of the sea");
    expect(fs.requests).toEqual([]);
    const reader = start(fs, "/poem");
    expect(fs.requests.at(-1)?.prompts).toEqual(["of the sea"]);
    expect(refused(fs, "again")).toBe("EBUSY");
    fs.content("first");
    expect(read(fs, reader)).toBe("first");
  });

  test.each(["300s", "300s stale", "always"])("a file with refresh is regenerated at once: %s", (refresh) => {
    using fs = served();
    poem(fs, { "user.llmfs.refresh": refresh });
    const regeneration = demand(fs);
    expect(read(fs, regeneration)).toBe("waiting");
    expect(fs.requests.at(-1)).toMatchObject({ path: "/poem", again: true, renews: true, pause: 0 });
    fs.content("second", undefined, { model: "m2" });
    expect(read(fs, regeneration)).toBe("second");
    expect([xattr(fs, "state"), xattr(fs, "refresh"), xattr(fs, "meta.model")]).toEqual(["ready", refresh, "m2"]);
    expect(fs.requests).toHaveLength(2);
    expect(refused(fs, "undo")).toBe("ENODATA");
    if (refresh === "always") return;
    expect(cat(fs)).toBe("second");
    expect(fs.requests).toHaveLength(2);
  });

  test("a file with refresh that cannot be regenerated keeps its content and its prompt", () => {
    using fs = served();
    poem(fs, { "user.llmfs.refresh": "300s", "user.llmfs.prompt": "of the sea" });
    const regeneration = demand(fs, "again:of the moon");
    expect(fs.requests.at(-1)?.prompts).toEqual(["of the moon"]);
    fs.failed("EIO");
    expect(read(fs, regeneration)).toBe("EIO");
    expect([cat(fs), xattr(fs, "prompt")]).toEqual(["first", "of the sea"]);
    const next = demand(fs, "again:of the moon");
    fs.content("second");
    expect([read(fs, next), xattr(fs, "prompt")]).toEqual(["second", "of the moon"]);
  });
});

test("a failed regeneration is visible until the content is another", () => {
  using fs = served();
  poem(fs);
  const error = () => fs.kernel.call("getxattr", fs.node("/poem"), { name: "user.llmfs.error", size: 100 }).toString();
  const fail = () => {
    const regeneration = demand(fs);
    fs.mount.waiters.takeFailure(fs.ticket, new FsError("EBUSY", "too many requests"));
    expect(read(fs, regeneration)).toBe("EBUSY");
    expect(error()).toBe("EBUSY: too many requests");
    expect(fs.answers.listAll()[0]).toMatchObject({ state: "ready", failedRenewal: { what: "regeneration" } });
  };
  const write = (text: string) => {
    const nodeid = fs.node("/poem");
    const { fh } = fs.kernel.call("open", nodeid, { flags: 1 });
    fs.kernel.call("write", nodeid, { fh, offset: 0, size: text.length, flags: 1, data: Buffer.from(text) });
    fs.kernel.release(nodeid, fh);
  };
  fail();
  const regeneration = demand(fs);
  fs.content("second");
  expect(read(fs, regeneration)).toBe("second");
  expect(error).toThrow(new FsError("ENODATA"));
  fail();
  set(fs, "undo");
  expect(error).toThrow(new FsError("ENODATA"));
  fail();
  write("mine");
  expect(error).toThrow(new FsError("ENODATA"));
});
