/** Files whose content does not exist yet: who waits, and what happens when the content arrives. */
import { describe, expect, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import { CLAIMED_SIZE } from "../../../src/fs/ops/attributes.ts";
import { FATTR_MTIME, FOPEN_PASSTHROUGH } from "../../../src/fuse/abi.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

const O_WRONLY = 1;
const O_RDWR = 2;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;

/** An open for reading that may wait; returns its unique. */
function opening(fs: ServedTree, path: string, flags = 0): number {
  return fs.kernel.start("open", fs.node(path), { flags });
}

/** The outcome of an open: its errno, "waiting", or what can be read through it. */
function fate(fs: ServedTree, path: string, unique: number): string {
  const outcome = fs.kernel.outcome<"open">(unique);
  if (outcome === undefined) return "waiting";
  if ("error" in outcome) return outcome.error;
  const nodeid = fs.node(path);
  return fs.kernel.readAll(nodeid, outcome.value.fh).toString();
}

function getXattr(fs: ServedTree, path: string, name: string): string {
  return fs.kernel.call("getxattr", fs.node(path), { name, size: 4096 }).toString();
}

function state(fs: ServedTree, path: string): string {
  return getXattr(fs, path, "user.llmfs.state");
}

/** Fails an open of the path, which leaves the file failed. */
function failOnce(fs: ServedTree, path: string): void {
  opening(fs, path);
  fs.failed("EIO", "the model is ill");
}

describe("a pending file is not generated", () => {
  function looked(look: (fs: ServedTree) => void): void {
    using fs = served({ size: 1 << 20 });
    fs.pending("/dir/file", { "user.llmfs.prompt": "a poem" });
    look(fs);
    expect(fs.posted).toEqual([]);
    expect(state(fs, "/dir/file")).toBe("pending");
  }

  test("lookup does not generate a pending file", () => looked((fs) => fs.node("/dir/file")));
  test("getattr does not generate a pending file", () => looked((fs) => fs.kernel.stat(fs.node("/dir/file"))));
  test("readdir does not generate a pending file", () => looked((fs) => fs.kernel.list(fs.node("/dir"))));
  test("readdirplus does not generate a pending file", () =>
    looked((fs) => fs.kernel.list(fs.node("/dir"), { plus: true })));
  test("getxattr does not generate a pending file", () =>
    looked((fs) => getXattr(fs, "/dir/file", "user.llmfs.prompt")));
  test("listxattr does not generate a pending file", () =>
    looked((fs) => fs.kernel.call("listxattr", fs.node("/dir/file"), { size: 4096 })));
  test("statfs does not generate a pending file", () => looked((fs) => fs.kernel.call("statfs", ROOT)));
  test("chmod, chown and touch do not generate a pending file", () =>
    looked((fs) => fs.kernel.call("setattr", fs.node("/dir/file"), { valid: 0x37, mode: 0o600 })));
  test("rename and link do not generate a pending file", () =>
    looked((fs) => {
      const nodeid = fs.node("/dir/file");
      fs.kernel.call("link", ROOT, { oldnodeid: nodeid, name: "twin" });
      fs.kernel.call("rename", ROOT, { name: "twin", newname: "other", newdir: ROOT });
    }));

  test("none of these operations waits for a generation in progress", () => {
    using fs = served();
    fs.pending("/dir/file");
    opening(fs, "/dir/file");
    const nodeid = fs.node("/dir/file");
    fs.kernel.stat(nodeid);
    fs.kernel.list(fs.node("/dir"), { plus: true });
    expect(getXattr(fs, "/dir/file", "user.llmfs.state")).toBe("generating");
    fs.kernel.call("statfs", ROOT);
  });

  test("stat of a pending file reports no blocks and a size that no content reaches", () => {
    using fs = served();
    fs.pending("/file");
    expect(fs.kernel.stat(fs.node("/file"))).toMatchObject({ size: CLAIMED_SIZE, blocks: 0 });
  });

  test("a file that is really empty reports size 0 and opens at once", () => {
    using fs = served();
    fs.file("/file");
    expect(fs.kernel.stat(fs.node("/file")).size).toBe(0);
    expect(fs.cat("/file")).toBe("");
    expect(fs.posted).toEqual([]);
  });
});

describe("the first open for reading", () => {
  test("the first open for reading waits, and sees the whole content when it arrives", () => {
    using fs = served();
    fs.pending("/poem");
    const unique = opening(fs, "/poem");
    expect(fate(fs, "/poem", unique)).toBe("waiting");
    expect(state(fs, "/poem")).toBe("generating");
    fs.content("roses are red");
    expect(fate(fs, "/poem", unique)).toBe("roses are red");
    expect(state(fs, "/poem")).toBe("ready");
  });

  test("the first open for reading and writing waits too", () => {
    using fs = served();
    fs.pending("/poem");
    const unique = opening(fs, "/poem", O_RDWR);
    expect(fate(fs, "/poem", unique)).toBe("waiting");
    fs.content("roses");
    // The kernel looks at the file again, and retries.
    expect(fate(fs, "/poem", unique)).toBe("ESTALE");
    expect(fs.kernel.stat(fs.node("/poem")).size).toBe(5);
    expect(fate(fs, "/poem", opening(fs, "/poem", O_RDWR))).toBe("roses");
    expect(fs.requests).toHaveLength(1);
  });

  test("twenty first opens cause one request, and all see the content", () => {
    using fs = served();
    fs.pending("/poem");
    const waiting = Array.from({ length: 20 }, () => opening(fs, "/poem"));
    expect(fs.requests).toHaveLength(1);
    fs.content("roses are red");
    expect(waiting.map((unique) => fate(fs, "/poem", unique))).toEqual(Array(20).fill("roses are red"));
    expect(new Set(fs.kernel.handles.keys()).size).toBe(20);
  });

  test("the first open requests the file's first name, even if another was created later", () => {
    using fs = served();
    fs.directory("/a");
    fs.directory("/z");
    fs.pending("/z/poem");
    const value = Buffer.from("Rhyme.");
    const prompt = { name: "user.llmfs.prompt", value, size: value.length, flags: 0 };
    fs.kernel.call("setxattr", fs.node("/a"), prompt);
    const oldnodeid = fs.node("/z/poem");
    fs.kernel.call("link", fs.node("/a"), { name: "verse", oldnodeid });
    fs.kernel.call("link", fs.node("/z"), { name: "ode", oldnodeid });
    opening(fs, "/z/poem");
    expect(fs.requests[0]).toMatchObject({ path: "/a/verse", prompts: ["Rhyme."] });
  });

  test("only the first open sends a request", () => {
    using fs = served();
    fs.pending("/poem");
    opening(fs, "/poem");
    fs.content("roses");
    expect(fs.cat("/poem")).toBe("roses");
    expect(fs.requests).toHaveLength(1);
  });

  test("a request names the file to generate, and its prompt and settings", () => {
    using fs = served();
    fs.tree.root.replaceXattrs(new Map([["user.llmfs.prompt", Buffer.from("a garden")]]));
    fs.directory("/beds").replaceXattrs(
      new Map([
        ["user.llmfs.prompt", Buffer.from("roses")],
        ["user.llmfs.model", Buffer.from("big")],
      ]),
    );
    const file = fs.pending("/beds/poem", {
      "user.llmfs.prompt": "in iambs",
      "user.llmfs.generator": "template",
      "user.llmfs.description": "a poem",
    });
    opening(fs, "/beds/poem");
    expect(fs.requests).toEqual([
      expect.objectContaining({
        ino: file.ino,
        path: "/beds/poem",
        generator: "template",
        prompts: ["a garden", "roses", "in iambs"],
        model: "big",
        pause: 0,
        file: expect.objectContaining({ path: "/beds/poem", description: "a poem", state: "pending" }),
      }),
    ]);
  });

  test("the first open is answered after the kernel has received the size and bytes", () => {
    using fs = served();
    const file = fs.pending("/poem");
    const unique = opening(fs, "/poem");
    const order: string[] = [];
    const send = fs.kernel.send.bind(fs.kernel);
    fs.kernel.send = (message, length) => {
      order.push(message.readBigUInt64LE(8) === 0n ? "notification" : "reply");
      return send(message, length);
    };
    fs.content("roses");
    expect(order.at(-1)).toBe("reply");
    expect(fs.kernel.notifications).toContainEqual({
      code: "store",
      nodeid: file.ino,
      offset: 0,
      data: Buffer.from("roses"),
    });
    expect(fs.kernel.outcome(unique)).toBeDefined();
  });

  test("the kernel is not notified about a file that it does not know", () => {
    using fs = served();
    fs.pending("/poem");
    fs.kernel.notifications.length = 0;
    fs.answers.read("/poem", undefined, () => {}, expect.unreachable);
    fs.content("roses");
    expect(fs.kernel.notifications).toEqual([]);
  });

  test("only the end of large content is sent to the kernel, which sets the size", () => {
    using fs = served();
    const file = fs.pending("/big");
    opening(fs, "/big");
    fs.content(Buffer.alloc(3 << 20, "x"));
    const stores = fs.kernel.notifications.filter(({ code }) => code === "store");
    expect(stores).toEqual([{ code: "store", nodeid: file.ino, offset: (3 << 20) - 1, data: Buffer.from("x") }]);
  });

  test("new content invalidates the attributes that the kernel has cached", () => {
    using fs = served();
    const file = fs.pending("/poem");
    opening(fs, "/poem");
    fs.kernel.notifications.length = 0;
    fs.content("");
    expect(fs.kernel.notifications).toEqual([{ code: "inval inode", nodeid: file.ino, off: -1, len: 0 }]);
    expect(fs.kernel.stat(file.ino).size).toBe(0);
  });

  test("empty content is accepted: the file is ready and empty", () => {
    using fs = served();
    fs.pending("/poem");
    const unique = opening(fs, "/poem");
    fs.content("");
    expect(fate(fs, "/poem", unique)).toBe("");
    expect(state(fs, "/poem")).toBe("ready");
    expect(fs.cat("/poem")).toBe("");
    expect(fs.requests).toHaveLength(1);
  });

  test("generated content can be edited like any file", () => {
    using fs = served();
    fs.pending("/poem");
    opening(fs, "/poem");
    fs.content("roses are red");
    const open = fs.open("/poem", O_WRONLY);
    fs.write(open, "R");
    expect(fs.cat("/poem")).toBe("Roses are red");
  });

  test("generated content becomes static when somebody changes it, and then is context for other files", () => {
    for (const change of ["write", "truncate", "none"] as const) {
      using fs = served();
      fs.pending("/poem");
      opening(fs, "/poem");
      fs.content("roses are red");
      const before = fs.mount.definitions;
      const open = fs.open("/poem", O_WRONLY);
      if (change === "write") fs.write(open, "R");
      if (change === "truncate") fs.kernel.call("setattr", open.nodeid, { valid: 8, size: 3 });
      fs.kernel.release(open.nodeid, open.fh);
      expect([change, state(fs, "/poem")]).toEqual([change, change === "none" ? "ready" : "static"]);
      expect(fs.mount.definitions > before).toBe(change !== "none");
    }
  });

  test("metadata is stored with the file", () => {
    using fs = served();
    fs.pending("/poem");
    opening(fs, "/poem");
    fs.content("roses", fs.ticket, { tokens: "12", größe: "fünf" });
    expect(getXattr(fs, "/poem", "user.llmfs.meta.tokens")).toBe("12");
    const name = Buffer.from("user.llmfs.meta.größe").toString("latin1");
    expect(getXattr(fs, "/poem", name)).toBe("fünf");
  });

  test("metadata too large for an attribute is logged, and the content is stored", () => {
    using fs = served();
    fs.pending("/poem");
    const unique = opening(fs, "/poem");
    fs.content("roses", fs.ticket, { ["k".repeat(300)]: "v", long: "v".repeat(70_000), "a\0b": "v", good: "v" });
    expect(fate(fs, "/poem", unique)).toBe("roses");
    expect(getXattr(fs, "/poem", "user.llmfs.meta.good")).toBe("v");
    expect(fs.kernel.call("listxattr", fs.node("/poem"), { size: 4096 }).toString("latin1").split("\0")).toEqual([
      "user.llmfs.meta.good",
      "user.llmfs.state",
      "",
    ]);
    expect(fs.posted.filter(({ type }) => type === "log")).toHaveLength(3);
  });

  test("first opens of several files generate them concurrently", () => {
    using fs = served();
    fs.pending("/a");
    fs.pending("/b");
    const [a, b] = [opening(fs, "/a"), opening(fs, "/b")];
    const [first, second] = fs.requests.map(({ ticket }) => ticket);
    fs.content("bees", second);
    expect([fate(fs, "/a", a), fate(fs, "/b", b)]).toEqual(["waiting", "bees"]);
    fs.content("ants", first);
    expect(fate(fs, "/a", a)).toBe("ants");
  });
});

describe("interrupts", () => {
  test("one of two readers gets EINTR, the other continues to wait", () => {
    using fs = served();
    fs.pending("/poem");
    const [one, two] = [opening(fs, "/poem"), opening(fs, "/poem")];
    fs.kernel.interrupt(one);
    expect([fate(fs, "/poem", one), fate(fs, "/poem", two)]).toEqual(["EINTR", "waiting"]);
    expect(fs.cancelled).toEqual([]);
    fs.content("roses");
    expect(fate(fs, "/poem", two)).toBe("roses");
  });

  test("when the last reader leaves, the generation is cancelled and the file is pending", () => {
    using fs = served();
    fs.pending("/poem");
    const [one, two] = [opening(fs, "/poem"), opening(fs, "/poem")];
    fs.kernel.interrupt(one);
    fs.kernel.interrupt(two);
    expect([fate(fs, "/poem", one), fate(fs, "/poem", two)]).toEqual(["EINTR", "EINTR"]);
    expect(fs.cancelled).toEqual([fs.ticket]);
    expect(state(fs, "/poem")).toBe("pending");
  });

  test("the answer to a cancelled request is dropped", () => {
    using fs = served();
    fs.pending("/poem");
    fs.kernel.interrupt(opening(fs, "/poem"));
    fs.content("too late");
    expect(state(fs, "/poem")).toBe("pending");
    expect(fs.tree.space.usedPages).toBe(0);
  });

  test("the failure of a cancelled request is dropped", () => {
    using fs = served();
    fs.pending("/poem");
    fs.kernel.interrupt(opening(fs, "/poem"));
    fs.failed("ECANCELED");
    expect(state(fs, "/poem")).toBe("pending");
  });

  test("after a cancelled generation the next open sends a new request, and only its answer counts", () => {
    using fs = served();
    fs.pending("/poem");
    fs.kernel.interrupt(opening(fs, "/poem"));
    const old = fs.ticket;
    const unique = opening(fs, "/poem");
    expect(fs.ticket).not.toBe(old);
    fs.content("too late", old);
    expect(fate(fs, "/poem", unique)).toBe("waiting");
    fs.content("roses");
    expect(fate(fs, "/poem", unique)).toBe("roses");
  });

  test("an interrupt after the content arrived changes nothing", () => {
    using fs = served();
    fs.pending("/poem");
    const unique = opening(fs, "/poem");
    fs.content("roses");
    fs.kernel.interrupt(unique);
    expect(fate(fs, "/poem", unique)).toBe("roses");
    expect(fs.cancelled).toEqual([]);
  });

  test("a wait for generation ahead of time ends with the content or with the reason of the failure", () => {
    using fs = served();
    fs.pending("/poem");
    const ends: string[] = [];
    const make = () =>
      fs.answers.make(
        "/poem",
        undefined,
        () => ends.push("made"),
        (error) => ends.push(`${error.code}: ${error.message}`),
      );
    make();
    expect(ends).toEqual([]);
    fs.failed("EIO", "the model is ill");
    make();
    fs.content("a poem");
    make();
    expect(ends).toEqual(["EIO: /poem: the model is ill", "made", "made"]);
  });

  test("a generator that waits too keeps the generation alive", () => {
    using fs = served();
    fs.pending("/poem");
    let read = "";
    fs.answers.read("/poem", undefined, (bytes) => (read = Buffer.from(bytes).toString()), expect.unreachable);
    fs.kernel.interrupt(opening(fs, "/poem"));
    expect(fs.cancelled).toEqual([]);
    fs.content("roses");
    expect(read).toBe("roses");
  });
});

describe("failures", () => {
  test("a failure gives every reader the errno, and the file keeps the reason", () => {
    using fs = served();
    fs.pending("/poem");
    const waiting = [opening(fs, "/poem"), opening(fs, "/poem")];
    fs.failed("EDQUOT", "the budget of 3 calls is spent");
    expect(waiting.map((unique) => fate(fs, "/poem", unique))).toEqual(["EDQUOT", "EDQUOT"]);
    expect(state(fs, "/poem")).toBe("failed");
    expect(getXattr(fs, "/poem", "user.llmfs.error")).toBe("EDQUOT: the budget of 3 calls is spent");
  });

  test("after a failure the file reports the claimed size again instead of being empty", () => {
    using fs = served();
    fs.pending("/poem");
    failOnce(fs, "/poem");
    expect(fs.kernel.stat(fs.node("/poem")).size).toBe(CLAIMED_SIZE);
  });

  test("the next open retries after a failure, and may succeed", () => {
    using fs = served();
    fs.pending("/poem");
    failOnce(fs, "/poem");
    const unique = opening(fs, "/poem");
    expect(fs.requests).toHaveLength(2);
    fs.content("roses");
    expect(fate(fs, "/poem", unique)).toBe("roses");
    expect(state(fs, "/poem")).toBe("ready");
    expect(() => getXattr(fs, "/poem", "user.llmfs.error")).toThrow(new FsError("ENODATA"));
  });

  test("each failure makes the next attempt wait longer, up to five seconds", () => {
    using fs = served();
    fs.pending("/poem");
    for (let round = 0; round < 9; round++) failOnce(fs, "/poem");
    expect(fs.requests.map(({ pause }) => pause)).toEqual([0, 0, 250, 500, 1000, 2000, 4000, 5000, 5000]);
  });

  test("failures of one file do not delay another", () => {
    using fs = served();
    fs.pending("/poem");
    fs.pending("/prose");
    for (let round = 0; round < 5; round++) failOnce(fs, "/poem");
    opening(fs, "/prose");
    expect(fs.requests.at(-1)?.pause).toBe(0);
  });

  test("a failed file is retried at once after its state was set back to pending", () => {
    using fs = served();
    fs.pending("/poem");
    for (let round = 0; round < 5; round++) failOnce(fs, "/poem");
    const value = Buffer.from("pending");
    fs.kernel.call("setxattr", fs.node("/poem"), { name: "user.llmfs.state", value, size: value.length });
    opening(fs, "/poem");
    expect(fs.requests.at(-1)?.pause).toBe(0);
  });

  test("failures before a success are forgotten", () => {
    using fs = served();
    const file = fs.pending("/poem");
    for (let round = 0; round < 5; round++) failOnce(fs, "/poem");
    opening(fs, "/poem");
    fs.content("");
    file.state = "pending";
    opening(fs, "/poem");
    expect(fs.requests.at(-1)?.pause).toBe(0);
  });

  test("content over the space limit leaves nothing, and ENOSPC is kept as the reason", () => {
    using fs = served({ size: 64 * 1024 });
    fs.pending("/big");
    const unique = opening(fs, "/big");
    fs.content(Buffer.alloc(100_000, "x"));
    expect(fate(fs, "/big", unique)).toBe("ENOSPC");
    expect(state(fs, "/big")).toBe("failed");
    expect(getXattr(fs, "/big", "user.llmfs.error")).toBe("ENOSPC: 100000 bytes were generated: ENOSPC");
    expect(fs.tree.space.usedPages).toBe(0);
  });

  test("large content over the space limit leaves nothing, and is ENOSPC too", () => {
    using fs = served({ size: 1 << 20 });
    fs.pending("/big");
    const unique = opening(fs, "/big");
    fs.content(Buffer.alloc(2 << 20, "x"));
    expect(fate(fs, "/big", unique)).toBe("ENOSPC");
    expect(fs.tree.space.usedPages).toBe(0);
  });
});

describe("writing to a pending file", () => {
  test("truncating a pending file makes it static, and sends no request", () => {
    using fs = served();
    fs.pending("/poem");
    fs.kernel.call("setattr", fs.node("/poem"), { valid: 8, size: 0 });
    expect(state(fs, "/poem")).toBe("static");
    expect(fs.cat("/poem")).toBe("");
    expect(fs.posted).toEqual([]);
  });

  test("opening a pending file with O_TRUNC makes it static", () => {
    using fs = served();
    fs.pending("/poem");
    const open = fs.open("/poem", O_WRONLY | O_TRUNC);
    expect(state(fs, "/poem")).toBe("static");
    fs.write(open, "mine");
    expect(fs.cat("/poem")).toBe("mine");
    expect(fs.posted).toEqual([]);
  });

  test("a pending file becomes static at the first write, not when it is opened for writing only", () => {
    using fs = served();
    fs.pending("/poem");
    const open = fs.open("/poem", O_WRONLY);
    expect(state(fs, "/poem")).toBe("pending");
    fs.write(open, "mine");
    expect(state(fs, "/poem")).toBe("static");
    expect(fs.cat("/poem")).toBe("mine");
    expect(fs.posted).toEqual([]);
  });

  test("opening a pending file for writing shows it empty and makes the kernel look up its size again", () => {
    using fs = served();
    const file = fs.pending("/poem");
    const nodeid = fs.node("/poem");
    fs.kernel.notifications.length = 0;
    expect(fs.kernel.outcome(fs.kernel.start("open", nodeid, { flags: O_WRONLY }))).toEqual({ error: "ESTALE" });
    expect(fs.kernel.notifications).toEqual([{ code: "inval inode", nodeid: file.ino, off: -1, len: 0 }]);
    const asked = fs.kernel.call("getattr", nodeid);
    expect([asked.attr.size, asked.attr_valid]).toEqual([0, 0]);
    const { fh } = fs.kernel.call("open", nodeid, { flags: O_WRONLY });
    fs.kernel.notifications.length = 0;
    fs.kernel.release(nodeid, fh);
    expect(fs.kernel.notifications).toHaveLength(1);
    expect(fs.kernel.stat(nodeid).size).toBe(CLAIMED_SIZE);
  });

  test("two writers that open a pending file at the same time look it up again once each", () => {
    using fs = served();
    fs.pending("/poem");
    const nodeid = fs.node("/poem");
    const begin = (pid: number) => fs.kernel.outcome(fs.kernel.start("open", nodeid, { flags: O_WRONLY }, { pid }));
    expect([begin(11), begin(12)]).toEqual([{ error: "ESTALE" }, { error: "ESTALE" }]);
    expect([begin(11), begin(12)]).toEqual([
      expect.objectContaining({ value: expect.anything() }),
      expect.objectContaining({ value: expect.anything() }),
    ]);
    expect(begin(13)).toEqual({ error: "ESTALE" });
    // Threads without a number are counted: as many are expected back as were sent.
    expect([begin(0), begin(0)]).toEqual([{ error: "ESTALE" }, expect.objectContaining({ value: expect.anything() })]);
    expect(begin(0)).toEqual({ error: "ESTALE" });
  });

  test("appending to a pending file starts at offset 0", () => {
    using fs = served();
    fs.pending("/log");
    const open = fs.open("/log", O_WRONLY | O_APPEND);
    fs.write(open, "line\n", CLAIMED_SIZE, O_WRONLY | O_APPEND);
    expect(fs.cat("/log")).toBe("line\n");
  });

  test("reserving space in a pending file makes it static", () => {
    using fs = served();
    fs.pending("/poem");
    const open = fs.open("/poem", O_WRONLY);
    fs.kernel.call("fallocate", open.nodeid, { fh: open.fh, length: 100 });
    expect(state(fs, "/poem")).toBe("static");
    expect(fs.kernel.stat(open.nodeid).size).toBe(100);
  });

  test("a write to a pending file is shown to waiting readers, and cancels the generation", () => {
    using fs = served();
    fs.pending("/poem");
    const waiting = [opening(fs, "/poem"), opening(fs, "/poem")];
    const open = fs.open("/poem", O_WRONLY);
    fs.write(open, "written first");
    expect(waiting.map((unique) => fate(fs, "/poem", unique))).toEqual(["written first", "written first"]);
    expect(fs.cancelled).toEqual([fs.ticket]);
    fs.content("too late");
    expect(fs.cat("/poem")).toBe("written first");
    expect(state(fs, "/poem")).toBe("static");
  });

  test("a write after a failure makes the file static and clears the failure", () => {
    using fs = served();
    fs.pending("/poem");
    failOnce(fs, "/poem");
    fs.write(fs.open("/poem", O_WRONLY), "mine");
    expect(state(fs, "/poem")).toBe("static");
    expect(() => getXattr(fs, "/poem", "user.llmfs.error")).toThrow(new FsError("ENODATA"));
  });

  test("a truncation that fails leaves the file pending", () => {
    using fs = served();
    fs.pending("/poem");
    expect(fs.kernel.errno("setattr", fs.node("/poem"), { valid: 8, size: 2n ** 63n })).toBe("EFBIG");
    expect(state(fs, "/poem")).toBe("pending");
  });

  test("a write that fails leaves the file pending", () => {
    using fs = served({ size: 4096 });
    fs.file("/full", "x".repeat(4096));
    fs.pending("/poem");
    const open = fs.open("/poem", O_WRONLY);
    expect(() => fs.write(open, "mine")).toThrow(new FsError("ENOSPC"));
    expect(() => fs.write(open, "mine", 2 ** 63)).toThrow(new FsError("EFBIG"));
    expect(state(fs, "/poem")).toBe("pending");
  });

  describe("while the kernel writes directly to the store", () => {
    /** A file that became pending while a program had it open for writing through passthrough. */
    function unseen(fs: ServedTree) {
      const file = fs.file("/poem");
      const open = fs.open("/poem", O_WRONLY);
      const store = file.share();
      const value = Buffer.from("a poem");
      fs.kernel.call("setxattr", open.nodeid, { name: "user.llmfs.prompt", value, size: value.length });
      expect(state(fs, "/poem")).toBe("pending");
      return { file, open, write: (text: string) => store.write(0, Buffer.from(text)) };
    }

    test("a direct write counts when the file is closed", () => {
      using fs = served();
      const { file, open, write } = unseen(fs);
      write("mine");
      fs.kernel.release(open.nodeid, open.fh);
      file.unshare();
      expect(state(fs, "/poem")).toBe("static");
      expect(fs.cat("/poem")).toBe("mine");
    });

    test("a direct write counts when the file is opened", () => {
      using fs = served();
      const { file, write } = unseen(fs);
      write("mine");
      expect(fs.cat("/poem")).toBe("mine");
      expect(fs.posted).toEqual([]);
      file.unshare();
    });

    test("a direct write wins over content that arrives later", () => {
      using fs = served();
      const { file, write } = unseen(fs);
      const unique = opening(fs, "/poem");
      write("mine");
      fs.content("generated");
      expect(fate(fs, "/poem", unique)).toBe("mine");
      file.unshare();
    });

    test("the file stays pending if the kernel wrote nothing", () => {
      using fs = served();
      const { file, open } = unseen(fs);
      fs.kernel.release(open.nodeid, open.fh);
      file.unshare();
      expect(state(fs, "/poem")).toBe("pending");
    });

    test("a file that is pending when it is opened gets no passthrough", () => {
      using fs = served();
      fs.pending("/poem");
      fs.mount.passthrough.enable(-1);
      const { open_flags } = fs.kernel.call("open", fs.node("/poem"), { flags: O_WRONLY });
      expect(open_flags & FOPEN_PASSTHROUGH).toBe(0);
      // Nothing was logged, so passthrough was not tried: the device of this test would have rejected it.
      expect(fs.posted).toEqual([]);
    });
  });
});

describe("content belongs to the inode", () => {
  test("content arrives even if the file is renamed during generation", () => {
    using fs = served();
    fs.pending("/dir/poem");
    const unique = opening(fs, "/dir/poem");
    fs.kernel.call("rename", fs.node("/dir"), { name: "poem", newname: "verse", newdir: ROOT });
    fs.content("roses");
    expect(fate(fs, "/verse", unique)).toBe("roses");
    expect(state(fs, "/verse")).toBe("ready");
  });

  test("content does not go to another file that takes the name", () => {
    using fs = served();
    fs.pending("/poem");
    const unique = opening(fs, "/poem");
    fs.kernel.call("rename", ROOT, { name: "poem", newname: "verse", newdir: ROOT });
    fs.file("/poem", "a static one");
    fs.content("roses");
    expect(fs.cat("/poem")).toBe("a static one");
    expect(fate(fs, "/verse", unique)).toBe("roses");
  });

  test("content is visible under all names of the file", () => {
    using fs = served();
    fs.pending("/poem");
    opening(fs, "/poem");
    fs.kernel.call("link", ROOT, { oldnodeid: fs.node("/poem"), name: "twin" });
    fs.content("roses");
    expect(fs.cat("/twin")).toBe("roses");
    expect(fs.requests).toHaveLength(1);
  });

  test("content of an unlinked file can be read while it is open, and is gone with the last reader", () => {
    using fs = served();
    fs.pending("/poem");
    const nodeid = fs.node("/poem");
    const unique = opening(fs, "/poem");
    fs.kernel.call("unlink", ROOT, { name: "poem" });
    fs.content("roses");
    const outcome = fs.kernel.outcome<"open">(unique);
    if (outcome === undefined || "error" in outcome) throw new Error("the open was not answered");
    expect(fs.kernel.readAll(nodeid, outcome.value.fh).toString()).toBe("roses");
    fs.kernel.letGo();
    expect(fs.tree.space.inodes).toBe(1);
    expect(fs.tree.space.usedPages).toBe(0);
  });

  test("content reaches a generator that reads a file which is unlinked during generation", () => {
    using fs = served();
    fs.pending("/poem");
    let read = "";
    fs.answers.read("/poem", undefined, (bytes) => (read = Buffer.from(bytes).toString()), expect.unreachable);
    fs.kernel.call("unlink", ROOT, { name: "poem" });
    fs.content("roses");
    expect(read).toBe("roses");
    expect(fs.tree.space.inodes).toBe(1);
    expect(fs.tree.space.usedPages).toBe(0);
  });

  test("nothing is left if the generation of an unlinked file fails or is cancelled", () => {
    using fs = served();
    for (const end of ["failed", "interrupted"]) {
      fs.pending("/poem");
      const unique = opening(fs, "/poem");
      fs.kernel.call("unlink", ROOT, { name: "poem" });
      if (end === "failed") fs.failed("EIO");
      else fs.kernel.interrupt(unique);
      fs.kernel.letGo();
      expect(fs.tree.space.inodes).toBe(1);
    }
  });
});

describe("an answer that cannot be delivered", () => {
  test("no handle is left open when the reader's connection is gone", () => {
    using fs = served();
    fs.pending("/poem");
    const unique = opening(fs, "/poem");
    fs.kernel.abandon(unique);
    fs.content("roses");
    expect(fs.mount.handles.clear()).toBe(0);
    expect(fs.cat("/poem")).toBe("roses");
  });

  test("an answer that one waiter cannot take still reaches the others", () => {
    using fs = served();
    const file = fs.pending("/poem");
    const failures: string[] = [];
    fs.mount.pending.wait(file, {
      done() {
        throw new Error("broken");
      },
      fail: (error) => failures.push(`${error.code}: ${error.message}`),
    });
    const unique = opening(fs, "/poem");
    fs.content("roses");
    expect(fate(fs, "/poem", unique)).toBe("roses");
    expect(failures).toEqual(["EIO: broken"]);
  });

  test("an answer is dropped if its ticket was never issued", () => {
    using fs = served();
    fs.content("roses", 999);
    fs.failed("EIO", "nobody asked", 999);
    expect(fs.posted).toEqual([]);
  });

  test("an unmount is an error for each waiter, and cancels the generation", () => {
    using fs = served();
    fs.pending("/poem");
    const unique = opening(fs, "/poem");
    fs.mount.waiters.clear();
    expect(fate(fs, "/poem", unique)).toBe("ENODEV");
    expect(fs.cancelled).toEqual([fs.ticket]);
    expect(fs.mount.pending.size).toBe(0);
  });
});

describe("generators that read files", () => {
  /** A generator's read, and what it has received. */
  function reading(fs: ServedTree, path: string, requester: string) {
    const got: { value?: string; error?: string } = {};
    const { nodeid } = fs.kernel.walk(requester);
    const generation = () => fs.requests.find(({ ino }) => ino === nodeid);
    if (generation() === undefined) fs.kernel.start("open", nodeid, { flags: 0 });
    const ticket = generation()?.ticket;
    try {
      fs.answers.read(
        path,
        ticket,
        (bytes) => {
          got.value = Buffer.from(bytes).toString();
        },
        (error) => {
          got.error = `${error.code}: ${error.message}`;
        },
      );
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      got.error = `${error.code}: ${error.message}`;
    }
    return got;
  }

  test("a generator reads a static file at once", () => {
    using fs = served();
    fs.file("/notes", "remember");
    fs.pending("/poem");
    expect(reading(fs, "/notes", "/poem")).toEqual({ value: "remember" });
    expect(fs.requests.map(({ path }) => path)).toEqual(["/poem"]);
  });

  test("reading a pending file generates it first", () => {
    using fs = served();
    fs.pending("/notes");
    fs.pending("/poem");
    opening(fs, "/poem");
    const got = reading(fs, "/notes", "/poem");
    expect(fs.requests.map(({ path }) => path)).toEqual(["/poem", "/notes"]);
    fs.content("remember");
    expect(got).toEqual({ value: "remember" });
  });

  test("a failed read is an error that names the path", () => {
    using fs = served();
    fs.pending("/notes");
    fs.pending("/poem");
    const got = reading(fs, "/notes", "/poem");
    fs.failed("ETIMEDOUT", "no answer in 60 s");
    expect(got).toEqual({ error: "ETIMEDOUT: /notes: no answer in 60 s" });
  });

  test("a file that reads itself gets EDEADLK", () => {
    using fs = served();
    fs.pending("/poem");
    opening(fs, "/poem");
    expect(reading(fs, "/poem", "/poem").error).toBe("EDEADLK: files depend on each other: /poem → /poem");
  });

  test("two files that read each other get EDEADLK, with the cycle in the message", () => {
    using fs = served();
    fs.pending("/a");
    fs.pending("/b");
    opening(fs, "/a");
    expect(reading(fs, "/b", "/a")).toEqual({});
    expect(reading(fs, "/a", "/b").error).toBe("EDEADLK: files depend on each other: /b → /a → /b");
  });

  test("the message about a longer cycle names it from end to end", () => {
    using fs = served();
    for (const name of ["a", "b", "c", "d"]) fs.pending(`/${name}`);
    opening(fs, "/a");
    expect(reading(fs, "/b", "/a")).toEqual({});
    expect(reading(fs, "/c", "/b")).toEqual({});
    expect(reading(fs, "/d", "/c")).toEqual({});
    const loop = reading(fs, "/a", "/d").error;
    expect(loop).toBe("EDEADLK: files depend on each other: /d → /a → /b → /c → /d");
  });

  test("reading one file twice is not a cycle", () => {
    using fs = served();
    for (const name of ["top", "left", "right", "bottom"]) fs.pending(`/${name}`);
    opening(fs, "/top");
    reading(fs, "/left", "/top");
    reading(fs, "/right", "/top");
    expect(reading(fs, "/bottom", "/left")).toEqual({});
    expect(reading(fs, "/bottom", "/right")).toEqual({});
    expect(fs.requests).toHaveLength(4);
  });

  test("a wide and deep graph without a cycle is accepted, and checked at once", () => {
    using fs = served();
    const layers = 24;
    for (let layer = 0; layer <= layers; layer++) for (const side of "xy") fs.pending(`/${layer}${side}`);
    const start = performance.now();
    for (let layer = 0; layer < layers; layer++) {
      for (const from of "xy") for (const to of "xy") reading(fs, `/${layer}${to}`, `/${layer + 1}${from}`);
    }
    // There are 2^24 paths through it.
    expect(performance.now() - start).toBeLessThan(1000);
  });

  test("a file can be generated again once its cycle is broken", () => {
    using fs = served();
    fs.pending("/a");
    fs.pending("/b");
    const unique = opening(fs, "/a");
    reading(fs, "/b", "/a");
    reading(fs, "/a", "/b");
    fs.content("from nothing", fs.ticket);
    fs.content("from b", fs.requests[0]?.ticket);
    expect(fate(fs, "/a", unique)).toBe("from b");
  });

  test("a generator's reads follow symlinks", () => {
    using fs = served();
    fs.file("/notes", "remember");
    fs.kernel.call("symlink", ROOT, { name: "link", target: "notes" });
    fs.pending("/poem");
    expect(reading(fs, "/link", "/poem")).toEqual({ value: "remember" });
  });

  test("a generator gets EISDIR for a directory, ENOENT for a missing file, EINVAL for a fifo", () => {
    using fs = served();
    fs.directory("/dir");
    fs.kernel.call("mknod", ROOT, { name: "fifo", mode: 0o010644 });
    fs.pending("/poem");
    expect(reading(fs, "/dir", "/poem").error).toStartWith("EISDIR: /dir");
    expect(reading(fs, "/none", "/poem").error).toStartWith("ENOENT: /none");
    expect(reading(fs, "/fifo", "/poem").error).toStartWith("EINVAL: /fifo");
  });
});

test("a program that opens the file that it generates gets EDEADLK, even if it was first seen waiting for another file", () => {
  using fs = served();
  fs.pending("/a");
  fs.pending("/b");
  const reader = fs.kernel.start("open", fs.node("/a"), { flags: 0 });
  const a = fs.ticket;
  // This very process stands in for the program: /proc knows it.
  const early = fs.kernel.start("open", fs.node("/b"), { flags: 0 }, { pid: process.pid });
  const b = fs.ticket;
  fs.mount.waiters.setMaker(a, process.pid);
  expect(fs.kernel.outcome(early)).toBeUndefined();
  const itself = fs.kernel.start("open", fs.node("/a"), { flags: 0 }, { pid: process.pid });
  expect(fs.kernel.outcome(itself)).toEqual({ error: "EDEADLK" });
  // Its child opens the file too, which closes the cycle.
  const child = Bun.spawn({ cmd: ["sleep", "100"], stdio: ["ignore", "ignore", "ignore"] });
  try {
    const closing = fs.kernel.start("open", fs.node("/a"), { flags: 0 }, { pid: child.pid });
    expect(fs.kernel.outcome(closing)).toEqual({ error: "EDEADLK" });
  } finally {
    child.kill();
  }
  const other = fs.kernel.start("open", fs.node("/a"), { flags: 0 }, { pid: 1 });
  fs.content("b", b);
  expect(fs.kernel.outcome(early)).toHaveProperty("value");
  fs.content("a", a);
  expect(fs.kernel.outcome(reader)).toHaveProperty("value");
  expect(fs.kernel.outcome(other)).toHaveProperty("value");
});

test("a reader that turns out to generate the file it waits for gets EDEADLK, and other readers continue to wait", () => {
  using fs = served();
  fs.pending("/a");
  const reader = fs.kernel.start("open", fs.node("/a"), { flags: 0 });
  const early = fs.kernel.start("open", fs.node("/a"), { flags: 0 }, { pid: process.pid });
  fs.mount.waiters.setMaker(fs.ticket, process.pid);
  expect(fs.kernel.outcome(early)).toEqual({ error: "EDEADLK" });
  expect(fs.kernel.outcome(reader)).toBeUndefined();
  fs.content("a");
  expect(fs.kernel.outcome(reader)).toHaveProperty("value");
});

describe("the times of a pending file", () => {
  test("the times stay when the content arrives, except for the ctime", () => {
    using fs = served();
    fs.pending("/file");
    const { mtime, mtimensec } = fs.kernel.stat(fs.node("/file"));
    fs.clock.tick();
    const reader = opening(fs, "/file");
    fs.content("content");
    expect(fate(fs, "/file", reader)).toBe("content");
    expect(fs.kernel.stat(fs.node("/file"))).toMatchObject({ mtime, mtimensec, ctime: fs.clock.seconds });
  });

  test("the times stay as they were set, even with hard links", () => {
    using fs = served();
    fs.pending("/file");
    const nodeid = fs.node("/file");
    fs.kernel.call("link", ROOT, { oldnodeid: nodeid, name: "other" });
    fs.kernel.call("setattr", nodeid, { valid: FATTR_MTIME, mtime: 5, mtimensec: 6 });
    const reader = opening(fs, "/other");
    fs.content("content");
    expect(fate(fs, "/other", reader)).toBe("content");
    expect(fs.kernel.stat(fs.node("/file"))).toMatchObject({ mtime: 5, mtimensec: 6 });
  });

  test("the times stay when a generator reads the file or it is generated ahead of time", () => {
    using fs = served();
    const times = ["/read", "/made"].map((path) => {
      fs.pending(path);
      return fs.kernel.stat(fs.node(path)).mtime;
    });
    fs.clock.tick();
    const told: unknown[] = [];
    fs.answers.read("/read", undefined, (bytes) => told.push(bytes.length), told.push);
    fs.content("content");
    fs.answers.make("/made", undefined, () => told.push("made"), told.push);
    fs.content("content");
    expect(told).toEqual([7, "made"]);
    expect(["/read", "/made"].map((path) => fs.kernel.stat(fs.node(path)).mtime)).toEqual(times);
  });

  test("the times stay when generating fails", () => {
    using fs = served();
    fs.pending("/file");
    const { mtime } = fs.kernel.stat(fs.node("/file"));
    fs.clock.tick();
    failOnce(fs, "/file");
    expect(fs.kernel.stat(fs.node("/file")).mtime).toBe(mtime);
  });

  test("the times change when somebody writes to the file instead, before or after generation", () => {
    using fs = served();
    for (const path of ["/before", "/after"]) fs.pending(path);
    const reader = opening(fs, "/after");
    fs.content("content");
    expect(fate(fs, "/after", reader)).toBe("content");
    fs.clock.tick();
    for (const path of ["/before", "/after"]) {
      const open = fs.open(path, O_WRONLY);
      fs.write(open, "mine");
      expect(fs.kernel.stat(open.nodeid).mtime).toBe(fs.clock.seconds);
    }
  });
});
