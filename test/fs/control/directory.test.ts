/** `.llmfs`: can be reached by name, is absent from listings, and is not part of the tree. */
import { describe, expect, spyOn, test } from "bun:test";
import { controlFiles } from "../../../src/fs/control/files.ts";
import { serveLongText, serveStream, serveText } from "../../../src/fs/control/produced.ts";
import * as abi from "../../../src/fuse/abi.ts";
import { PAGE } from "../../../src/tree/content/store.ts";
import { S_IFDIR, S_IFIFO, S_IFREG } from "../../../src/tree/inode.ts";
import { RENAME_EXCHANGE } from "../../../src/tree/tree.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

/** With two files: `hello`, and `count`, which contains how often it was opened. */
function withControl(): ServedTree {
  let opened = 0;
  return served({
    control: () => ({
      hello: serveText(() => "hello"),
      count: serveText(() => `${++opened}\n`),
    }),
  });
}

function llmfs(fs: ServedTree): number {
  return fs.node("/.llmfs");
}

describe("the control directory", () => {
  test("the control directory can be reached by name", () => {
    using fs = withControl();
    expect(fs.kernel.stat(llmfs(fs)).mode).toBe(S_IFDIR | 0o500);
  });

  test("the control directory is absent from listings", () => {
    using fs = withControl();
    fs.file("/file");
    expect(fs.ls("/")).toEqual([".", "..", "file"]);
    expect(fs.kernel.list(ROOT, { plus: true }).map(({ name }) => name)).toEqual([".", "..", "file"]);
  });

  test("the control directory lists its files", () => {
    using fs = withControl();
    expect(fs.ls("/.llmfs")).toEqual([".", "..", "count", "hello"]);
  });

  test("the control directory does not count as a subdirectory or an inode", () => {
    using fs = withControl();
    llmfs(fs);
    expect(fs.kernel.stat(ROOT).nlink).toBe(2);
    expect(fs.tree.space.inodes).toBe(1);
  });

  test("the control directory exists in the root only", () => {
    using fs = withControl();
    fs.directory("/dir");
    expect(fs.kernel.call("lookup", fs.node("/dir"), { name: ".llmfs" }).nodeid).toBe(0);
  });

  test("the control directory does not exist on a mount without a control surface, where the name is free", () => {
    using fs = served();
    expect(fs.kernel.call("lookup", ROOT, { name: ".llmfs" }).nodeid).toBe(0);
    fs.kernel.call("mkdir", ROOT, { name: ".llmfs", mode: 0o755 });
    expect(fs.ls("/")).toContain(".llmfs");
  });
});

describe("a control file", () => {
  test("a control file is produced again for every open", () => {
    using fs = withControl();
    expect([fs.cat("/.llmfs/count"), fs.cat("/.llmfs/count"), fs.cat("/.llmfs/hello")]).toEqual([
      "1\n",
      "2\n",
      "hello",
    ]);
  });

  test("a control file belongs to its open: two readers do not disturb each other", () => {
    using fs = withControl();
    const one = fs.open("/.llmfs/count");
    const two = fs.open("/.llmfs/count");
    expect(fs.kernel.readAll(two.nodeid, two.fh).toString()).toBe("2\n");
    expect(fs.kernel.readAll(one.nodeid, one.fh).toString()).toBe("1\n");
  });

  test("a control file is not cached by the kernel", () => {
    using fs = withControl();
    const { open_flags } = fs.kernel.call("open", fs.node("/.llmfs/hello"), {});
    expect(open_flags).toBe(abi.FOPEN_DIRECT_IO | abi.FOPEN_NOFLUSH);
  });

  test("a control file can be read in pieces of any size", () => {
    using fs = withControl();
    const { nodeid, fh } = fs.open("/.llmfs/hello");
    const read = (offset: number) => fs.kernel.call("read", nodeid, { fh, offset, size: 2 }).toString();
    expect([read(0), read(2), read(4), read(5)]).toEqual(["he", "ll", "o", ""]);
  });

  test("a control file can be read again from a position in the last piece, but not from before it", () => {
    let left = 3;
    using fs = served({
      control: (mount) => ({
        three: serveStream(mount, () => ({ next: () => (left-- > 0 ? Buffer.from(`piece ${left}\n`) : undefined) })),
      }),
    });
    const { nodeid, fh } = fs.open("/.llmfs/three");
    const read = (offset: number, size: number) => fs.kernel.call("read", nodeid, { fh, offset, size }).toString();
    expect(read(0, 10)).toBe("piece 2\npi");
    expect(read(8, 4)).toBe("piec");
    expect(() => read(0, 4)).toThrow("ESPIPE");
    expect(read(12, 100)).toBe("e 1\npiece 0\n");
  });

  test("a control file notifies its producer when it is closed, read to the end or not", () => {
    let closed = 0;
    using fs = served({
      control: (mount) => ({
        endless: serveStream(mount, () => ({ next: () => Buffer.alloc(100), close: () => closed++ })),
      }),
    });
    const { nodeid, fh } = fs.open("/.llmfs/endless");
    fs.kernel.call("read", nodeid, { fh, size: 10 });
    expect(closed).toBe(0);
    fs.kernel.release(nodeid, fh);
    expect(closed).toBe(1);
  });

  test("a control file is EBADF when it is read through a closed handle", () => {
    using fs = withControl();
    const { nodeid, fh } = fs.open("/.llmfs/hello");
    fs.kernel.release(nodeid, fh);
    expect(fs.kernel.errno("read", nodeid, { fh, size: 10 })).toBe("EBADF");
  });

  test("a control file can't be opened for writing", () => {
    using fs = withControl();
    for (const flags of [1, 2]) {
      expect(fs.kernel.errno("open", fs.node("/.llmfs/hello"), { flags })).toBe("EACCES");
    }
  });

  test("a control file requests no content", () => {
    using fs = withControl();
    fs.pending("/poem");
    fs.cat("/.llmfs/hello");
    expect(fs.posted).toEqual([]);
  });
});

describe("the control directory is not part of the tree", () => {
  test("nothing can be created in the control directory, removed from it, or moved into or out of it", () => {
    using fs = withControl();
    fs.file("/file");
    const dir = llmfs(fs);
    expect(fs.kernel.errno("create", dir, { name: "x", mode: 0o644 })).toBe("EPERM");
    expect(fs.kernel.errno("tmpfile", dir, { name: "/", mode: 0o644 })).toBe("EPERM");
    expect(fs.kernel.errno("mkdir", dir, { name: "x", mode: 0o755 })).toBe("EPERM");
    expect(fs.kernel.errno("mknod", dir, { name: "x", mode: S_IFIFO })).toBe("EPERM");
    expect(fs.kernel.errno("symlink", dir, { name: "x", target: "y" })).toBe("EPERM");
    expect(fs.kernel.errno("link", dir, { name: "x", oldnodeid: fs.node("/file") })).toBe("EPERM");
    expect(fs.kernel.errno("unlink", dir, { name: "hello" })).toBe("EPERM");
    expect(fs.kernel.errno("rmdir", dir, { name: "hello" })).toBe("EPERM");
    expect(fs.kernel.errno("rename", dir, { name: "hello", newname: "x", newdir: ROOT })).toBe("EPERM");
    expect(fs.kernel.errno("rename", ROOT, { name: "file", newname: "x", newdir: dir })).toBe("EPERM");
    expect(fs.kernel.errno("link", ROOT, { name: "x", oldnodeid: fs.node("/.llmfs/hello") })).toBe("EPERM");
    expect(fs.ls("/")).toEqual([".", "..", "file"]);
    expect(fs.ls("/.llmfs")).toEqual([".", "..", "count", "hello"]);
  });

  test("the control directory's name cannot be taken, removed or moved", () => {
    using fs = withControl();
    fs.file("/file");
    const name = ".llmfs";
    expect(fs.kernel.errno("create", ROOT, { name, mode: 0o644 })).toBe("EPERM");
    expect(fs.kernel.errno("mkdir", ROOT, { name, mode: 0o755 })).toBe("EPERM");
    expect(fs.kernel.errno("mknod", ROOT, { name, mode: S_IFREG })).toBe("EPERM");
    expect(fs.kernel.errno("symlink", ROOT, { name, target: "x" })).toBe("EPERM");
    expect(fs.kernel.errno("link", ROOT, { name, oldnodeid: fs.node("/file") })).toBe("EPERM");
    expect(fs.kernel.errno("rmdir", ROOT, { name })).toBe("EPERM");
    expect(fs.kernel.errno("unlink", ROOT, { name })).toBe("EPERM");
    expect(fs.kernel.errno("rename", ROOT, { name, newname: "x", newdir: ROOT })).toBe("EPERM");
    expect(fs.kernel.errno("rename", ROOT, { name: "file", newname: name, newdir: ROOT })).toBe("EPERM");
    const exchange = { name: "file", newname: name, newdir: ROOT, flags: RENAME_EXCHANGE };
    expect(fs.kernel.errno("rename2", ROOT, exchange)).toBe("EPERM");
    expect(fs.ls("/")).toEqual([".", "..", "file"]);
  });

  test("control files have no size to change and no attributes to set", () => {
    using fs = withControl();
    const nodeid = fs.node("/.llmfs/hello");
    expect(fs.kernel.errno("setattr", nodeid, { valid: abi.FATTR_SIZE, size: 5 })).toBe("EPERM");
    expect(fs.kernel.stat(nodeid).size).toBe(0);
    const value = Buffer.from("pending");
    expect(fs.kernel.errno("setxattr", nodeid, { name: "user.llmfs.state", value, size: 7 })).toBe("EPERM");
    expect(fs.kernel.errno("setxattr", nodeid, { name: "user.a", value, size: 7 })).toBe("EPERM");
  });

  test("chmod and chown decide who may read the control files", () => {
    using fs = withControl();
    const nodeid = fs.node("/.llmfs/hello");
    const request = { valid: abi.FATTR_MODE | abi.FATTR_UID, mode: 0o444, uid: 1000 };
    expect(fs.kernel.call("setattr", nodeid, request).attr).toMatchObject({ mode: S_IFREG | 0o444, uid: 1000 });
  });

  test("the control directory stays when the kernel forgets it", () => {
    using fs = withControl();
    fs.cat("/.llmfs/hello");
    fs.kernel.letGo();
    expect(fs.cat("/.llmfs/hello")).toBe("hello");
  });
});

describe("a long control file", () => {
  /** `parts`, with a number of milliseconds of work before each. */
  function slow(parts: readonly (string | undefined)[], milliseconds: number): ServedTree {
    const fs: ServedTree = served({
      control: (mount) => ({
        slow: serveLongText(mount, function* () {
          for (const part of parts) {
            fs.elapse(milliseconds);
            yield part;
          }
        }),
      }),
    });
    return fs;
  }

  function start(fs: ServedTree) {
    const { nodeid, fh } = fs.open("/.llmfs/slow");
    const read = (offset: number, size: number) => fs.kernel.start("read", nodeid, { fh, offset, size });
    const outcome = (unique: number) => {
      const outcome = fs.kernel.outcome<"read">(unique);
      return outcome !== undefined && "value" in outcome ? outcome.value.toString() : outcome?.error;
    };
    return { nodeid, fh, read, outcome };
  }

  test("a long control file fills every read but the last, and lets other requests go first", () => {
    using fs = slow(["one\n", undefined, "two\n", "three\n", undefined, "four\n"], 6);
    fs.file("/file", "content");
    const { nodeid, fh, read, outcome } = start(fs);
    const first = read(0, 12);
    expect(outcome(first)).toBeUndefined();
    expect(fs.cat("/file")).toBe("content");
    fs.pass(100);
    expect(outcome(first)).toBe("one\ntwo\nthre");
    const last = read(12, 1000);
    expect(outcome(last)).toBeUndefined();
    fs.pass(100);
    expect(outcome(last)).toBe("e\nfour\n");
    expect(outcome(read(19, 1000))).toBe("");
    expect(outcome(read(1_000_000, 1000))).toBe("");
    expect(outcome(read(4, 1000))).toBe("two\nthree\nfour\n");
    fs.kernel.release(nodeid, fh);
  });

  test("a long control file answers reads in the order of their arrival, and produces no piece twice", () => {
    using fs = served({
      control: (mount) => {
        let pieces = 0;
        const next = () => {
          fs.elapse(6);
          return pieces < 10 ? Buffer.from(`${pieces++}`) : undefined;
        };
        return { slow: serveStream(mount, () => ({ next })) };
      },
    });
    const { nodeid, fh, read, outcome } = start(fs);
    const [first, second, third] = [read(0, 4), read(4, 4), read(8, 4)];
    expect([first, second, third].map(outcome)).toEqual([undefined, undefined, undefined]);
    fs.pass(100);
    expect([first, second, third].map(outcome)).toEqual(["0123", "4567", "89"]);
    expect(outcome(read(0, 4))).toBe("ESPIPE");
    fs.kernel.release(nodeid, fh);
  });

  test("a long control file returns to an interrupted read what it has so far, or EINTR", () => {
    using fs = slow(["one\n", ...Array(100).fill(undefined)], 6);
    const { nodeid, fh, read, outcome } = start(fs);
    const [first, second] = [read(0, 1000), read(4, 1000)];
    fs.mount.control.leave(second);
    expect([first, second].map(outcome)).toEqual([undefined, "EINTR"]);
    fs.mount.control.leave(first);
    expect(outcome(first)).toBe("one\n");
    fs.kernel.release(nodeid, fh);
    fs.pass(100);
    expect(fs.timers.due).toBeUndefined();
  });
});

describe("the control files", () => {
  function real(): ServedTree {
    return served({
      control: (mount, answers) =>
        controlFiles(mount, answers, { mountpoint: "/somewhere", counts: () => ({ lookup: 3 }) }),
    });
  }

  test("status.json counts files by state", () => {
    using fs = real();
    fs.file("/a");
    fs.pending("/b");
    fs.pending("/c");
    fs.kernel.call("link", ROOT, { oldnodeid: fs.node("/c"), name: "d" });
    fs.kernel.start("open", fs.node("/b"), {});
    const status = JSON.parse(fs.cat("/.llmfs/status.json"));
    expect(status).toMatchObject({
      mountpoint: "/somewhere",
      files: { static: 1, pending: 1, generating: 1, ready: 0, failed: 0 },
      generating: 1,
      inodes: 5,
      requests: { lookup: 3 },
    });
  });

  test("status.json agrees with a count of the tree after every change to a file", () => {
    using fs = real();
    const files = () => JSON.parse(fs.cat("/.llmfs/status.json")).files;
    const empty = { static: 0, pending: 0, generating: 0, ready: 0, failed: 0 };
    expect(files()).toEqual(empty);
    fs.pending("/poem");
    expect(files()).toEqual({ ...empty, pending: 1 });
    const { nodeid } = fs.kernel.walk("/poem");
    fs.kernel.start("open", nodeid, {});
    expect(files()).toEqual({ ...empty, generating: 1 });
    fs.failed("EIO");
    expect(files()).toEqual({ ...empty, failed: 1 });
    fs.kernel.start("open", nodeid, {});
    fs.content("a poem");
    expect(files()).toEqual({ ...empty, ready: 1 });
    const { fh } = fs.open("/poem", 1);
    fs.write({ nodeid, fh }, "A");
    expect(files()).toEqual({ ...empty, static: 1 });
    fs.kernel.call("unlink", ROOT, { name: "poem" });
    expect(files()).toEqual(empty);
    fs.kernel.release(nodeid, fh);
    expect(files()).toEqual(empty);
  });

  test("status.json counts the inodes that the kernel holds, including files without a name", () => {
    using fs = real();
    const held = () => JSON.parse(fs.cat("/.llmfs/status.json")).kernelInodes;
    fs.file("/a");
    const before = held();
    const nodeid = fs.node("/a");
    expect(held()).toBe(before + 1);
    fs.kernel.call("unlink", ROOT, { name: "a" });
    expect(held()).toBe(before + 1);
    fs.kernel.forget(nodeid);
    expect(held()).toBe(before);
  });

  test("status.json is produced without a look at any file", () => {
    using fs = real();
    fs.pending("/a");
    fs.file("/b");
    using walk = spyOn(fs.tree, "walk");
    using inodes = spyOn(fs.tree, "inodes");
    expect(JSON.parse(fs.cat("/.llmfs/status.json")).files).toMatchObject({ static: 1, pending: 1 });
    expect([walk, inodes].map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
  });

  test("status.json and statfs(2) report the same usage", () => {
    using fs = served({
      size: 64 << 20,
      inodes: 1000,
      control: (mount, answers) => controlFiles(mount, answers, { mountpoint: "/", counts: () => ({}) }),
    });
    const used = () => {
      const { blocks, bfree, files, ffree, bsize } = fs.kernel.call("statfs", ROOT, {});
      return { bytes: (Number(blocks) - Number(bfree)) * bsize, inodes: Number(files) - Number(ffree) };
    };
    const agree = () => {
      const { bytes, inodes } = JSON.parse(fs.cat("/.llmfs/status.json"));
      expect({ bytes, inodes }).toEqual(used());
      return { bytes, inodes };
    };
    expect(agree()).toEqual({ bytes: 0, inodes: 1 });
    fs.file("/small", "abc");
    fs.file("/large", Buffer.alloc(20 << 20, 1));
    expect(agree()).toEqual({ bytes: (20 << 20) + PAGE, inodes: 3 });
    // Another name counts as an inode, and so do attributes.
    fs.kernel.call("link", ROOT, { oldnodeid: fs.node("/small"), name: "other" });
    const value = Buffer.alloc(1500);
    fs.kernel.call("setxattr", fs.node("/small"), { name: "user.a", value, size: value.length });
    fs.kernel.call("symlink", ROOT, { name: "link", target: "x".repeat(200) });
    expect(agree().inodes).toBe(7);
    // A removed file that is still open takes its space until it is closed.
    const { nodeid, fh } = fs.open("/large");
    fs.kernel.call("unlink", ROOT, { name: "large" });
    expect(agree().bytes).toBeGreaterThan(20 << 20);
    fs.kernel.release(nodeid, fh);
    fs.kernel.letGo();
    expect(agree().bytes).toBeLessThan(20 << 20);
  });

  test("pending.json lists each file once, by its first name, and omits files without a name", () => {
    using fs = real();
    expect(fs.cat("/.llmfs/pending.json")).toBe("[]\n");
    fs.pending("/b", { "user.llmfs.depends": "a" });
    fs.kernel.call("link", ROOT, { oldnodeid: fs.node("/b"), name: "a" });
    fs.file("/c");
    fs.pending("/gone");
    fs.kernel.walk("/gone");
    fs.kernel.call("unlink", ROOT, { name: "gone" });
    fs.pending("/d");
    expect(fs.cat("/.llmfs/pending.json")).toBe(
      '[\n{"path":"/a","state":"pending","generator":"llm","depends":"a"},\n' +
        '{"path":"/d","state":"pending","generator":"llm"}\n]\n',
    );
  });

  test("pending.json says since when a file is being generated, and whether that waits for its turn", () => {
    using fs = real();
    fs.pending("/a");
    const before = Date.now();
    fs.kernel.start("open", fs.node("/a"), { flags: 0 });
    const [first] = JSON.parse(fs.cat("/.llmfs/pending.json"));
    expect(first).toEqual({ path: "/a", state: "generating", generator: "llm", since: expect.any(String) });
    expect(Date.parse(first.since)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(first.since)).toBeLessThanOrEqual(Date.now());
    fs.mount.waiters.setStage(fs.requests.at(-1)?.ticket ?? 0, "queued");
    expect(JSON.parse(fs.cat("/.llmfs/pending.json"))).toEqual([{ ...first, queued: true }]);
    fs.content("made");
    expect(fs.cat("/.llmfs/pending.json")).toBe("[]\n");
  });

  test(".llmfs/tree shows every path, and what is unusual about it", () => {
    using fs = real();
    fs.file("/dir/static");
    fs.pending("/dir/poem");
    fs.kernel.call("symlink", ROOT, { name: "link", target: "dir" });
    expect(fs.cat("/.llmfs/tree")).toBe("/dir/\n/dir/poem (pending)\n/dir/static\n/link -> dir\n");
  });

  test(".llmfs/snapshot.json is the tree at the moment it was opened", () => {
    using fs = real();
    fs.file("/file", "before");
    const { nodeid, fh } = fs.open("/.llmfs/snapshot.json");
    fs.write(fs.open("/file", 1), "AFTER!");
    fs.file("/later");
    const snapshot = fs.kernel.readAll(nodeid, fh).toString();
    expect(snapshot).toContain("before");
    expect(snapshot).not.toContain("AFTER!");
    expect(snapshot).not.toContain("later");
    expect(() => JSON.parse(snapshot)).not.toThrow();
  });

  test(".llmfs/README describes the control files", () => {
    using fs = real();
    const readme = fs.cat("/.llmfs/README");
    for (const name of fs.ls("/.llmfs").filter((name) => !name.startsWith("."))) expect(readme).toContain(name);
  });
});
