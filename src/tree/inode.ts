/**
 * What all kinds of inode have in common: number, mode, owner, times, link count, xattrs.
 *
 * The times are private. Everything that reads or changes them goes through a method of this class, and each of those
 * methods first calls `catchUp`, which takes over what the kernel did to a file without a request (see RegularFile). So
 * a time that utimensat(2) sets is never overwritten by an earlier write, and no operation can forget to check.
 *
 * Mode, owner and xattrs can be read directly, but change only through methods too, which first call the watchers: a
 * snapshot that is being saved keeps the earlier values (see frozen/frozen-tree.ts).
 */

import type { Special } from "./device-node.ts";
import type { Dentry, Directory } from "./directory.ts";
import type { RegularFile } from "./file.ts";
import type { Symlink } from "./symlink.ts";

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;

/** Every kind of inode, distinguished by `kind`. */
export type Inode = RegularFile | Directory | Symlink | Special;

/** Seconds since the epoch (may be negative) and nanoseconds (0 to 999,999,999). */
export interface Time {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** Times to set; the others stay. */
export interface SomeTimes {
  readonly atime?: Time;
  readonly mtime?: Time;
  readonly ctime?: Time;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The source of the current time. The next call may reuse the object that this one returns. */
export interface Clock {
  (): Time;
  /** The current second, if that is cheaper than the exact time. */
  readonly seconds?: () => number;
}

/** A clock that stands still. */
export function fixedClock(seconds: number, nanoseconds = 0): Clock {
  const time: Time = { seconds, nanoseconds };
  return () => time;
}

/** The times of an inode. Two numbers each, because nanoseconds since the epoch do not fit a double. */
export interface Times {
  readonly atime: number;
  readonly atimeNsec: number;
  readonly mtime: number;
  readonly mtimeNsec: number;
  readonly ctime: number;
  readonly ctimeNsec: number;
}

const DAY = 24 * 60 * 60;

/**
 * The last second with an exact number, also when one is added to it. Later times become this one and earlier times its opposite,
 * as on any filesystem with a range of its own (fs/inode.c:timestamp_truncate()).
 */
const LAST_SECOND = Number.MAX_SAFE_INTEGER - 1;

function inRange(seconds: number): number {
  return Math.max(-LAST_SECOND, Math.min(seconds, LAST_SECOND));
}

const SECOND = 1_000_000_000;
const BEGAN = Math.floor(Date.now() / 1000);

/**
 * Nanoseconds since this process started, if that is exact; otherwise whole seconds since 1970, as a negative number.
 */
function pack(seconds: number, nanoseconds: number): number {
  const since = (seconds - BEGAN) * SECOND + nanoseconds;
  return since >= 0 && Number.isSafeInteger(since) ? since : -1 - Math.max(0, seconds);
}

/** Watches all trees of this thread. */
export interface TreeWatcher {
  /**
   * Called before anything of an inode changes, except its names. Not called for what the kernel changes without a
   * request (see RegularFile.share).
   */
  beforeChange(inode: InodeBase): void;
  /** Called before a name refers to another inode, or to none. */
  beforeNameChange(directory: Directory, name: string, before: Inode | undefined, after: Inode | undefined): void;
}

export const watchers = new Set<TreeWatcher>();

/** Calls the watchers. Nearly always there are none. */
export function reportChange(inode: InodeBase): void {
  if (watchers.size > 0) for (const watcher of watchers) watcher.beforeChange(inode);
}

export type Kind = "file" | "directory" | "symlink" | "special";

/** Makes the kind a property of a class: it takes no memory in an inode, and to read it calls nothing. */
export function defineKind(prototype: InodeBase, kind: Kind): void {
  Object.defineProperty(prototype, "kind", { value: kind });
}

export abstract class InodeBase {
  /** See defineKind. */
  declare readonly kind: Kind;
  readonly ino: number;
  /** Type and permission bits, as st_mode. Invariant: the type bits never change. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Invariant: the number of its dentries; for a directory, 2 and one for each subdirectory. 0 if unlinked. */
  nlink = 0;
  /** One of its names, to build a path; dentries.ts has the others. Undefined if it has none. */
  dentry: Dentry | undefined = undefined;
  #atime = 0;
  #atimeNsec = 0;
  #mtime = 0;
  #mtimeNsec = 0;
  #ctime = 0;
  #ctimeNsec = 0;
  /** The birth time, packed, because with a million inodes every number counts. Never changes. */
  readonly #born: number;
  /** Names and values are bytes; names are Latin-1 strings. Undefined if there are none. The map never changes. */
  readonly xattrs: ReadonlyMap<string, Uint8Array> | undefined = undefined;
  /** References that keep an unlinked inode alive, such as open handles. Invariant: never negative. */
  references = 0;
  /** Lookups that the kernel has not returned (see fs/nodes.ts). */
  lookups = 0;

  constructor(ino: number, mode: number, owner: Owner, clock: Clock) {
    this.ino = ino;
    this.mode = mode;
    this.uid = owner.uid;
    this.gid = owner.gid;
    const { seconds, nanoseconds } = clock();
    this.#atime = this.#mtime = this.#ctime = seconds;
    this.#atimeNsec = this.#mtimeNsec = this.#ctimeNsec = nanoseconds;
    this.#born = pack(seconds, nanoseconds);
  }

  /** This inode as its own methods may change it. */
  get #changing(): ChangingInode {
    reportChange(this);
    return this;
  }

  /** Precondition: the type bits are the same. */
  setMode(mode: number): void {
    if (mode !== this.mode) this.#changing.mode = mode;
  }

  setOwner({ uid = this.uid, gid = this.gid }: Partial<Owner>): void {
    const changing = this.#changing;
    changing.uid = uid;
    changing.gid = gid;
  }

  /** Keeps `value` itself. */
  putXattr(name: string, value: Uint8Array): void {
    this.replaceXattrs(new Map(this.xattrs).set(name, value));
  }

  /** Returns false if there was none. */
  dropXattr(name: string): boolean {
    if (this.xattrs?.has(name) !== true) return false;
    const others = new Map(this.xattrs);
    others.delete(name);
    this.replaceXattrs(others);
    return true;
  }

  /** Keeps the map itself. */
  replaceXattrs(xattrs: ReadonlyMap<string, Uint8Array>): void {
    this.#changing.xattrs = xattrs.size === 0 ? undefined : xattrs;
  }

  /** Takes over changes to the inode without a request. Every other method that uses times calls it first. */
  protected catchUp(): void {}

  /** The birth time: exact to the nanosecond for 104 days, to the second after that. */
  get btime(): Time {
    const born = this.#born;
    if (born < 0) return { seconds: -1 - born, nanoseconds: 0 };
    return { seconds: BEGAN + Math.floor(born / SECOND), nanoseconds: born % SECOND };
  }

  times(): Times {
    this.catchUp();
    return {
      atime: this.#atime,
      atimeNsec: this.#atimeNsec,
      mtime: this.#mtime,
      mtimeNsec: this.#mtimeNsec,
      ctime: this.#ctime,
      ctimeNsec: this.#ctimeNsec,
    };
  }

  setTimes({ atime, mtime, ctime }: SomeTimes): void {
    this.catchUp();
    reportChange(this);
    if (atime !== undefined) {
      this.#atime = inRange(atime.seconds);
      this.#atimeNsec = atime.nanoseconds;
    }
    if (mtime !== undefined) {
      this.#mtime = inRange(mtime.seconds);
      this.#mtimeNsec = mtime.nanoseconds;
    }
    if (ctime !== undefined) {
      this.#ctime = inRange(ctime.seconds);
      this.#ctimeNsec = ctime.nanoseconds;
    }
  }

  /**
   * The content was read. The atime is updated as with relatime (fs/inode.c:relatime_need_update): once after each
   * change, and once a day. The kernel leaves this to us.
   */
  touchAtime(clock: Clock): void {
    if (!this.marksReads(clock)) return;
    reportChange(this);
    const { seconds, nanoseconds } = clock();
    this.#atime = seconds;
    this.#atimeNsec = nanoseconds;
  }

  /** Whether a read at this time would update the atime. */
  marksReads(clock: Clock): boolean {
    this.catchUp();
    return this.#changedSinceRead || (clock.seconds?.() ?? clock().seconds) - this.#atime >= DAY;
  }

  /** Attributes, links or xattrs changed. */
  touchCtime(clock: Clock): void {
    this.catchUp();
    reportChange(this);
    const { seconds, nanoseconds } = clock();
    this.#ctime = seconds;
    this.#ctimeNsec = nanoseconds;
  }

  /** Content changed: a file's bytes, or a directory's entries. */
  touchMtime(clock: Clock): void {
    this.catchUp();
    reportChange(this);
    const { seconds, nanoseconds } = clock();
    this.noteWriteAt(seconds, nanoseconds);
  }

  /** For `catchUp`: the content was read at this time. */
  protected noteReadAt(seconds: number, nanoseconds: number): void {
    if (!this.#changedSinceRead && seconds - this.#atime < DAY) return;
    this.#atime = seconds;
    this.#atimeNsec = nanoseconds;
  }

  /** For `catchUp`: the content was changed at this time. */
  protected noteWriteAt(seconds: number, nanoseconds: number): void {
    this.#mtime = this.#ctime = seconds;
    this.#mtimeNsec = this.#ctimeNsec = nanoseconds;
  }

  get #changedSinceRead(): boolean {
    const atime = this.#atime;
    const nanoseconds = this.#atimeNsec;
    if (atime < this.#mtime || (atime === this.#mtime && nanoseconds <= this.#mtimeNsec)) return true;
    return atime < this.#ctime || (atime === this.#ctime && nanoseconds <= this.#ctimeNsec);
  }
}

interface ChangingInode {
  mode: number;
  uid: number;
  gid: number;
  xattrs: ReadonlyMap<string, Uint8Array> | undefined;
}
