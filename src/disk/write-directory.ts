/**
 * Writes a tree to the disk, as `cp -a` would: names, contents with their holes, modes, times, symlinks, hard links, fifos
 * and extended attributes. Files without content are left out. Nothing outside of the directory is touched: existing
 * symlinks are replaced, never followed.
 */
import {
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { messageOf } from "../errno.ts";
import { mknod, pwrite, SystemError } from "../libc.ts";
import type { Directory } from "../tree/directory.ts";
import { MAX_FILE_SIZE, type RegularFile } from "../tree/file.ts";
import type { Inode } from "../tree/inode.ts";
import { toBytes, toText } from "../tree/path.ts";
import type { Tree } from "../tree/tree.ts";
import { onDisk } from "./disk-stat.ts";
import { writeAttributes, writeTimes } from "./write-attributes.ts";

export interface DirectoryWriteOptions {
  readonly keepOwners: boolean;
  /** Called with one sentence for each entry that is left out or is different on the disk. */
  readonly warn: (message: string) => void;
}

export interface WrittenDirectory {
  readonly files: number;
  readonly directories: number;
  /** The number of files without content, which were left out. */
  readonly leftOut: number;
}

/** Writes the entries below `from` into `target`, an existing directory. Throws errors of the disk. */
export function writeDirectory(
  tree: Tree,
  from: { readonly directory: Directory; readonly path: string },
  target: string,
  { keepOwners, warn }: DirectoryWriteOptions,
): WrittenDirectory {
  const linked = new Map<Inode, Buffer>();
  const done: { readonly path: Buffer; readonly directory: Directory }[] = [];
  const count = { files: 0, directories: 0, leftOut: 0 };
  const base = toBytes(target);
  const prefix = from.path === "/" ? "" : from.path;
  for (const { path, inode } of tree.walk(from.directory, from.path)) {
    if (inode === from.directory) continue;
    const bytes = `${base}${path.slice(prefix.length)}`;
    const place = onDisk(bytes);
    if (inode.kind === "file" && inode.lazy) {
      count.leftOut += 1;
      continue;
    }
    const first = linked.get(inode);
    makeRoom(place, inode.kind === "directory");
    if (first !== undefined) {
      linkSync(first, place);
      continue;
    }
    try {
      write(place, inode);
    } catch (error) {
      if (inode.kind !== "special") throw error;
      warn(`${toText(bytes)}: left out: ${messageOf(error)}`);
      continue;
    }
    if (inode.kind !== "directory" && inode.nlink > 1) linked.set(inode, place);
    writeAttributes(place, inode, { keepOwners, warn: (problem) => warn(`${toText(bytes)}: ${problem}`) });
    if (inode.kind === "directory") {
      done.push({ path: place, directory: inode });
      count.directories += 1;
    } else {
      writeTimes(place, inode);
      count.files += 1;
    }
  }
  // Creating an entry changes the times of its directory.
  for (const { path, directory } of done.toReversed()) writeTimes(path, directory);
  return count;
}

/** Removes what is in the way. A directory can stay if the new entry is a directory too. */
function makeRoom(path: Buffer, forDirectory: boolean): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined || (forDirectory && there.isDirectory())) return;
  rmSync(path, { recursive: true });
}

function write(path: Buffer, inode: Inode): void {
  switch (inode.kind) {
    case "directory":
      if (lstatSync(path, { throwIfNoEntry: false }) === undefined) mkdirSync(path, 0o700);
      return;
    case "symlink":
      return symlinkSync(onDisk(inode.target), path);
    case "special":
      return mknod(path, inode.mode, inode.rdev);
    case "file":
      return writeContent(path, inode);
  }
}

const buffer = Buffer.alloc(1 << 20);

/** Preserves holes. */
function writeContent(path: Buffer, file: RegularFile): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    if (file.size > MAX_FILE_SIZE) throw new Error("the file is too large");
    ftruncateSync(fd, file.size);
    for (let at = Number(file.nextData(0) ?? file.size); at < file.size; ) {
      const end = Number(file.nextHole(at) ?? file.size);
      while (at < end) {
        const length = file.read(at, buffer.subarray(0, Math.min(buffer.length, end - at)));
        for (let written = 0; written < length; ) {
          const count = pwrite(fd, buffer.subarray(written, length), length - written, at + written);
          if (count < 0) throw new SystemError("pwrite", -count, path.toString());
          written += count;
        }
        at += length;
      }
      at = Number(file.nextData(at) ?? file.size);
    }
  } finally {
    closeSync(fd);
  }
}
