/**
 * Copies a directory on disk into an empty tree, like `cp -a`: names, contents with their holes, modes, times, symlinks
 * as they are, hard links among the copied names, fifos, sockets and device nodes.
 *
 * This room knows the disk and the tree, but no kernel, no snapshot and no model. It never follows a symlink, and never
 * enters another filesystem that is mounted below the directory: reading a mount of llmfs would generate its files, and
 * /proc is endless.
 */
import { lstatSync, readlinkSync } from "node:fs";
import { CONTROL_NAME } from "../attributes.ts";
import { codeOf, FsError, reasonOf } from "../errno.ts";
import { readMounts } from "../mountinfo.ts";
import type { Directory } from "../tree/directory.ts";
import { type Inode, type Owner, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type SomeTimes } from "../tree/inode.ts";
import { join, toBytes, toText } from "../tree/path.ts";
import type { Tree } from "../tree/tree.ts";
import { copyAttributes } from "./copy-attributes.ts";
import { copyFile } from "./copy-content.ts";
import {
  type DiskStat,
  deviceNumber,
  type HeldDirectory,
  holdDirectory,
  namesIn,
  onDisk,
  timesOf,
} from "./disk-stat.ts";

export interface DirectoryCopyOptions {
  /** The user who mounts, who owns everything that does not keep its owner. */
  readonly owner: Owner;
  /** Whether the copies keep their owners, as root's `cp -a` does. */
  readonly keepOwners: boolean;
  /** Called with one sentence for each entry that is omitted or changed in the copy. */
  readonly warn: (message: string) => void;
}

/** Further warnings of the same kind are only counted. */
const MOST_WARNINGS = 20;

/** The user id that stands for all users without an id in this user namespace. */
const NOBODY = 65534;

/** The directory cannot be copied at all. The message is for people. */
export class DirectoryCopyError extends Error {
  override readonly name = "DirectoryCopyError";
}

/**
 * Copies `source`, an absolute path without symlinks. Throws DirectoryCopyError if the directory cannot be read or does
 * not fit in the tree. Entries that cannot be read are omitted, and reported.
 */
export function copyDirectory(tree: Tree, source: string, options: DirectoryCopyOptions): void {
  try {
    new Copier(tree, source, options).copy();
  } catch (cause) {
    const full = cause instanceof FsError && cause.code === "ENOSPC";
    const problem = full
      ? `does not fit into the filesystem, which has room for ${tree.space.describeRoom()}; mount with a larger --size or --inodes`
      : `cannot be copied: ${reasonOf(cause, toText(source))}`;
    throw new DirectoryCopyError(`${source} ${problem}`, { cause });
  }
}

interface CopiedDirectory {
  readonly directory: Directory;
  /** Bytes, as names in the tree. */
  readonly path: string;
  readonly stat: DiskStat;
  readonly times: SomeTimes;
}

class Copier {
  readonly #tree: Tree;
  readonly #source: string;
  readonly #options: DirectoryCopyOptions;
  /** The mountpoints, with the type of each mount. */
  readonly #mounts: ReadonlyMap<string, string>;
  /** The first copies of inodes with several names, by device and number. */
  readonly #linked = new Map<string, Inode>();
  #warnings = 0;

  constructor(tree: Tree, source: string, options: DirectoryCopyOptions) {
    this.#tree = tree;
    this.#source = toBytes(source);
    this.#options = options;
    this.#mounts = new Map(readMounts().map(({ path, type }) => [toBytes(path), type]));
  }

  copy(): void {
    const { root } = this.#tree;
    const stat = lstatSync(onDisk(this.#source), { bigint: true });
    this.#setOwnerAndMode(root, stat);
    copyAttributes(onDisk(this.#source), root);
    const done: CopiedDirectory[] = [{ directory: root, path: this.#source, stat, times: timesOf(stat) }];
    // Breadth first: entries are added to `done` while it is read.
    for (const one of done) {
      using held = this.#hold(one);
      if (held === undefined) continue;
      for (const name of this.#list(one, held)) {
        const below = this.#copyEntry(one, name, join(held.place, name));
        if (below !== undefined) done.push(below);
      }
    }
    // Creating an entry changes the times of its directory.
    for (const { directory, times } of done) directory.setTimes(times);
    const more = this.#warnings - MOST_WARNINGS;
    if (more > 0) this.#options.warn(`${toText(this.#source)}: ${more} more entries are left out`);
  }

  /** Throws for the source itself only. */
  #hold({ path, stat }: CopiedDirectory): HeldDirectory | undefined {
    try {
      return holdDirectory(path, stat);
    } catch (error) {
      if (path === this.#source) throw error;
      this.#warn(path, `its entries are left out: ${reasonOf(error, toText(path))}`);
      return undefined;
    }
  }

  /** Names in byte order. Throws for the source itself only. */
  #list({ path }: CopiedDirectory, held: HeldDirectory): readonly string[] {
    try {
      return namesIn(held).toSorted();
    } catch (error) {
      if (path === this.#source) throw error;
      this.#warn(path, `its entries are left out: ${reasonOf(error, toText(held.place))}`);
      return [];
    }
  }

  /** `place`: the path by which it is found. Returns a directory, whose entries are copied later. */
  #copyEntry(parent: CopiedDirectory, name: string, place: string): CopiedDirectory | undefined {
    const path = join(parent.path, name);
    if (parent.path === this.#source && name === CONTROL_NAME) {
      this.#warn(path, "left out, because a mount has its control files under this name");
      return undefined;
    }
    try {
      return this.#copyInto(parent.directory, name, path, place);
    } catch (error) {
      // The tree is full.
      if (error instanceof FsError && error.code === "ENOSPC") throw error;
      // Somebody removed it in the meantime.
      if (codeOf(error) !== "ENOENT") this.#warn(path, `left out: ${reasonOf(error, toText(place))}`);
      return undefined;
    }
  }

  #copyInto(parent: Directory, name: string, path: string, place: string): CopiedDirectory | undefined {
    const stat = lstatSync(onDisk(place), { bigint: true });
    const mode = Number(stat.mode);
    const mounted = this.#mounts.get(path);
    if (mounted !== undefined && (mode & S_IFMT) !== S_IFDIR) {
      this.#warn(path, `left out, because another file is mounted there (${mounted})`);
      return undefined;
    }
    const key = `${stat.dev} ${stat.ino}`;
    const linked = stat.nlink > 1n ? this.#linked.get(key) : undefined;
    if (linked !== undefined) {
      this.#tree.link(linked, parent, name);
      return undefined;
    }
    const inode = this.#make(parent, name, place, stat);
    this.#setOwnerAndMode(inode, stat);
    if (inode.kind !== "symlink") copyAttributes(onDisk(place), inode);
    const times = timesOf(stat);
    inode.setTimes(times);
    if (inode.kind !== "directory") {
      if (stat.nlink > 1n) this.#linked.set(key, inode);
      return undefined;
    }
    if (mounted === undefined) return { directory: inode, path, stat, times };
    this.#warn(path, `its entries are left out, because another filesystem is mounted there (${mounted})`);
    return undefined;
  }

  #make(parent: Directory, name: string, path: string, stat: DiskStat): Inode {
    const { owner } = this.#options;
    const mode = Number(stat.mode);
    switch (mode & S_IFMT) {
      case S_IFDIR:
        return this.#tree.mkdir(parent, name, 0o700, owner);
      case S_IFLNK: {
        const target = readlinkSync(onDisk(path), { encoding: "buffer" }).toString("latin1");
        return this.#tree.symlink(parent, name, target, owner);
      }
      case S_IFREG:
        return copyFile(onDisk(path), this.#tree, parent, name, owner);
      default:
        return this.#tree.mknod(parent, name, mode, deviceNumber(stat.rdev), owner);
    }
  }

  #setOwnerAndMode(inode: Inode, stat: DiskStat): void {
    const { owner, keepOwners } = this.#options;
    const keep = keepOwners && Number(stat.uid) !== NOBODY;
    inode.setOwner({ uid: keep ? Number(stat.uid) : owner.uid, gid: keep ? Number(stat.gid) : owner.gid });
    if (inode.kind !== "symlink") inode.setMode((inode.mode & S_IFMT) | (Number(stat.mode) & 0o7777));
  }

  #warn(path: string, what: string): void {
    this.#warnings++;
    if (this.#warnings <= MOST_WARNINGS) this.#options.warn(`${toText(path)}: ${what}`);
  }
}
