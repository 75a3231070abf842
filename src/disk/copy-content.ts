/** Copies the bytes of a file on disk, including holes. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { ERRNO, FsError } from "../errno.ts";
import { lseek } from "../libc.ts";
import type { Directory } from "../tree/directory.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Owner } from "../tree/inode.ts";
import type { Tree } from "../tree/tree.ts";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** How much is read at a time. The buffer is reused, because a tree copies what is written to it. */
const buffer = Buffer.alloc(1 << 20);

/** `path` is a regular file. Throws FsError ENOSPC if the tree is full, and errors of the disk. */
export function copyContent(path: Buffer, file: RegularFile): void {
  // Opening a fifo that has just replaced the file would block.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size, blocks } = fstatSync(fd);
    if (blocks * 512 >= size) copyRange(fd, file, 0, size);
    else for (const [start, end] of extentsOf(fd, size)) copyRange(fd, file, start, end);
    // A hole at the end.
    if (file.size < size) file.truncate(size);
  } finally {
    closeSync(fd);
  }
}

/**
 * Creates a file with the content of `path`. It gets its name when the content is complete. Throws as `copyContent` does.
 */
export function copyFile(path: Buffer, tree: Tree, parent: Directory, name: string, owner: Owner): RegularFile {
  const file = tree.tmpfile(parent, 0o600, owner);
  tree.hold(file);
  try {
    copyContent(path, file);
    tree.link(file, parent, name);
  } finally {
    tree.drop(file);
  }
  return file;
}

/** The ranges that contain data. The whole file, if the filesystem does not report them. */
function* extentsOf(fd: number, size: number): Generator<readonly [start: number, end: number]> {
  for (let at = 0; at < size; ) {
    const start = Number(lseek(fd, at, SEEK_DATA));
    if (start < 0) {
      // ENXIO: only a hole follows. Other errors: the filesystem does not support holes.
      if (start !== -ERRNO.ENXIO) yield [at, size];
      return;
    }
    const end = Number(lseek(fd, start, SEEK_HOLE));
    yield [start, end < 0 ? size : Math.min(end, size)];
    if (end < 0) return;
    at = end;
  }
}

/** The file may have become shorter since its size was read. */
function copyRange(fd: number, file: RegularFile, start: number, end: number): void {
  for (let at = start; at < end; ) {
    const length = readSync(fd, buffer, 0, Math.min(buffer.length, end - at), at);
    if (length === 0) return;
    if (file.write(at, buffer.subarray(0, length)) < length) throw new FsError("ENOSPC");
    at += length;
  }
}
