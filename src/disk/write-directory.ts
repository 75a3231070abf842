/**
 * Writes a tree to the disk, as `cp -a` would: names, contents with their holes, modes, times, symlinks, hard links, fifos
 * and extended attributes. Files without content are left out. Nothing outside of the directory is touched: existing
 * symlinks are replaced, never followed. A directory is replaced by something else only if it is empty. A .git that is on
 * the disk stays, as with `git checkout`: two repositories that are mixed file by file are both broken, and a tree that a
 * model wrote must not bring its hooks into yours.
 *
 * Setuid files and devices have no effect in a mount, so anybody may have put them into a tree: a user of a shared mount, or
 * the author of a snapshot. On the disk they would lend the rights of whoever writes the tree.
 */
import {
  chmodSync,
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { codeOf, messageOf, reasonOf } from "../errno.ts";
import { mknod, pwrite, SystemError } from "../libc.ts";
import type { Directory } from "../tree/directory.ts";
import { MAX_FILE_SIZE, type RegularFile } from "../tree/file.ts";
import { type Inode, S_IFBLK, S_IFCHR, S_IFMT } from "../tree/inode.ts";
import { toBytes, toText } from "../tree/path.ts";
import type { Tree } from "../tree/tree.ts";
import { onDisk } from "./disk-stat.ts";
import { writeAttributes, writeTimes } from "./write-attributes.ts";

export interface DirectoryWriteOptions {
  readonly keepOwners: boolean;
  /** Whether setuid and setgid bits and devices are written: where they have no effect, or nobody else can enter. */
  readonly privileges: boolean;
  /** Called with one sentence for each entry that is left out or is different on the disk. */
  readonly warn: (message: string) => void;
}

export interface WrittenDirectory {
  readonly files: number;
  readonly directories: number;
  /** The number of files without content, which were left out. */
  readonly leftOut: number;
}

/** The disk is full, or does not permit something. The message is for people, and names the entry. */
export class DirectoryWriteError extends Error {
  override readonly name = "DirectoryWriteError";
}

/** Writes the entries below `from` into `target`, an existing directory. Throws DirectoryWriteError. */
export function writeDirectory(
  tree: Tree,
  from: { readonly directory: Directory; readonly path: string },
  target: string,
  { keepOwners, privileges, warn }: DirectoryWriteOptions,
): WrittenDirectory {
  const linked = new Map<Inode, Buffer>();
  const done: { readonly path: string; readonly directory: Directory }[] = [];
  const count = { files: 0, directories: 0, leftOut: 0 };
  const base = toBytes(target);
  const prefix = from.path === "/" ? "" : from.path;
  const setAttributes = (path: string, place: Buffer, inode: Inode) => {
    writeAttributes(place, inode, { keepOwners, privileges, warn: (problem) => warn(`${toText(path)}: ${problem}`) });
    writeTimes(place, inode);
  };
  /** A .git that is left as it is, with a slash at the end: nothing below it is written. */
  let spared: string | undefined;
  for (const { path, inode } of tree.walk(from.directory, from.path)) {
    if (inode === from.directory || (spared !== undefined && path.startsWith(spared))) continue;
    if (inode.kind === "file" && inode.lazy) {
      count.leftOut += 1;
      continue;
    }
    const bytes = `${base}${path.slice(prefix.length)}`;
    const place = onDisk(bytes);
    if (!privileges && isDevice(inode)) {
      warn(`${toText(bytes)}: left out, because it is a device; an archive would have it`);
      continue;
    }
    if (path.endsWith("/.git") && isThere(place)) {
      spared = `${path}/`;
      warn(`${toText(bytes)} exists already and is left as it is; to export the one of the tree, remove it first`);
      continue;
    }
    if (inode.kind === "directory") {
      nameErrors(bytes, () => openDirectory(place));
      done.push({ path: bytes, directory: inode });
      count.directories += 1;
      continue;
    }
    const first = linked.get(inode);
    try {
      nameErrors(bytes, () =>
        replace(place, (fresh) => {
          if (first !== undefined) return linkSync(first, fresh);
          write(fresh, inode);
          setAttributes(bytes, fresh, inode);
        }),
      );
    } catch (error) {
      if (inode.kind !== "special") throw error;
      warn(`${messageOf(error)}; left out`);
      continue;
    }
    if (first !== undefined) continue;
    if (inode.nlink > 1) linked.set(inode, place);
    count.files += 1;
  }
  // Creating an entry needs rights in its directory, takes over its default access control list, and changes its times.
  for (const { path, directory } of done.toReversed()) {
    nameErrors(path, () => setAttributes(path, onDisk(path), directory));
  }
  return count;
}

function isDevice({ mode }: Inode): boolean {
  return (mode & S_IFMT) === S_IFBLK || (mode & S_IFMT) === S_IFCHR;
}

function nameErrors(path: string, work: () => void): void {
  try {
    work();
  } catch (cause) {
    throw new DirectoryWriteError(`${toText(path)} cannot be written: ${reasonOf(cause, toText(path))}`, { cause });
  }
}

/** Creates a new entry. An existing entry with this name stays until the new one is complete. */
function replace(path: Buffer, make: (path: Buffer) => void): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return make(path);
  const directory = path.subarray(0, path.lastIndexOf("/") + 1);
  const fresh = Buffer.concat([directory, Buffer.from(`.${crypto.randomUUID()}.tmp`)]);
  try {
    make(fresh);
    if (there.isDirectory()) removeIfEmpty(path);
    renameSync(fresh, path);
  } finally {
    rmSync(fresh, { force: true });
  }
}

/** Throws an Error if the directory has entries, which are not ours to remove. */
function removeIfEmpty(directory: Buffer): void {
  try {
    rmdirSync(directory);
  } catch (cause) {
    if (codeOf(cause) !== "ENOTEMPTY") throw cause;
    throw new Error("a directory that is not empty has this name; move it away first", { cause });
  }
}

/** Makes sure that there is a directory that this user can fill. */
function openDirectory(path: Buffer): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there?.isDirectory() !== true) {
    if (there !== undefined) rmSync(path);
    mkdirSync(path, 0o700);
  } else if ((there.mode & 0o700) !== 0o700 && there.uid === process.geteuid?.()) {
    chmodSync(path, (there.mode & 0o7777) | 0o700);
  }
}

function isThere(place: Buffer): boolean {
  return lstatSync(place, { throwIfNoEntry: false }) !== undefined;
}

function write(path: Buffer, inode: Exclude<Inode, Directory>): void {
  switch (inode.kind) {
    case "symlink":
      return symlinkSync(onDisk(inode.target), path);
    case "special":
      return mknod(path, inode.mode, inode.rdev);
    case "file":
      return writeContent(path, inode);
  }
}

const buffer = Buffer.alloc(1 << 20);

/** Preserves holes. Leaves no part of a file. */
function writeContent(path: Buffer, file: RegularFile): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    writeBytes(fd, file);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function writeBytes(fd: number, file: RegularFile): void {
  if (file.size > MAX_FILE_SIZE) throw new Error("the file is too large");
  for (let at = Number(file.nextData(0) ?? file.size); at < file.size; ) {
    const end = Number(file.nextHole(at) ?? file.size);
    while (at < end) {
      const length = file.read(at, buffer.subarray(0, Math.min(buffer.length, end - at)));
      for (let written = 0; written < length; ) {
        const count = pwrite(fd, buffer.subarray(written, length), length - written, at + written);
        if (count < 0) throw new SystemError("pwrite", -count);
        written += count;
      }
      at += length;
    }
    at = Number(file.nextData(at) ?? file.size);
  }
  // A hole at the end.
  ftruncateSync(fd, file.size);
}
