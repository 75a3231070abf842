/**
 * Makes a tree equal to a directory on disk, with as few changes as possible: entries that are equal already keep their
 * state and everything that is known about their content. Entries that differ count as written by hand.
 */
import { chmodSync, closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, readSync } from "node:fs";
import { CONTROL_NAME } from "../attributes.ts";
import { codeOf, reasonOf } from "../errno.ts";
import { readMounts } from "../mountinfo.ts";
import type { Directory } from "../tree/directory.ts";
import type { RegularFile } from "../tree/file.ts";
import { type Inode, type Owner, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../tree/inode.ts";
import { join, toBytes, toText } from "../tree/path.ts";
import type { Tree } from "../tree/tree.ts";
import { copyAttributes } from "./copy-attributes.ts";
import { copyContent, copyFile } from "./copy-content.ts";
import {
  type DiskStat,
  deviceNumber,
  type HeldDirectory,
  holdDirectory,
  namesIn,
  onDisk,
  statOf,
  timesOf,
} from "./disk-stat.ts";

export interface MergeOptions {
  /** The owner of new entries, unless owners are kept. */
  readonly owner: Owner;
  readonly keepOwners: boolean;
  /**
   * Whether entries that are only in the tree are removed. Files without content always stay, because they were never
   * written to the disk.
   */
  readonly removes: boolean;
  /** Whether files and directories of this user are made readable first. Their modes in the tree are those of before. */
  readonly unlocks?: boolean;
  /** Called with one sentence for each entry on disk that is left out. */
  readonly warn: (message: string) => void;
}

/** How many entries were created, changed and removed. */
export interface Merged {
  readonly created: number;
  readonly changed: number;
  readonly removed: number;
}

/** `source` is the absolute path of a directory. Throws FsError ENOSPC if the tree is full, and errors of the disk. */
export function mergeDirectory(tree: Tree, into: Directory, source: string, options: MergeOptions): Merged {
  return new Merger(tree, options).merge(into, toBytes(source));
}

interface MergedDirectory {
  readonly directory: Directory;
  /** Bytes, as names in the tree. */
  readonly path: string;
  /** Undefined for the source itself. */
  readonly stat: DiskStat | undefined;
}

class Merger {
  readonly #tree: Tree;
  readonly #options: MergeOptions;
  /** Inodes of the tree, by the device and number of the inode on disk. */
  readonly #linked = new Map<string, Inode>();
  /** Inodes of the tree that already have a counterpart on disk. */
  readonly #taken = new Set<Inode>();
  /** Where other filesystems are mounted. One may be an llmfs mount, or endless. */
  readonly #mounts = new Set(readMounts().map(({ path }) => toBytes(path)));
  readonly #count = { created: 0, changed: 0, removed: 0 };

  constructor(tree: Tree, options: MergeOptions) {
    this.#tree = tree;
    this.#options = options;
  }

  merge(into: Directory, source: string): Merged {
    const open: MergedDirectory[] = [{ directory: into, path: source, stat: undefined }];
    // Breadth first: directories are added to `open` while it is read.
    for (const one of open) {
      const { directory, path } = one;
      using held = this.#hold(one);
      if (held === undefined) continue;
      const names = namesIn(held);
      if (this.#options.removes) this.#removeOthers(directory, new Set(names));
      for (const name of names.toSorted()) {
        const below = this.#mergeIfPossible(directory, name, join(path, name), join(held.place, name));
        if (below !== undefined) open.push(below);
      }
    }
    for (const { directory, path } of open.toReversed()) {
      if (directory !== into) directory.setTimes(timesOf(statOf(path)));
    }
    return this.#count;
  }

  /** Undefined for a directory that this user may not read, or that was replaced: what the tree has there stays. */
  #hold({ path, stat }: MergedDirectory): HeldDirectory | undefined {
    try {
      return holdDirectory(path, stat);
    } catch (error) {
      const expected = ["EACCES", "ENOENT", "ENOTDIR", "ELOOP", undefined].includes(codeOf(error));
      if (stat === undefined || !expected) throw error;
      this.#options.warn(`${toText(path)}: its entries are left out: ${reasonOf(error, toText(path))}`);
      return undefined;
    }
  }

  #removeOthers(directory: Directory, names: ReadonlySet<string>): void {
    for (const { name, inode } of [...directory.entries()]) {
      if (!names.has(name) && !holdsLazy(inode)) this.#remove(directory, name, inode);
    }
  }

  #remove(directory: Directory, name: string, inode: Inode): void {
    if (inode.kind === "directory") {
      for (const entry of [...inode.entries()]) this.#remove(inode, entry.name, entry.inode);
      this.#tree.rmdir(directory, name);
    } else this.#tree.unlink(directory, name);
    this.#count.removed += 1;
  }

  /** Entries that cannot be read, and other filesystems, are left out. `place`: the path by which the entry is found. */
  #mergeIfPossible(directory: Directory, name: string, path: string, place: string): MergedDirectory | undefined {
    if (name === CONTROL_NAME && directory === this.#tree.root) {
      this.#options.warn(`${toText(path)}: left out, because a mount has its control files under this name`);
      return undefined;
    }
    if (this.#mounts.has(path)) {
      this.#options.warn(`${toText(path)}: left out, because another filesystem is mounted there`);
      return undefined;
    }
    try {
      const stat = statOf(place);
      const below = this.#mergeEntry(directory, name, place, stat);
      return below && { directory: below, path, stat };
    } catch (error) {
      const code = codeOf(error);
      if (code === "EACCES" || code === "EPERM")
        this.#options.warn(`${toText(path)}: left out: ${reasonOf(error, toText(place))}`);
      else if (code !== "ENOENT") throw error;
      return undefined;
    }
  }

  /** Returns a directory, whose entries are merged later. */
  #mergeEntry(directory: Directory, name: string, path: string, stat: DiskStat): Directory | undefined {
    if (this.#options.unlocks === true) unlock(path, stat);
    const there = directory.get(name)?.inode;
    const key = `${stat.dev} ${stat.ino}`;
    const linked = this.#linked.get(key);
    if (linked !== undefined && linked.kind !== "directory") {
      if (there !== linked) {
        if (there !== undefined) this.#remove(directory, name, there);
        this.#tree.link(linked, directory, name);
        this.#count.changed += 1;
      }
      return undefined;
    }
    const same = there !== undefined && !this.#taken.has(there) && isSameKind(there, stat, path);
    if (there !== undefined && !same) this.#remove(directory, name, there);
    const inode = same ? there : this.#create(directory, name, path, stat);
    this.#taken.add(inode);
    if (stat.nlink > 1n) this.#linked.set(key, inode);
    const rewritten = same && inode.kind === "file" && this.#rewrite(inode, path);
    const altered = this.#setAttributes(inode, path, stat);
    if (!same) this.#count.created += 1;
    else if (rewritten || altered) this.#count.changed += 1;
    if (inode.kind === "directory") return inode;
    inode.setTimes(timesOf(stat));
    return undefined;
  }

  #create(directory: Directory, name: string, path: string, stat: DiskStat): Inode {
    const { owner } = this.#options;
    const mode = Number(stat.mode);
    switch (mode & S_IFMT) {
      case S_IFDIR:
        return this.#tree.mkdir(directory, name, mode & 0o7777, owner);
      case S_IFLNK:
        return this.#tree.symlink(directory, name, targetOf(path), owner);
      case S_IFREG:
        return copyFile(onDisk(path), this.#tree, directory, name, owner);
      default:
        return this.#tree.mknod(directory, name, mode, deviceNumber(stat.rdev), owner);
    }
  }

  /** Takes the content from the disk unless it is the same: a program that wrote the same bytes has changed nothing. */
  #rewrite(file: RegularFile, path: string): boolean {
    if (!file.lazy && isSameContent(file, path)) return false;
    file.state = "static";
    file.error = undefined;
    file.truncate(0);
    copyContent(onDisk(path), file);
    return true;
  }

  #setAttributes(inode: Inode, path: string, stat: DiskStat): boolean {
    const before = describe(inode);
    if (this.#options.keepOwners) {
      inode.setOwner({ uid: Number(stat.uid), gid: Number(stat.gid) });
    }
    if (inode.kind === "symlink") return describe(inode) !== before;
    inode.setMode((inode.mode & S_IFMT) | (Number(stat.mode) & 0o7777));
    copyAttributes(onDisk(path), inode);
    return describe(inode) !== before;
  }
}

/** Changes what a command has made inaccessible, if this user can. */
function unlock(path: string, stat: DiskStat): void {
  const mode = Number(stat.mode);
  const type = mode & S_IFMT;
  const needed = type === S_IFDIR ? 0o500 : 0o400;
  if ((type !== S_IFDIR && type !== S_IFREG) || (mode & needed) === needed) return;
  if (Number(stat.uid) === process.geteuid?.()) chmodSync(onDisk(path), (mode & 0o7777) | needed);
}

function describe(inode: Inode): string {
  const xattrs = [...(inode.xattrs ?? [])].map(([name, value]) => `${name}=${Buffer.from(value).toString("latin1")}`);
  return [inode.mode, inode.uid, inode.gid, ...xattrs].join("\0");
}

/** Whether the inode is a file without content, or a directory that contains one at any depth. */
function holdsLazy(inode: Inode): boolean {
  if (inode.kind === "file") return inode.lazy;
  return inode.kind === "directory" && [...inode.entries()].some((entry) => holdsLazy(entry.inode));
}

function isSameKind(inode: Inode, stat: DiskStat, path: string): boolean {
  const mode = Number(stat.mode);
  if ((inode.mode & S_IFMT) !== (mode & S_IFMT)) return false;
  if (inode.kind === "symlink") return inode.target === targetOf(path);
  return inode.kind !== "special" || inode.rdev === deviceNumber(stat.rdev);
}

function targetOf(path: string): string {
  return readlinkSync(onDisk(path), { encoding: "buffer" }).toString("latin1");
}

const fromDisk = Buffer.alloc(1 << 20);
const fromTree = Buffer.alloc(1 << 20);

function isSameContent(file: RegularFile, path: string): boolean {
  if (lstatSync(onDisk(path)).size !== file.size) return false;
  const fd = openSync(onDisk(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!fstatSync(fd).isFile()) return false;
    for (let at = 0; at < file.size; ) {
      const length = readSync(fd, fromDisk, 0, fromDisk.length, at);
      if (length === 0 || file.read(at, fromTree.subarray(0, length)) !== length) return false;
      if (!fromDisk.subarray(0, length).equals(fromTree.subarray(0, length))) return false;
      at += length;
    }
    return true;
  } finally {
    closeSync(fd);
  }
}
