/** The bytes of regular files: open, read, write, lseek, fallocate, copy_file_range. */
import { describe, expect, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import { O_NOATIME } from "../../../src/fs/handles.ts";
import * as abi from "../../../src/fuse/abi.ts";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "../../../src/libc.ts";
import { type ServedTree, served } from "../../support/served.ts";

const O_WRONLY = 1;
const O_RDWR = 2;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

describe("open", () => {
  test("open with O_TRUNC empties the file and updates its times", () => {
    using fs = served();
    fs.file("/file", "hello");
    fs.clock.tick();
    const { nodeid } = fs.open("/file", O_WRONLY | O_TRUNC);
    expect(fs.kernel.stat(nodeid)).toMatchObject({ size: 0, blocks: 0, mtime: fs.clock.seconds });
  });

  test("open with O_TRUNC clears setuid if the kernel asks for it", () => {
    using fs = served();
    const file = fs.file("/file", "hello");
    file.setMode(file.mode | 0o6111);
    const nodeid = fs.node("/file");
    fs.kernel.call("open", nodeid, { flags: O_WRONLY | O_TRUNC });
    expect(fs.kernel.stat(nodeid).mode & 0o7777).toBe(0o6755);
    fs.kernel.call("open", nodeid, { flags: O_WRONLY | O_TRUNC, open_flags: abi.FUSE_OPEN_KILL_SUIDGID });
    expect(fs.kernel.stat(nodeid).mode & 0o7777).toBe(0o755);
  });

  test("open lets the kernel keep cached pages, unless a read of them has to update the atime", () => {
    using fs = served();
    fs.file("/file", "hello");
    const { nodeid, fh } = fs.open("/file");
    const keeps = (flags = 0) =>
      fs.kernel.call("open", nodeid, { flags }).open_flags & (abi.FOPEN_KEEP_CACHE | abi.FOPEN_DIRECT_IO);
    expect([keeps(), keeps(O_RDWR)]).toEqual([0, 0]);
    expect([keeps(O_WRONLY), keeps(O_NOATIME)]).toEqual([abi.FOPEN_KEEP_CACHE, abi.FOPEN_KEEP_CACHE]);
    fs.clock.tick();
    fs.kernel.call("read", nodeid, { fh, offset: 0, size: 5 });
    expect([keeps(), keeps(O_RDWR)]).toEqual([abi.FOPEN_KEEP_CACHE, abi.FOPEN_KEEP_CACHE]);
  });
});

describe("read", () => {
  test("read returns less than requested at the end of the file, and nothing behind it", () => {
    using fs = served();
    fs.file("/file", "hello");
    const { nodeid, fh } = fs.open("/file");
    const read = (offset: number, size: number) => fs.kernel.call("read", nodeid, { fh, offset, size }).toString();
    expect([read(0, 5), read(0, 100), read(3, 100), read(5, 1), read(2 ** 52, 1), read(0, 0)]).toEqual([
      "hello",
      "hello",
      "lo",
      "",
      "",
      "",
    ]);
  });

  test("read returns as much as a reply can hold", () => {
    using fs = served();
    const bytes = Buffer.alloc(3 << 20, "0123456789");
    fs.file("/file", bytes);
    const { nodeid, fh } = fs.open("/file");
    expect(fs.kernel.readAll(nodeid, fh, 1 << 20).equals(bytes)).toBe(true);
  });

  test("read updates the atime once after each change", () => {
    using fs = served();
    fs.file("/file", "hello");
    fs.clock.tick();
    fs.cat("/file");
    const first = fs.kernel.stat(fs.node("/file")).atime;
    expect(first).toBe(fs.clock.seconds);
    fs.clock.tick();
    fs.cat("/file");
    expect(fs.kernel.stat(fs.node("/file")).atime).toBe(first);
  });

  test("read leaves the atime alone with O_NOATIME", () => {
    using fs = served();
    fs.file("/file", "hello");
    const before = fs.kernel.stat(fs.node("/file"));
    fs.clock.tick();
    const open = fs.open("/file");
    fs.kernel.call("read", open.nodeid, { fh: open.fh, size: 10, flags: O_NOATIME });
    expect(fs.kernel.stat(fs.node("/file"))).toEqual(before);
  });
});

describe("write", () => {
  test("write puts bytes at their offset, with zeros before them", () => {
    using fs = served();
    fs.file("/file");
    const open = fs.open("/file", O_WRONLY);
    expect(fs.write(open, "world", 6)).toBe(5);
    fs.write(open, "hello", 0);
    expect(fs.cat("/file")).toBe("hello\0world");
  });

  test("a write updates mtime and ctime", () => {
    using fs = served();
    fs.file("/file");
    const open = fs.open("/file", O_WRONLY);
    fs.clock.tick();
    fs.write(open, "x");
    expect(fs.kernel.stat(open.nodeid)).toMatchObject({ mtime: fs.clock.seconds, ctime: fs.clock.seconds });
  });

  test("a write with O_APPEND goes to the real end, whatever end the kernel assumes", () => {
    using fs = served();
    fs.file("/log", "one\n");
    const open = fs.open("/log", O_WRONLY | O_APPEND);
    fs.write(open, "two\n", 0, O_WRONLY | O_APPEND);
    fs.write(open, "three\n", 1000, O_WRONLY | O_APPEND);
    expect(fs.cat("/log")).toBe("one\ntwo\nthree\n");
  });

  test("write-back of cached pages keeps their offset, even through an appending handle", () => {
    using fs = served();
    fs.file("/file", "hello");
    const { nodeid, fh } = fs.open("/file", O_RDWR | O_APPEND);
    const data = Buffer.from("J");
    const write_flags = abi.FUSE_WRITE_CACHE;
    fs.kernel.call("write", nodeid, { fh, offset: 0, size: 1, flags: O_RDWR | O_APPEND, write_flags, data });
    expect(fs.cat("/file")).toBe("Jello");
  });

  test("write clears setuid only if the kernel asks for it", () => {
    using fs = served();
    const file = fs.file("/file");
    file.setMode(file.mode | 0o6111);
    const { nodeid, fh } = fs.open("/file", O_WRONLY);
    fs.write({ nodeid, fh }, "x");
    expect(fs.kernel.stat(nodeid).mode & 0o7777).toBe(0o6755);
    const write_flags = abi.FUSE_WRITE_KILL_SUIDGID;
    fs.kernel.call("write", nodeid, { fh, size: 1, write_flags, data: Buffer.from("x") });
    expect(fs.kernel.stat(nodeid).mode & 0o7777).toBe(0o755);
  });

  test("write stores as much as fits, and is ENOSPC when nothing fits", () => {
    using fs = served({ size: 8192 });
    fs.file("/file");
    const open = fs.open("/file", O_WRONLY);
    expect(fs.write(open, "x".repeat(10_000))).toBe(8192);
    expect(() => fs.write(open, "x", 8192)).toThrow(new FsError("ENOSPC"));
    expect(fs.write(open, "y", 0)).toBe(1);
    expect(fs.kernel.stat(open.nodeid).size).toBe(8192);
  });

  test("a write beyond the largest size is EFBIG", () => {
    using fs = served();
    fs.file("/file");
    const open = fs.open("/file", O_WRONLY);
    expect(() => fs.write(open, "x", 2 ** 63)).toThrow(new FsError("EFBIG"));
    expect(fs.kernel.stat(open.nodeid).size).toBe(0);
  });

  test("a write of the largest size that the kernel sends is stored whole", () => {
    using fs = served();
    fs.file("/file");
    const bytes = Buffer.alloc(1 << 20, "0123456789");
    expect(fs.write(fs.open("/file", O_WRONLY), bytes)).toBe(1 << 20);
    expect(fs.cat("/file")).toBe(bytes.toString());
  });

  test("a write with less data than its header announces is EIO, and stores nothing", () => {
    using fs = served();
    fs.file("/file", "hello");
    const { nodeid, fh } = fs.open("/file", O_WRONLY);
    expect(fs.kernel.errno("write", nodeid, { fh, size: 10, data: Buffer.from("xyz") })).toBe("EIO");
    expect(fs.cat("/file")).toBe("hello");
  });

  test("a write to a handle that is not open is EBADF", () => {
    using fs = served();
    fs.file("/file");
    const nodeid = fs.node("/file");
    expect(fs.kernel.errno("write", nodeid, { fh: 99, size: 1, data: Buffer.from("x") })).toBe("EBADF");
    expect(fs.kernel.errno("read", nodeid, { fh: 99, size: 1 })).toBe("EBADF");
    expect(fs.kernel.errno("release", nodeid, { fh: 99 })).toBe("EBADF");
  });
});

describe("lseek", () => {
  /** Data at 0–4096 and 1 MiB–1 MiB + 4096; the file is 2 MiB long. */
  function sparse(fs: ServedTree) {
    fs.file("/file");
    const open = fs.open("/file", O_RDWR);
    fs.write(open, "x".repeat(4096), 0);
    fs.write(open, "x".repeat(4096), 1 << 20);
    fs.kernel.call("setattr", open.nodeid, { valid: abi.FATTR_SIZE, size: 2 << 20 });
    return (offset: number, whence: number) => {
      try {
        return fs.kernel.call("lseek", open.nodeid, { fh: open.fh, offset, whence }).offset;
      } catch (error) {
        return error instanceof FsError ? error.code : error;
      }
    };
  }

  test("lseek finds data", () => {
    using fs = served();
    const lseek = sparse(fs);
    const found = [0, 5, 4096, 1 << 20, (1 << 20) + 5].map((offset) => lseek(offset, SEEK_DATA));
    expect(found).toEqual([0, 5, 1 << 20, 1 << 20, (1 << 20) + 5]);
  });

  test("lseek finds holes, and treats the end of the file as one", () => {
    using fs = served();
    const lseek = sparse(fs);
    expect([0, 4096, 5000, 1 << 20].map((offset) => lseek(offset, SEEK_HOLE))).toEqual([
      4096,
      4096,
      5000,
      (1 << 20) + 4096,
    ]);
    fs.file("/full", "hello");
    const { nodeid, fh } = fs.open("/full");
    expect(fs.kernel.call("lseek", nodeid, { fh, offset: 2, whence: SEEK_HOLE }).offset).toBe(5);
  });

  test("lseek is ENXIO where no data follows, at or behind the end, and before the start", () => {
    using fs = served();
    const lseek = sparse(fs);
    expect(lseek((1 << 20) + 4096, SEEK_DATA)).toBe("ENXIO");
    expect(lseek(2 << 20, SEEK_DATA)).toBe("ENXIO");
    expect(lseek(2 << 20, SEEK_HOLE)).toBe("ENXIO");
    expect(lseek(-1, SEEK_DATA)).toBe("ENXIO");
    expect(lseek(-1, SEEK_HOLE)).toBe("ENXIO");
  });

  test("lseek is EINVAL for any other whence, which the kernel handles itself", () => {
    using fs = served();
    const lseek = sparse(fs);
    expect([0, 1, 2, 5].map((whence) => lseek(0, whence))).toEqual(["EINVAL", "EINVAL", "EINVAL", "EINVAL"]);
  });

  test("lseek in an empty file is ENXIO", () => {
    using fs = served();
    fs.file("/file");
    const { nodeid, fh } = fs.open("/file");
    expect(fs.kernel.errno("lseek", nodeid, { fh, offset: 0, whence: SEEK_HOLE })).toBe("ENXIO");
  });
});

describe("fallocate", () => {
  function file(fs: ServedTree, content: string, size = 0) {
    fs.file("/file", content);
    const { nodeid, fh } = fs.open("/file", O_RDWR);
    return {
      nodeid,
      fallocate: (mode: number, offset: number, length: number) =>
        fs.kernel.errno("fallocate", nodeid, { fh, mode, offset, length }),
      size,
    };
  }

  test("fallocate reserves space and extends the file", () => {
    using fs = served();
    const { nodeid, fallocate } = file(fs, "hello");
    expect(fallocate(0, 0, 10_000)).toBe("ok");
    expect(fs.kernel.stat(nodeid)).toMatchObject({ size: 10_000, blocks: 24 });
    expect(fs.cat("/file")).toBe(`hello${"\0".repeat(9995)}`);
  });

  test("fallocate with KEEP_SIZE reserves space behind the end", () => {
    using fs = served();
    const { nodeid, fallocate } = file(fs, "hello");
    expect(fallocate(FALLOC_FL_KEEP_SIZE, 0, 10_000)).toBe("ok");
    expect(fs.kernel.stat(nodeid)).toMatchObject({ size: 5, blocks: 24 });
  });

  test("fallocate with PUNCH_HOLE writes zeros and frees whole pages", () => {
    using fs = served();
    const { nodeid, fallocate } = file(fs, "x".repeat(3 * 4096));
    expect(fallocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4095, 4098)).toBe("ok");
    expect(fs.kernel.stat(nodeid)).toMatchObject({ size: 3 * 4096, blocks: 16 });
    expect(fs.cat("/file")).toBe(`${"x".repeat(4095)}${"\0".repeat(4098)}${"x".repeat(4095)}`);
  });

  test("fallocate of more space than is free is ENOSPC, and reserves nothing", () => {
    using fs = served({ size: 1 << 20 });
    const { nodeid, fallocate } = file(fs, "hello");
    expect(fallocate(0, 0, 2 << 20)).toBe("ENOSPC");
    expect(fs.kernel.stat(nodeid)).toMatchObject({ size: 5, blocks: 8 });
  });

  test("fallocate beyond the largest size is EFBIG", () => {
    using fs = served({ size: 1 << 20 });
    const { fallocate } = file(fs, "hello");
    expect(fallocate(0, 2 ** 63, 1)).toBe("EFBIG");
    expect(fallocate(0, 2 ** 62, 2 ** 62)).toBe("EFBIG");
  });

  test("fallocate in any other mode is EOPNOTSUPP, and changes nothing", () => {
    using fs = served();
    const { fallocate } = file(fs, "hello");
    // COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE, UNSHARE_RANGE.
    for (const mode of [8, 16, 32, 64]) expect(fallocate(mode, 0, 4096)).toBe("EOPNOTSUPP");
    expect(fs.cat("/file")).toBe("hello");
  });

  test("fallocate updates mtime and ctime", () => {
    using fs = served();
    const { nodeid, fallocate } = file(fs, "hello");
    fs.clock.tick();
    fallocate(FALLOC_FL_KEEP_SIZE, 0, 100);
    expect(fs.kernel.stat(nodeid)).toMatchObject({ mtime: fs.clock.seconds, ctime: fs.clock.seconds });
  });
});

describe("copy_file_range", () => {
  function copy(fs: ServedTree, off_in: number, off_out: number, len: number): number {
    const from = fs.open("/from");
    const to = fs.open("/to", O_WRONLY);
    const request = { fh_in: from.fh, off_in, nodeid_out: to.nodeid, fh_out: to.fh, off_out, len };
    return fs.kernel.call("copyFileRange", from.nodeid, request).size;
  }

  test("copy_file_range copies from any offset to any offset", () => {
    using fs = served();
    fs.file("/from", "hello world");
    fs.file("/to", "0123456789");
    expect(copy(fs, 6, 2, 5)).toBe(5);
    expect(fs.cat("/to")).toBe("01world789");
  });

  test("copy_file_range copies as much as there is, and nothing from behind the end", () => {
    using fs = served();
    fs.file("/from", "hello");
    fs.file("/to", "");
    expect(copy(fs, 3, 0, 100)).toBe(2);
    expect(copy(fs, 5, 0, 100)).toBe(0);
    expect(fs.cat("/to")).toBe("lo");
  });

  test("copy_file_range copies many megabytes in one request", () => {
    using fs = served();
    const bytes = Buffer.alloc(5 << 20, "0123456789");
    fs.file("/from", bytes);
    fs.file("/to", "");
    expect(copy(fs, 0, 0, 5 << 20)).toBe(5 << 20);
    expect(fs.cat("/to")).toBe(bytes.toString());
  });

  test("copy_file_range copies only a part of a very long range, so that other requests need not wait for all of it", () => {
    using fs = served();
    fs.file("/from", "hello").truncate(2 ** 40);
    fs.file("/to", "");
    const copied = copy(fs, 0, 0, 2 ** 31);
    expect(copied).toBeGreaterThanOrEqual(1 << 20);
    expect(copied).toBeLessThanOrEqual(64 << 20);
    expect(fs.kernel.stat(fs.node("/to")).size).toBe(copied);
  });

  test("copy_file_range copies within one file", () => {
    using fs = served();
    fs.file("/file", "hello.....");
    const { nodeid, fh } = fs.open("/file", O_RDWR);
    const request = { fh_in: fh, off_in: 0, nodeid_out: nodeid, fh_out: fh, off_out: 5, len: 5 };
    expect(fs.kernel.call("copyFileRange", nodeid, request).size).toBe(5);
    expect(fs.cat("/file")).toBe("hellohello");
  });

  test("copy_file_range reports how much it copied before space ran out", () => {
    using fs = served({ size: 6 << 20 });
    fs.file("/from", Buffer.alloc(4 << 20, "x"));
    fs.file("/to", "");
    expect(copy(fs, 0, 0, 4 << 20)).toBe(2 << 20);
    expect(fs.kernel.stat(fs.node("/to")).size).toBe(2 << 20);
    expect(() => copy(fs, 0, 2 << 20, 1)).toThrow(new FsError("ENOSPC"));
  });

  test("copy_file_range updates the times of the target if it copied something", () => {
    using fs = served();
    fs.file("/from", "hello");
    fs.file("/to", "");
    const before = fs.kernel.stat(fs.node("/to"));
    fs.clock.tick();
    copy(fs, 5, 0, 10);
    expect(fs.kernel.stat(fs.node("/to"))).toEqual(before);
    copy(fs, 0, 0, 5);
    expect(fs.kernel.stat(fs.node("/to")).mtime).toBe(fs.clock.seconds);
  });

  test("copy_file_range beyond the largest size is EFBIG", () => {
    using fs = served();
    fs.file("/from", "hello");
    fs.file("/to", "");
    expect(() => copy(fs, 0, 2 ** 63, 5)).toThrow(new FsError("EFBIG"));
  });

  test("copy_file_range makes a pending target static, and only if something was copied", () => {
    using fs = served();
    fs.file("/from", "hello");
    const file = fs.pending("/to");
    copy(fs, 5, 0, 5);
    expect(file.state).toBe("pending");
    copy(fs, 0, 0, 5);
    expect(file.state).toBe("static");
    expect(fs.cat("/to")).toBe("hello");
  });

  test("copy_file_range in its 64-bit form replies with a 64-bit count", () => {
    using fs = served();
    fs.file("/from", "hello");
    fs.file("/to", "");
    const from = fs.open("/from");
    const to = fs.open("/to", O_WRONLY);
    const request = { fh_in: from.fh, nodeid_out: to.nodeid, fh_out: to.fh, len: 2 ** 33 };
    expect(fs.kernel.call("copyFileRange64", from.nodeid, request).offset).toBe(5);
  });
});
