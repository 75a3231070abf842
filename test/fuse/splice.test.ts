/** Data that reaches a reply without being copied. A pipe replaces /dev/fuse: it accepts spliced data too. */
import { afterEach, describe, expect, test } from "bun:test";
import { ERRNO } from "../../src/errno.ts";
import { Splicer } from "../../src/fuse/splice.ts";
import type { Extent } from "../../src/libc.ts";
import * as libc from "../../src/libc.ts";

const PAGE = 4096;
const HEADER = Buffer.from("sixteen bytes ..");
const open: number[] = [];

afterEach(() => {
  for (const fd of open.splice(0)) libc.close(fd);
});

/** A file of the kernel's: a page of each byte, then a hole of a page, then "end". */
function file(...bytes: number[]): number {
  const fd = libc.memfd("splice-test");
  open.push(fd);
  for (const [page, byte] of bytes.entries()) libc.pwrite(fd, new Uint8Array(PAGE).fill(byte), PAGE, page * PAGE);
  libc.pwrite(fd, Buffer.from("end"), 3, (bytes.length + 1) * PAGE);
  return fd;
}

function device(bytes = 1 << 20) {
  const [out, into] = libc.pipe();
  open.push(out, into);
  libc.growPipe(into, bytes);
  libc.setNonBlocking(out);
  return {
    into,
    /** Everything that was sent. */
    received(): Buffer {
      const buffer = Buffer.alloc(2 << 20);
      return buffer.subarray(0, Math.max(0, libc.read(out, buffer, buffer.length)));
    },
  };
}

describe("an extent", () => {
  test.each([
    ["from its start", 0, PAGE],
    ["of several pages", 0, 2 * PAGE],
    ["from the middle of a page to the middle of another", 1000, PAGE],
    ["with a hole in it, up to the end", PAGE + 5, 2 * PAGE - 2],
  ])("an extent %s arrives after its header", (_name, offset, length) => {
    const fd = file(1, 2);
    const { into, received } = device();
    expect(new Splicer().send(into, HEADER, HEADER.length, { fd, offset, length })).toBe(0);
    const content = Buffer.alloc(length);
    expect(libc.pread(fd, content, length, offset)).toBe(length);
    expect(received()).toEqual(Buffer.concat([HEADER, content]));
  });

  test("a hole in an extent stays a hole", () => {
    const fd = file(1);
    const { into } = device();
    new Splicer().send(into, HEADER, HEADER.length, { fd, offset: 0, length: 2 * PAGE });
    const stat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };
    libc.fstat(fd, stat);
    // The page before it, and the page of its end.
    expect(stat.blocks * 512).toBe(2 * PAGE);
  });
});

describe("an extent is left to the caller and nothing is sent", () => {
  const whole = (fd: number, length: number): Extent => ({ fd, offset: 0, length });

  test("an extent larger than the pipe is left to the caller and not sent", () => {
    const fd = file(1);
    libc.ftruncate(fd, 2 << 20);
    const { into, received } = device();
    const splicer = new Splicer();
    expect(splicer.send(into, HEADER, HEADER.length, whole(fd, 1 << 20))).toBeUndefined();
    expect(received()).toHaveLength(0);
    expect(splicer.send(into, HEADER, HEADER.length, whole(fd, (1 << 20) - PAGE))).toBe(0);
  });

  test("an extent of a file shorter than announced is left to the caller, and the next message is whole", () => {
    const fd = file();
    const { into, received } = device();
    const splicer = new Splicer();
    expect(splicer.send(into, HEADER, HEADER.length, whole(fd, 3 * PAGE))).toBeUndefined();
    expect(received()).toHaveLength(0);
    expect(splicer.send(into, HEADER, HEADER.length, whole(fd, 3))).toBe(0);
    expect(received()).toHaveLength(HEADER.length + 3);
  });
});

test("an error of the device is reported, and the rejected data is not in the next message", () => {
  const fd = file(1, 2);
  const refusing = libc.open("/dev/null", libc.O_RDONLY);
  open.push(refusing);
  const { into, received } = device();
  const splicer = new Splicer();
  expect(splicer.send(refusing, HEADER, HEADER.length, { fd, offset: 0, length: PAGE })).toBe(-ERRNO.EBADF);
  expect(splicer.send(into, HEADER, HEADER.length, { fd, offset: PAGE, length: 10 })).toBe(0);
  expect(received()).toEqual(Buffer.concat([HEADER, Buffer.alloc(10, 2)]));
});
