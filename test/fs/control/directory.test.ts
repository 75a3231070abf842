/** `.llmfs`: reachable by name, absent from listings, and no part of the tree. */
import { describe, expect, test } from "bun:test";
import { produced, text } from "../../../src/fs/control/directory.ts";
import { controlFiles } from "../../../src/fs/control/files.ts";
import * as abi from "../../../src/fuse/abi.ts";
import { S_IFDIR, S_IFIFO, S_IFREG } from "../../../src/tree/inode.ts";
import { RENAME_EXCHANGE } from "../../../src/tree/tree.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

/** With two files: `hello`, and `count`, which says how often it was opened. */
function withControl(): ServedTree {
  let opened = 0;
  return served({
    control: () => ({
      hello: text(() => "hello"),
      count: text(() => `${++opened}\n`),
    }),
  });
}

function llmfs(fs: ServedTree): number {
  return fs.node("/.llmfs");
}

describe("the directory", () => {
  test("is reachable by name", () => {
    using fs = withControl();
    expect(fs.kernel.stat(llmfs(fs)).mode).toBe(S_IFDIR | 0o500);
  });

  test("is absent from listings", () => {
    using fs = withControl();
    fs.file("/file");
    expect(fs.ls("/")).toEqual([".", "..", "file"]);
    expect(fs.kernel.list(ROOT, { plus: true }).map(({ name }) => name)).toEqual([".", "..", "file"]);
  });

  test("lists what it holds", () => {
    using fs = withControl();
    expect(fs.ls("/.llmfs")).toEqual([".", "..", "count", "hello"]);
  });

  test("does not count as a subdirectory, nor as an inode", () => {
    using fs = withControl();
    llmfs(fs);
    expect(fs.kernel.stat(ROOT).nlink).toBe(2);
    expect(fs.tree.space.inodes).toBe(1);
  });

  test("is in the root alone", () => {
    using fs = withControl();
    fs.directory("/dir");
    expect(fs.kernel.call("lookup", fs.node("/dir"), { name: ".llmfs" }).nodeid).toBe(0);
  });

  test("is not there when there is no control surface, and the name is free", () => {
    using fs = served();
    expect(fs.kernel.call("lookup", ROOT, { name: ".llmfs" }).nodeid).toBe(0);
    fs.kernel.call("mkdir", ROOT, { name: ".llmfs", mode: 0o755 });
    expect(fs.ls("/")).toContain(".llmfs");
  });
});

describe("a control file", () => {
  test("is made anew for every open", () => {
    using fs = withControl();
    expect([fs.cat("/.llmfs/count"), fs.cat("/.llmfs/count"), fs.cat("/.llmfs/hello")]).toEqual([
      "1\n",
      "2\n",
      "hello",
    ]);
  });

  test("belongs to its open: two readers don't disturb each other", () => {
    using fs = withControl();
    const one = fs.open("/.llmfs/count");
    const two = fs.open("/.llmfs/count");
    expect(fs.kernel.readAll(two.nodeid, two.fh).toString()).toBe("2\n");
    expect(fs.kernel.readAll(one.nodeid, one.fh).toString()).toBe("1\n");
  });

  test("is one that the kernel keeps nothing of", () => {
    using fs = withControl();
    const { open_flags } = fs.kernel.call("open", fs.node("/.llmfs/hello"), {});
    expect(open_flags).toBe(abi.FOPEN_DIRECT_IO);
  });

  test("is read in pieces of any size", () => {
    using fs = withControl();
    const { nodeid, fh } = fs.open("/.llmfs/hello");
    const read = (offset: number) => fs.kernel.call("read", nodeid, { fh, offset, size: 2 }).toString();
    expect([read(0), read(2), read(4), read(5)]).toEqual(["he", "ll", "o", ""]);
  });

  test("can be read again from a place in the last piece, and not from before it", () => {
    let left = 3;
    using fs = served({
      control: () => ({
        three: produced(() => ({ next: () => (left-- > 0 ? Buffer.from(`piece ${left}\n`) : undefined) })),
      }),
    });
    const { nodeid, fh } = fs.open("/.llmfs/three");
    const read = (offset: number, size: number) => fs.kernel.call("read", nodeid, { fh, offset, size }).toString();
    expect(read(0, 10)).toBe("piece 2\npi");
    expect(read(8, 4)).toBe("piec");
    expect(() => read(0, 4)).toThrow("ESPIPE");
    expect(read(12, 100)).toBe("e 1\npiece 0\n");
  });

  test("tells its producer when it is closed, read to the end or not", () => {
    let closed = 0;
    using fs = served({
      control: () => ({ endless: produced(() => ({ next: () => Buffer.alloc(100), close: () => closed++ })) }),
    });
    const { nodeid, fh } = fs.open("/.llmfs/endless");
    fs.kernel.call("read", nodeid, { fh, size: 10 });
    expect(closed).toBe(0);
    fs.kernel.release(nodeid, fh);
    expect(closed).toBe(1);
  });

  test("a read through a closed handle is EBADF", () => {
    using fs = withControl();
    const { nodeid, fh } = fs.open("/.llmfs/hello");
    fs.kernel.release(nodeid, fh);
    expect(fs.kernel.errno("read", nodeid, { fh, size: 10 })).toBe("EBADF");
  });

  test("can't be opened for writing", () => {
    using fs = withControl();
    for (const flags of [1, 2]) {
      expect(fs.kernel.errno("open", fs.node("/.llmfs/hello"), { flags })).toBe("EACCES");
    }
  });

  test("asks for no content", () => {
    using fs = withControl();
    fs.pending("/poem");
    fs.cat("/.llmfs/hello");
    expect(fs.posted).toEqual([]);
  });
});

describe("the control surface takes no part in the tree", () => {
  test("nothing can be made in it, removed from it, or moved into or out of it", () => {
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

  test("its name can't be taken, removed or moved", () => {
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

  test("its files have no size to change and no attributes to set", () => {
    using fs = withControl();
    const nodeid = fs.node("/.llmfs/hello");
    expect(fs.kernel.errno("setattr", nodeid, { valid: abi.FATTR_SIZE, size: 5 })).toBe("EPERM");
    expect(fs.kernel.stat(nodeid).size).toBe(0);
    const value = Buffer.from("pending");
    expect(fs.kernel.errno("setxattr", nodeid, { name: "user.llmfs.state", value, size: 7 })).toBe("EPERM");
    expect(fs.kernel.errno("setxattr", nodeid, { name: "user.a", value, size: 7 })).toBe("EPERM");
  });

  test("who may read its files is changed by chmod and chown, as anywhere", () => {
    using fs = withControl();
    const nodeid = fs.node("/.llmfs/hello");
    const request = { valid: abi.FATTR_MODE | abi.FATTR_UID, mode: 0o444, uid: 1000 };
    expect(fs.kernel.call("setattr", nodeid, request).attr).toMatchObject({ mode: S_IFREG | 0o444, uid: 1000 });
  });

  test("forgetting it leaves it there", () => {
    using fs = withControl();
    fs.cat("/.llmfs/hello");
    fs.kernel.letGo();
    expect(fs.cat("/.llmfs/hello")).toBe("hello");
  });
});

describe("what is in it", () => {
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
      inodes: 4,
      requests: { lookup: 3 },
    });
  });

  test("tree shows every path, and what is not ordinary about it", () => {
    using fs = real();
    fs.file("/dir/static");
    fs.pending("/dir/poem");
    fs.kernel.call("symlink", ROOT, { name: "link", target: "dir" });
    expect(fs.cat("/.llmfs/tree")).toBe("/dir/\n/dir/poem (pending)\n/dir/static\n/link -> dir\n");
  });

  test("snapshot.json is the tree as of the moment it was opened", () => {
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

  test("README says what there is", () => {
    using fs = real();
    const readme = fs.cat("/.llmfs/README");
    for (const name of fs.ls("/.llmfs").filter((name) => !name.startsWith("."))) expect(readme).toContain(name);
  });
});
