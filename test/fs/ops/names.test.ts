/** Creating, linking, removing and renaming, as the kernel requests it. */
import { describe, expect, test } from "bun:test";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK, S_ISGID } from "../../../src/tree/inode.ts";
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } from "../../../src/tree/tree.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

const LONG = "n".repeat(256);

/** rename(2) within the root, or by full paths; the errno or "ok". */
function rename(fs: ServedTree, from: string, to: string, flags?: number): string {
  const [name, newname] = [from, to].map((path) => path.slice(path.lastIndexOf("/") + 1));
  const [nodeid, newdir] = [from, to].map((path) => {
    const parent = path.slice(0, path.lastIndexOf("/"));
    return parent === "" ? ROOT : fs.node(parent);
  });
  const request = { name: name ?? "", newname: newname ?? "", newdir: newdir ?? 0 };
  return flags === undefined
    ? fs.kernel.errno("rename", nodeid ?? 0, request)
    : fs.kernel.errno("rename2", nodeid ?? 0, { ...request, flags });
}

function nlink(fs: ServedTree, path: string): number {
  return fs.kernel.stat(path === "/" ? ROOT : fs.node(path)).nlink;
}

describe("create", () => {
  test("create makes a file and opens it", () => {
    using fs = served();
    const { entry, open } = fs.kernel.call("create", ROOT, { name: "a", mode: 0o640, flags: 2 });
    expect(entry.attr).toMatchObject({ mode: S_IFREG | 0o640, nlink: 1, size: 0, blocks: 0 });
    fs.write({ nodeid: entry.nodeid, fh: open.fh }, "hello");
    expect(fs.cat("/a")).toBe("hello");
  });

  test("create makes a file that belongs to the caller", () => {
    using fs = served();
    const caller = { uid: 1000, gid: 100 };
    expect(fs.kernel.call("create", ROOT, { name: "a", mode: 0o644 }, caller).entry.attr).toMatchObject(caller);
    expect(fs.kernel.call("mkdir", ROOT, { name: "b", mode: 0o755 }, caller).attr).toMatchObject(caller);
    expect(fs.kernel.call("symlink", ROOT, { name: "c", target: "a" }, caller).attr).toMatchObject(caller);
    expect(fs.kernel.call("mknod", ROOT, { name: "d", mode: S_IFIFO }, caller).attr).toMatchObject(caller);
  });

  test("create applies the umask of the caller, not that of the server", () => {
    using fs = served();
    const before = process.umask(0o777);
    try {
      const made = fs.kernel.call("create", ROOT, { name: "a", mode: 0o100666, umask: 0o027 });
      expect(made.entry.attr.mode).toBe(S_IFREG | 0o640);
      expect(fs.kernel.call("mkdir", ROOT, { name: "b", mode: 0o777, umask: 0o022 }).attr.mode).toBe(S_IFDIR | 0o755);
      expect(fs.kernel.call("mknod", ROOT, { name: "c", mode: S_IFIFO | 0o666, umask: 0o077 }).attr.mode).toBe(
        S_IFIFO | 0o600,
      );
    } finally {
      process.umask(before);
    }
  });

  test("create in a setgid directory takes over its group, and for directories the setgid bit too", () => {
    using fs = served();
    const made = fs.kernel.call("mkdir", ROOT, { name: "shared", mode: 0o2775 }, { uid: 1, gid: 50 });
    expect(made.attr.mode).toBe(S_IFDIR | 0o2775);
    const caller = { uid: 1000, gid: 100 };
    expect(fs.kernel.call("create", made.nodeid, { name: "a", mode: 0o644 }, caller).entry.attr.gid).toBe(50);
    const inner = fs.kernel.call("mkdir", made.nodeid, { name: "b", mode: 0o755 }, caller).attr;
    expect([inner.gid, inner.mode & S_ISGID]).toEqual([50, S_ISGID]);
  });

  test("create of a name that exists is EEXIST for every type of inode", () => {
    using fs = served();
    fs.file("/file");
    fs.directory("/dir");
    for (const name of ["file", "dir"]) {
      expect(fs.kernel.errno("create", ROOT, { name, mode: 0o644 })).toBe("EEXIST");
      expect(fs.kernel.errno("mkdir", ROOT, { name, mode: 0o755 })).toBe("EEXIST");
      expect(fs.kernel.errno("symlink", ROOT, { name, target: "x" })).toBe("EEXIST");
      expect(fs.kernel.errno("mknod", ROOT, { name, mode: S_IFIFO })).toBe("EEXIST");
      expect(fs.kernel.errno("link", ROOT, { name, oldnodeid: fs.node("/file") })).toBe("EEXIST");
    }
  });

  test("create with a name of 256 bytes is ENAMETOOLONG, as in every other operation", () => {
    using fs = served();
    fs.file("/file");
    expect(fs.kernel.errno("create", ROOT, { name: LONG, mode: 0o644 })).toBe("ENAMETOOLONG");
    expect(fs.kernel.errno("mkdir", ROOT, { name: LONG, mode: 0o755 })).toBe("ENAMETOOLONG");
    expect(fs.kernel.errno("symlink", ROOT, { name: LONG, target: "x" })).toBe("ENAMETOOLONG");
    expect(fs.kernel.errno("mknod", ROOT, { name: LONG, mode: S_IFIFO })).toBe("ENAMETOOLONG");
    expect(fs.kernel.errno("link", ROOT, { name: LONG, oldnodeid: fs.node("/file") })).toBe("ENAMETOOLONG");
    expect(fs.kernel.errno("unlink", ROOT, { name: LONG })).toBe("ENAMETOOLONG");
    expect(fs.kernel.errno("rmdir", ROOT, { name: LONG })).toBe("ENAMETOOLONG");
    expect(rename(fs, "/file", `/${LONG}`)).toBe("ENAMETOOLONG");
  });

  test("create in a file is ENOTDIR", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    expect(fs.kernel.errno("create", nodeid, { name: "x", mode: 0o644 })).toBe("ENOTDIR");
    expect(fs.kernel.errno("mkdir", nodeid, { name: "x", mode: 0o755 })).toBe("ENOTDIR");
    expect(fs.kernel.errno("tmpfile", nodeid, { name: "/", mode: 0o600 })).toBe("ENOTDIR");
  });

  test("create beyond the limit of inodes is ENOSPC and changes nothing", () => {
    using fs = served({ inodes: 3 });
    fs.file("/one");
    fs.file("/two");
    expect(fs.kernel.errno("create", ROOT, { name: "three", mode: 0o644 })).toBe("ENOSPC");
    expect(fs.kernel.errno("mkdir", ROOT, { name: "three", mode: 0o755 })).toBe("ENOSPC");
    expect(fs.kernel.errno("symlink", ROOT, { name: "three", target: "x" })).toBe("ENOSPC");
    expect(fs.kernel.errno("tmpfile", ROOT, { name: "/", mode: 0o600 })).toBe("ENOSPC");
    expect(fs.ls("/")).toEqual([".", "..", "one", "two"]);
    expect(nlink(fs, "/")).toBe(2);
  });

  test("create changes the directory's times and no others", () => {
    using fs = served();
    fs.file("/old");
    const old = fs.kernel.stat(fs.node("/old"));
    fs.clock.tick();
    fs.kernel.call("create", ROOT, { name: "new", mode: 0o644 });
    const { seconds, nanoseconds } = fs.clock;
    const root = fs.kernel.stat(ROOT);
    expect(root).toMatchObject({ mtime: seconds, ctime: seconds, mtimensec: nanoseconds, ctimensec: nanoseconds });
    expect(root.atime).toBeLessThan(seconds);
    expect(fs.kernel.stat(fs.node("/old"))).toEqual(old);
  });
});

describe("mknod", () => {
  test("mknod makes a fifo, a socket and device nodes", () => {
    using fs = served();
    const made = [S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK].map((type) => {
      const { attr } = fs.kernel.call("mknod", ROOT, { name: `n${type}`, mode: type | 0o600, rdev: 0x801 });
      return attr.mode;
    });
    expect(made).toEqual([S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK].map((type) => type | 0o600));
  });

  test("mknod keeps the number of a device", () => {
    using fs = served();
    const { nodeid } = fs.kernel.call("mknod", ROOT, { name: "sda1", mode: S_IFBLK | 0o600, rdev: 0xfff00801 });
    expect(fs.kernel.stat(nodeid).rdev).toBe(0xfff00801);
  });

  test("mknod makes a regular file that can be written", () => {
    using fs = served();
    fs.kernel.call("mknod", ROOT, { name: "a", mode: S_IFREG | 0o644 });
    fs.write(fs.open("/a", 1), "hello");
    expect(fs.cat("/a")).toBe("hello");
  });

  test("mknod with an unknown type is EINVAL", () => {
    using fs = served();
    for (const type of [S_IFDIR, S_IFLNK, 0o170000, 0o030000]) {
      expect(fs.kernel.errno("mknod", ROOT, { name: "x", mode: type | 0o644 })).toBe("EINVAL");
    }
  });

  test("mknod of anything but a regular file makes an inode whose open is an error", () => {
    using fs = served();
    fs.kernel.call("mknod", ROOT, { name: "fifo", mode: S_IFIFO });
    fs.directory("/dir");
    expect(fs.kernel.errno("open", fs.node("/fifo"))).toBe("EINVAL");
    expect(fs.kernel.errno("open", fs.node("/dir"))).toBe("EISDIR");
  });
});

describe("symlinks", () => {
  test("a symlink keeps its target byte for byte", () => {
    using fs = served();
    const target = `../caf\xc3\xa9/${"x".repeat(2000)}\xff`;
    const { nodeid, attr } = fs.kernel.call("symlink", ROOT, { name: "link", target });
    expect(fs.kernel.call("readlink", nodeid).toString("latin1")).toBe(target);
    expect([attr.mode, attr.size]).toEqual([S_IFLNK | 0o777, target.length]);
  });

  test("readlink accepts only symlinks; any other inode is EINVAL", () => {
    using fs = served();
    fs.file("/file");
    expect(fs.kernel.errno("readlink", fs.node("/file"))).toBe("EINVAL");
    expect(fs.kernel.errno("readlink", ROOT)).toBe("EINVAL");
  });
});

describe("link", () => {
  test("link gives one inode two names", () => {
    using fs = served();
    fs.file("/a", "hello");
    const nodeid = fs.node("/a");
    const made = fs.kernel.call("link", ROOT, { name: "b", oldnodeid: nodeid });
    expect([made.nodeid, made.attr.nlink]).toEqual([nodeid, 2]);
    fs.write(fs.open("/b", 1), "J");
    expect(fs.cat("/a")).toBe("Jello");
  });

  test("link refuses a directory", () => {
    using fs = served();
    fs.directory("/dir");
    expect(fs.kernel.errno("link", ROOT, { name: "b", oldnodeid: fs.node("/dir") })).toBe("EPERM");
  });

  test("link accepts symlinks and fifos", () => {
    using fs = served();
    const link = fs.kernel.call("symlink", ROOT, { name: "s", target: "t" });
    expect(fs.kernel.call("link", ROOT, { name: "s2", oldnodeid: link.nodeid }).attr.nlink).toBe(2);
    const fifo = fs.kernel.call("mknod", ROOT, { name: "f", mode: S_IFIFO });
    expect(fs.kernel.call("link", ROOT, { name: "f2", oldnodeid: fifo.nodeid }).attr.nlink).toBe(2);
  });

  test("link changes the inode's ctime, not its mtime", () => {
    using fs = served();
    fs.file("/a");
    const nodeid = fs.node("/a");
    const before = fs.kernel.stat(nodeid);
    fs.clock.tick();
    fs.kernel.call("link", ROOT, { name: "b", oldnodeid: nodeid });
    expect(fs.kernel.stat(nodeid)).toMatchObject({ ctime: fs.clock.seconds, mtime: before.mtime });
  });
});

describe("unlink and rmdir", () => {
  test("unlink removes one name", () => {
    using fs = served();
    fs.file("/a", "hello");
    fs.kernel.call("link", ROOT, { name: "b", oldnodeid: fs.node("/a") });
    fs.kernel.call("unlink", ROOT, { name: "a" });
    expect(fs.ls("/")).toEqual([".", "..", "b"]);
    expect(nlink(fs, "/b")).toBe(1);
    expect(fs.cat("/b")).toBe("hello");
  });

  test("unlink and rmdir of a missing name are ENOENT", () => {
    using fs = served();
    expect(fs.kernel.errno("unlink", ROOT, { name: "x" })).toBe("ENOENT");
    expect(fs.kernel.errno("rmdir", ROOT, { name: "x" })).toBe("ENOENT");
  });

  test("unlink of a directory is EISDIR, rmdir of a file ENOTDIR", () => {
    using fs = served();
    fs.file("/file");
    fs.directory("/dir");
    expect(fs.kernel.errno("unlink", ROOT, { name: "dir" })).toBe("EISDIR");
    expect(fs.kernel.errno("rmdir", ROOT, { name: "file" })).toBe("ENOTDIR");
  });

  test("rmdir of a directory that is not empty is ENOTEMPTY", () => {
    using fs = served();
    fs.file("/dir/file");
    expect(fs.kernel.errno("rmdir", ROOT, { name: "dir" })).toBe("ENOTEMPTY");
    fs.kernel.call("unlink", fs.node("/dir"), { name: "file" });
    expect(fs.kernel.errno("rmdir", ROOT, { name: "dir" })).toBe("ok");
  });

  test("a directory's link count is the number of its subdirectories plus two", () => {
    using fs = served();
    expect(nlink(fs, "/")).toBe(2);
    fs.directory("/a");
    fs.directory("/b");
    fs.file("/c");
    expect(nlink(fs, "/")).toBe(4);
    fs.kernel.call("rmdir", ROOT, { name: "a" });
    expect(nlink(fs, "/")).toBe(3);
  });
});

describe("rename", () => {
  test("rename moves a file to another name and another directory", () => {
    using fs = served();
    fs.file("/a", "hello");
    fs.directory("/dir");
    const nodeid = fs.node("/a");
    expect(rename(fs, "/a", "/dir/b")).toBe("ok");
    expect(fs.ls("/")).toEqual([".", "..", "dir"]);
    expect(fs.node("/dir/b")).toBe(nodeid);
    expect(fs.cat("/dir/b")).toBe("hello");
  });

  test("rename replaces a file", () => {
    using fs = served();
    fs.file("/a", "new");
    fs.file("/b", "old");
    expect(rename(fs, "/a", "/b")).toBe("ok");
    expect(fs.ls("/")).toEqual([".", "..", "b"]);
    expect(fs.cat("/b")).toBe("new");
  });

  test("rename onto itself, or onto another name of the same file, changes nothing", () => {
    using fs = served();
    fs.file("/a", "hello");
    fs.kernel.call("link", ROOT, { name: "b", oldnodeid: fs.node("/a") });
    expect(rename(fs, "/a", "/a")).toBe("ok");
    expect(rename(fs, "/a", "/b")).toBe("ok");
    expect(fs.ls("/")).toEqual([".", "..", "a", "b"]);
    expect(nlink(fs, "/a")).toBe(2);
  });

  test("rename moves a directory with its contents, and updates the link counts of both parents", () => {
    using fs = served();
    fs.file("/from/dir/file", "hello");
    fs.directory("/to");
    expect(rename(fs, "/from/dir", "/to/dir")).toBe("ok");
    expect([nlink(fs, "/from"), nlink(fs, "/to")]).toEqual([2, 3]);
    expect(fs.cat("/to/dir/file")).toBe("hello");
    expect(fs.kernel.call("lookup", fs.node("/to/dir"), { name: ".." }).nodeid).toBe(fs.node("/to"));
  });

  test("rename replaces an empty directory with a directory", () => {
    using fs = served();
    fs.file("/a/file", "hello");
    fs.directory("/b");
    expect(rename(fs, "/a", "/b")).toBe("ok");
    expect(nlink(fs, "/")).toBe(3);
    expect(fs.cat("/b/file")).toBe("hello");
  });

  test("rename onto a directory that is not empty is ENOTEMPTY", () => {
    using fs = served();
    fs.directory("/a");
    fs.file("/b/file");
    expect(rename(fs, "/a", "/b")).toBe("ENOTEMPTY");
  });

  test("rename of a file onto a directory is EISDIR, of a directory onto a file ENOTDIR", () => {
    using fs = served();
    fs.file("/file");
    fs.directory("/dir");
    expect(rename(fs, "/file", "/dir")).toBe("EISDIR");
    expect(rename(fs, "/dir", "/file")).toBe("ENOTDIR");
  });

  test("rename of a directory into itself or below itself is EINVAL", () => {
    using fs = served();
    fs.directory("/a/b/c");
    expect(rename(fs, "/a", "/a/x")).toBe("EINVAL");
    expect(rename(fs, "/a", "/a/b/c/x")).toBe("EINVAL");
  });

  test("rename onto an ancestor is ENOTEMPTY", () => {
    using fs = served();
    fs.file("/a/b/file");
    expect(rename(fs, "/a/b/file", "/a")).toBe("EISDIR");
    expect(rename(fs, "/a/b", "/a")).toBe("ENOTEMPTY");
  });

  test("rename of a missing name is ENOENT, and so is a rename into a removed directory", () => {
    using fs = served();
    fs.file("/a");
    fs.directory("/dir");
    const dir = fs.node("/dir");
    fs.kernel.call("rmdir", ROOT, { name: "dir" });
    expect(rename(fs, "/none", "/b")).toBe("ENOENT");
    expect(fs.kernel.errno("rename", ROOT, { name: "a", newname: "a", newdir: dir })).toBe("ENOENT");
  });

  test("rename with NOREPLACE onto an existing target is EEXIST, even if it is the file itself", () => {
    using fs = served();
    fs.file("/a");
    fs.file("/b");
    expect(rename(fs, "/a", "/b", RENAME_NOREPLACE)).toBe("EEXIST");
    expect(rename(fs, "/a", "/a", RENAME_NOREPLACE)).toBe("EEXIST");
    expect(rename(fs, "/a", "/c", RENAME_NOREPLACE)).toBe("ok");
  });

  test("rename with EXCHANGE swaps two names, even those of a directory and a file", () => {
    using fs = served();
    fs.file("/here/file", "hello");
    fs.file("/there/dir/inner");
    expect(rename(fs, "/here/file", "/there/dir", RENAME_EXCHANGE)).toBe("ok");
    expect(fs.cat("/there/dir")).toBe("hello");
    expect(fs.ls("/here/file")).toEqual([".", "..", "inner"]);
    expect([nlink(fs, "/here"), nlink(fs, "/there")]).toEqual([3, 2]);
  });

  test("rename with EXCHANGE gives two directories each other's parent", () => {
    using fs = served();
    fs.directory("/here/a");
    fs.directory("/there/b");
    expect(rename(fs, "/here/a", "/there/b", RENAME_EXCHANGE)).toBe("ok");
    expect([nlink(fs, "/here"), nlink(fs, "/there")]).toEqual([3, 3]);
    expect(fs.kernel.call("lookup", fs.node("/there/b"), { name: ".." }).nodeid).toBe(fs.node("/there"));
  });

  test("rename with EXCHANGE is ENOENT without a target, and EINVAL for a directory and something within it", () => {
    using fs = served();
    fs.directory("/a/b");
    expect(rename(fs, "/a", "/none", RENAME_EXCHANGE)).toBe("ENOENT");
    expect(rename(fs, "/a", "/a/b", RENAME_EXCHANGE)).toBe("EINVAL");
    expect(rename(fs, "/a/b", "/a", RENAME_EXCHANGE)).toBe("EINVAL");
  });

  test("rename with EXCHANGE of a name with itself, or of two names of one file, changes nothing", () => {
    using fs = served();
    fs.file("/a", "hello");
    fs.kernel.call("link", ROOT, { name: "b", oldnodeid: fs.node("/a") });
    expect(rename(fs, "/a", "/a", RENAME_EXCHANGE)).toBe("ok");
    expect(rename(fs, "/a", "/b", RENAME_EXCHANGE)).toBe("ok");
    expect(fs.ls("/").sort()).toEqual([".", "..", "a", "b"]);
    expect(nlink(fs, "/a")).toBe(2);
  });

  test("rename with WHITEOUT leaves device 0 in the file's place", () => {
    using fs = served();
    fs.file("/a", "hello");
    expect(rename(fs, "/a", "/b", RENAME_WHITEOUT)).toBe("ok");
    expect(fs.kernel.stat(fs.node("/a"))).toMatchObject({ mode: S_IFCHR, rdev: 0 });
    expect(fs.cat("/b")).toBe("hello");
  });

  test("rename changes the times of both directories and the ctime of what moved", () => {
    using fs = served();
    fs.file("/from/a");
    fs.directory("/to");
    const before = fs.kernel.stat(fs.node("/from/a"));
    fs.clock.tick();
    rename(fs, "/from/a", "/to/a");
    const now = fs.clock.seconds;
    expect(fs.kernel.stat(fs.node("/from"))).toMatchObject({ mtime: now, ctime: now });
    expect(fs.kernel.stat(fs.node("/to"))).toMatchObject({ mtime: now, ctime: now });
    expect(fs.kernel.stat(fs.node("/to/a"))).toMatchObject({ mtime: before.mtime, ctime: now });
  });
});
