import { describe, expect, test } from "bun:test";
import { DirentWriter, direntType } from "../../src/fuse/dirent.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "../../src/tree/inode.ts";
import { parseDirents } from "../support/kernel.ts";
import { ENTRY } from "./messages.ts";

/** The size of an entry with a name of this many bytes: 24 and the name, rounded up to a multiple of eight. */
function sizeOf(length: number, plus = false): number {
  return Math.ceil((24 + length) / 8) * 8 + (plus ? 128 : 0);
}

describe("a writer of directory entries", () => {
  test("a writer of directory entries accepts entries until one does not fit, which leaves no trace", () => {
    const target = Buffer.alloc(256, 0xee);
    const writer = new DirentWriter(target, 2 * sizeOf(5) + sizeOf(5) - 1);
    expect([1, 2, 3].map((off) => writer.add(`name${off}`, off, off, 8))).toEqual([true, true, false]);
    expect(writer.length).toBe(2 * sizeOf(5));
    expect(target.subarray(writer.length).every((byte) => byte === 0xee)).toBe(true);
  });

  test("a writer of directory entries accepts an entry that fits exactly", () => {
    const writer = new DirentWriter(Buffer.alloc(256), sizeOf(8));
    expect(writer.fits("12345678", false)).toBe(true);
    expect(writer.fits("123456789", false)).toBe(false);
    expect(writer.add("12345678", 1, 1, 8)).toBe(true);
  });

  test("a writer of directory entries counts the attributes of READDIRPLUS", () => {
    const writer = new DirentWriter(Buffer.alloc(256), sizeOf(1, true));
    expect([writer.fits("a", true), writer.fits("123456789", true)]).toEqual([true, false]);
    expect(writer.add("a", 1, 1, 8, ENTRY)).toBe(true);
    expect(writer.length).toBe(sizeOf(1, true));
  });

  test("a writer of directory entries never writes past the end of the target, whatever size the caller allows", () => {
    const writer = new DirentWriter(Buffer.alloc(64), 1 << 20);
    expect([1, 2, 3].map((off) => writer.add("name", off, off, 8))).toEqual([true, true, false]);
  });

  test("a writer of directory entries fills the gap after a name with zeros", () => {
    const target = Buffer.alloc(64, 0xee);
    new DirentWriter(target, 64).add("abc", 1, 1, 8);
    expect(target.toString("latin1", 24, 32)).toBe("abc\0\0\0\0\0");
  });

  test("a writer of directory entries writes names of every length so that they can be read back", () => {
    const names = Array.from({ length: 255 }, (_, index) => "\xff".repeat(index + 1));
    for (const plus of [false, true]) {
      const target = Buffer.alloc(1 << 17);
      const writer = new DirentWriter(target, target.length);
      for (const [index, name] of names.entries())
        writer.add(name, index + 9, 2 ** 40 + index, 4, plus ? ENTRY : undefined);
      const told = parseDirents(target.subarray(0, writer.length), plus);
      expect(told.map(({ name }) => name)).toEqual(names);
      expect(told.map(({ ino, off, type }) => [ino, off - 2 ** 40, type])).toEqual(names.map((_, i) => [i + 9, i, 4]));
    }
  });
});

test("the type in a directory entry is that of the mode, with the numbers of DT_*", () => {
  const types = [S_IFIFO, S_IFCHR, S_IFDIR, S_IFBLK, S_IFREG, S_IFLNK, S_IFSOCK];
  expect(types.map((type) => direntType(type | 0o7777))).toEqual([1, 2, 4, 6, 8, 10, 12]);
});
