/** stat, and what changes its result: getattr, setattr, statfs. */
import { describe, expect, test } from "bun:test";
import * as abi from "../../../src/fuse/abi.ts";
import { FdStore } from "../../../src/tree/content/store.ts";
import { S_IFDIR, S_IFIFO, S_IFREG } from "../../../src/tree/inode.ts";
import { ROOT, type ServedTree, served } from "../../support/served.ts";

function setattr(fs: ServedTree, nodeid: number, request: Parameters<typeof fs.kernel.call<"setattr">>[2]) {
  return fs.kernel.call("setattr", nodeid, request).attr;
}

describe("getattr", () => {
  test("getattr returns the size and blocks of a file", () => {
    using fs = served();
    fs.file("/file", "x".repeat(5000));
    expect(fs.kernel.stat(fs.node("/file"))).toMatchObject({
      size: 5000,
      blocks: 16,
      blksize: 4096,
      nlink: 1,
      mode: S_IFREG | 0o644,
    });
  });

  test("getattr counts the pages of a sparse file that hold data", () => {
    using fs = served();
    fs.file("/file");
    const open = fs.open("/file", 1);
    fs.write(open, "x", 1 << 30);
    expect(fs.kernel.stat(open.nodeid)).toMatchObject({ size: (1 << 30) + 1, blocks: 8 });
  });

  test("getattr works on the root without a lookup", () => {
    using fs = served();
    expect(fs.kernel.stat(ROOT)).toMatchObject({ ino: ROOT, mode: S_IFDIR | 0o755, nlink: 2 });
  });

  test("getattr lets the kernel cache attributes for a long time", () => {
    using fs = served();
    fs.file("/file");
    expect(fs.kernel.call("getattr", fs.node("/file")).attr_valid).toBeGreaterThan(86400);
  });
});

describe("chmod and chown", () => {
  test("chmod sets permission bits and never changes the type", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    expect(setattr(fs, nodeid, { valid: abi.FATTR_MODE, mode: S_IFDIR | 0o4711 }).mode).toBe(S_IFREG | 0o4711);
  });

  test("chown sets owner and group independently", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    expect(setattr(fs, nodeid, { valid: abi.FATTR_UID, uid: 1000, gid: 7 })).toMatchObject({ uid: 1000, gid: 0 });
    expect(setattr(fs, nodeid, { valid: abi.FATTR_GID, uid: 7, gid: 100 })).toMatchObject({ uid: 1000, gid: 100 });
  });

  test("chmod and chown change the ctime and leave the mtime", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    const before = fs.kernel.stat(nodeid);
    fs.clock.tick();
    expect(setattr(fs, nodeid, { valid: abi.FATTR_MODE, mode: 0o600 })).toMatchObject({
      mtime: before.mtime,
      atime: before.atime,
      ctime: fs.clock.seconds,
      ctimensec: fs.clock.nanoseconds,
    });
  });

  test("chown clears setuid and setgid when the owner changes", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    setattr(fs, nodeid, { valid: abi.FATTR_MODE, mode: 0o6755 });
    expect(setattr(fs, nodeid, { valid: abi.FATTR_UID, uid: 1000 }).mode & 0o7777).toBe(0o755);
  });

  test("chown keeps setgid without group execution, which grants no privilege", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    setattr(fs, nodeid, { valid: abi.FATTR_MODE, mode: 0o6745 });
    expect(setattr(fs, nodeid, { valid: abi.FATTR_GID, gid: 1000 }).mode & 0o7777).toBe(0o2745);
  });

  test("chown keeps setuid and setgid on a directory", () => {
    using fs = served();
    fs.directory("/dir");
    const nodeid = fs.node("/dir");
    setattr(fs, nodeid, { valid: abi.FATTR_MODE, mode: 0o7777 });
    expect(setattr(fs, nodeid, { valid: abi.FATTR_UID, uid: 1000 }).mode & 0o7777).toBe(0o7777);
  });

  test("chown keeps setuid and setgid if they are set in the same request", () => {
    using fs = served();
    fs.file("/file");
    const valid = abi.FATTR_MODE | abi.FATTR_UID;
    expect(setattr(fs, fs.node("/file"), { valid, mode: 0o4755, uid: 1000 }).mode & 0o7777).toBe(0o4755);
  });

  test("chown clears setuid if the kernel asks for it", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    setattr(fs, nodeid, { valid: abi.FATTR_MODE, mode: 0o4755 });
    expect(setattr(fs, nodeid, { valid: abi.FATTR_KILL_SUIDGID }).mode & 0o7777).toBe(0o755);
  });
});

describe("utimensat", () => {
  const valid = abi.FATTR_ATIME | abi.FATTR_MTIME;

  test("utimensat sets both times to the nanosecond", () => {
    using fs = served();
    fs.file("/file");
    const times = { atime: 1, atimensec: 999_999_999, mtime: 1_234_567_890, mtimensec: 123_456_789 };
    expect(setattr(fs, fs.node("/file"), { valid, ...times })).toMatchObject(times);
  });

  test("utimensat sets one time and leaves the other", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    const before = fs.kernel.stat(nodeid);
    const after = setattr(fs, nodeid, { valid: abi.FATTR_MTIME, mtime: 5, mtimensec: 6 });
    expect(after).toMatchObject({ mtime: 5, mtimensec: 6, atime: before.atime, atimensec: before.atimensec });
  });

  test("utimensat accepts times before 1970, before 1901 and after 2106", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    for (const seconds of [-1, -86400 * 365 * 10, -(2 ** 33) - 5, 2 ** 32 + 1, 2 ** 34]) {
      const times = { atime: seconds, atimensec: 1, mtime: seconds, mtimensec: 999_999_999 };
      setattr(fs, nodeid, { valid, ...times });
      expect(fs.kernel.stat(nodeid)).toMatchObject(times);
    }
  });

  test("utimensat sets the last time that is exact in place of later ones, and the first one in place of earlier ones", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    const last = 2 ** 53 - 2;
    setattr(fs, nodeid, { valid, atime: 2 ** 63 - 2 ** 20, atimensec: 5, mtime: -(2 ** 63), mtimensec: 5 });
    expect(fs.kernel.stat(nodeid)).toMatchObject({ atime: last, atimensec: 5, mtime: -last, mtimensec: 5 });
  });

  test("utimensat sets the current time for UTIME_NOW", () => {
    using fs = served();
    fs.file("/file");
    fs.clock.tick();
    const now = valid | abi.FATTR_ATIME_NOW | abi.FATTR_MTIME_NOW;
    const { seconds, nanoseconds } = fs.clock;
    expect(setattr(fs, fs.node("/file"), { valid: now, atime: 5, mtime: 5 })).toMatchObject({
      atime: seconds,
      atimensec: nanoseconds,
      mtime: seconds,
      mtimensec: nanoseconds,
    });
  });

  test("utimensat sets the ctime to the current time", () => {
    using fs = served();
    fs.file("/file");
    fs.clock.tick();
    expect(setattr(fs, fs.node("/file"), { valid, atime: 5, mtime: 5 }).ctime).toBe(fs.clock.seconds);
  });

  test("utimensat sets times after those of writes that the kernel made directly to the store", () => {
    using fs = served();
    const file = fs.file("/file", "before");
    const nodeid = fs.node("/file");
    const store = file.share();
    if (!(store instanceof FdStore)) throw new Error("not a descriptor");
    store.mappable = true;
    store.write(0, Buffer.from("kernel"));
    expect(setattr(fs, nodeid, { valid: abi.FATTR_MTIME, mtime: 5 }).mtime).toBe(5);
    expect(fs.kernel.stat(nodeid).mtime).toBe(5);
    store.write(0, Buffer.from("kernel"));
    expect(fs.kernel.stat(nodeid).mtime).toBeGreaterThan(5);
    file.unshare();
  });

  describe("waiting for pages that were written through mappings", () => {
    const O_RDWR = 2;
    const setTime = { valid: abi.FATTR_MTIME, mtime: 5 };

    /** A file, open for reading and writing, that has pages which the kernel has not written back. */
    function stored(fs: ServedTree) {
      fs.file("/file", "before");
      const open = fs.open("/file", O_RDWR);
      fs.kernel.blocked = [];
      return { open, unique: fs.kernel.start("setattr", open.nodeid, setTime) };
    }

    /** The kernel has written everything back. */
    function writtenBack(fs: ServedTree) {
      fs.kernel.unblock();
      fs.mount.writeback.poll();
    }

    test("getattr replies when the kernel has written back the mapped pages", () => {
      using fs = served();
      const { open, unique } = stored(fs);
      expect(fs.kernel.outcome(unique)).toBeUndefined();
      expect(fs.mount.writeback.poll()).toBe(true);
      fs.write(open, "stored");
      writtenBack(fs);
      expect(fs.kernel.outcome<"setattr">(unique)).toMatchObject({ value: { attr: { mtime: 5 } } });
      expect(fs.kernel.notifications).toContainEqual({ code: "inval inode", nodeid: open.nodeid, off: 0, len: 0 });
      expect(fs.mount.writeback.poll()).toBe(false);
      fs.write(open, "later");
      expect(fs.kernel.stat(open.nodeid).mtime).toBe(fs.clock.seconds);
    });

    test("getattr replies at once if there is nothing to write back", () => {
      using fs = served();
      fs.file("/file", "before");
      const open = fs.open("/file", O_RDWR);
      expect(setattr(fs, open.nodeid, setTime).mtime).toBe(5);
      expect(fs.kernel.notifications).toContainEqual({ code: "inval inode", nodeid: open.nodeid, off: 0, len: 0 });
    });

    test("waiting for mapped pages ignores signals", () => {
      using fs = served();
      const { unique } = stored(fs);
      fs.kernel.interrupt(unique);
      expect(fs.kernel.outcome(unique)).toBeUndefined();
      writtenBack(fs);
      expect(fs.kernel.outcome<"setattr">(unique)).toMatchObject({ value: { attr: { mtime: 5 } } });
    });

    test.each<[string, number, Parameters<typeof setattr>[2]]>([
      ["a handle that cannot be mapped for writing", 1, setTime],
      ["a time that is not the content's", O_RDWR, { valid: abi.FATTR_ATIME, atime: 5 }],
      ["a size, while the kernel writes nothing back", O_RDWR, { ...setTime, valid: abi.FATTR_SIZE | abi.FATTR_MTIME }],
    ])("but not where there can be none: %s", (_what, flags, request) => {
      using fs = served();
      fs.file("/file", "before");
      const open = fs.open("/file", flags);
      fs.kernel.blocked = [];
      setattr(fs, open.nodeid, request);
      expect(fs.kernel.blocked).toEqual([]);
    });
  });

  test("waiting for mapped pages works on directories, symlinks and fifos", () => {
    using fs = served();
    fs.directory("/dir");
    const link = fs.kernel.call("symlink", ROOT, { name: "link", target: "x" });
    const fifo = fs.kernel.call("mknod", ROOT, { name: "fifo", mode: S_IFIFO });
    for (const nodeid of [fs.node("/dir"), link.nodeid, fifo.nodeid]) {
      expect(setattr(fs, nodeid, { valid, atime: -7, mtime: 8 })).toMatchObject({ atime: -7, mtime: 8 });
    }
  });
});

describe("truncate", () => {
  test("truncate shrinks and grows a file, and fills the growth with zeros", () => {
    using fs = served();
    fs.file("/file", "hello world");
    const nodeid = fs.node("/file");
    expect(setattr(fs, nodeid, { valid: abi.FATTR_SIZE, size: 5 }).size).toBe(5);
    expect(setattr(fs, nodeid, { valid: abi.FATTR_SIZE, size: 8 }).size).toBe(8);
    expect(fs.cat("/file")).toBe("hello\0\0\0");
  });

  test("truncate frees pages", () => {
    using fs = served();
    fs.file("/file", "x".repeat(100_000));
    setattr(fs, fs.node("/file"), { valid: abi.FATTR_SIZE, size: 1 });
    expect(fs.tree.space.usedPages).toBe(1);
    setattr(fs, fs.node("/file"), { valid: abi.FATTR_SIZE, size: 0 });
    expect(fs.tree.space.usedPages).toBe(0);
  });

  test("truncate to a huge size takes no memory", () => {
    using fs = served({ size: 1 << 20 });
    fs.file("/file");
    expect(setattr(fs, fs.node("/file"), { valid: abi.FATTR_SIZE, size: 2 ** 52 })).toMatchObject({
      size: 2 ** 52,
      blocks: 0,
    });
  });

  test("truncate beyond the largest size is EFBIG, and changes nothing", () => {
    using fs = served();
    fs.file("/file", "hello");
    const nodeid = fs.node("/file");
    expect(fs.kernel.errno("setattr", nodeid, { valid: abi.FATTR_SIZE, size: 2n ** 63n })).toBe("EFBIG");
    expect(fs.cat("/file")).toBe("hello");
  });

  test("truncate updates mtime and ctime when the size changes", () => {
    using fs = served();
    fs.file("/file", "hello");
    fs.clock.tick();
    const after = setattr(fs, fs.node("/file"), { valid: abi.FATTR_SIZE, size: 1 });
    expect(after).toMatchObject({ mtime: fs.clock.seconds, ctime: fs.clock.seconds });
  });

  test("truncate to the same size updates the times too, by path and by handle", () => {
    using fs = served();
    fs.file("/file", "hello");
    const open = fs.open("/file", 1);
    fs.clock.tick();
    expect(setattr(fs, open.nodeid, { valid: abi.FATTR_SIZE, size: 5 }).mtime).toBe(fs.clock.seconds);
    fs.clock.tick();
    const valid = abi.FATTR_SIZE | abi.FATTR_FH;
    expect(setattr(fs, open.nodeid, { valid, fh: open.fh, size: 5 }).mtime).toBe(fs.clock.seconds);
  });

  test("truncate of a directory is EISDIR, of a fifo EINVAL", () => {
    using fs = served();
    const fifo = fs.kernel.call("mknod", ROOT, { name: "fifo", mode: S_IFIFO });
    expect(fs.kernel.errno("setattr", ROOT, { valid: abi.FATTR_SIZE, size: 0 })).toBe("EISDIR");
    expect(fs.kernel.errno("setattr", fifo.nodeid, { valid: abi.FATTR_SIZE, size: 0 })).toBe("EINVAL");
  });
});

describe("statfs", () => {
  test("statfs reports the limits and what is left of them", () => {
    using fs = served({ size: 1 << 20, inodes: 100 });
    fs.file("/file", "x".repeat(10_000));
    expect(fs.kernel.call("statfs", ROOT)).toEqual({
      blocks: 256,
      bfree: 253,
      bavail: 253,
      files: 100,
      ffree: 98,
      bsize: 4096,
      frsize: 4096,
      namelen: 255,
    });
  });

  test("statfs reports space and inodes as free after a removal", () => {
    using fs = served({ size: 1 << 20, inodes: 100 });
    fs.file("/file", "x".repeat(10_000));
    fs.kernel.call("unlink", ROOT, { name: "file" });
    expect(fs.kernel.call("statfs", ROOT)).toMatchObject({ bfree: 256, ffree: 99 });
  });
});

describe("statx", () => {
  test("statx returns what getattr returns, and a birth time that never changes", () => {
    using fs = served();
    const { nodeid } = fs.kernel.call("mknod", ROOT, { name: "b", mode: 0o60640, rdev: 0x12300845, umask: 0 });
    const made = fs.clock.seconds;
    fs.clock.tick();
    fs.kernel.call("setattr", nodeid, { valid: abi.FATTR_MODE, mode: 0o600 });
    const { stat, attr_valid } = fs.kernel.call("statx", nodeid, { sx_mask: 0xfff });
    const attr = fs.kernel.stat(nodeid);
    expect(stat.btime.tv_sec).toBe(made);
    expect(stat.ctime).toEqual({ tv_sec: attr.ctime, tv_nsec: attr.ctimensec });
    expect(stat.ctime.tv_sec).toBeGreaterThan(made);
    expect(attr_valid).toBeGreaterThan(1000);
    expect(stat).toMatchObject({
      mask: 0xfff,
      mode: attr.mode,
      ino: attr.ino,
      nlink: 1,
      rdev_major: 8,
      rdev_minor: 0x12345,
    });
  });
});
