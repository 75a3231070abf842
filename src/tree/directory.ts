/**
 * A directory: names to inodes, in the order in which they were added.
 *
 * Every entry has a cookie that never changes and is never reused while the directory exists. So a reader that stops in
 * the middle continues at the right place, whatever was created or removed in the meantime (telldir, seekdir, `rm -r`
 * of a hundred thousand entries). Entries are in one array in cookie order, found by binary search. A removed entry
 * leaves a hole; the array is compacted when half of it is holes.
 */
import { forget, remember } from "./dentries.ts";
import { type Clock, defineKind, type Inode, InodeBase, type Owner, S_IFDIR, S_ISGID, watchers } from "./inode.ts";

/** A name in a directory. Invariant: the shape of the tree is stored only in its dentries. */
export interface Dentry {
  /** Bytes, as a Latin-1 string. */
  readonly name: string;
  /** Invariant: greater than the cookie of every entry before it. */
  readonly cookie: number;
  readonly inode: Inode;
  /** The directory that contains the entry. */
  readonly parent: Directory;
}

/** The cookies below are those of "." and "..". */
const FIRST_COOKIE = 3;
/**
 * No entry has this cookie. A listing reports it with its last entry, as tmpfs does: programs
 * expect no position after the end's. It is the largest that programs of 32 bits can read.
 */
export const END_COOKIE = 0x7fff_ffff;

export class Directory extends InodeBase {
  declare readonly kind: "directory";
  static {
    defineKind(Directory.prototype, "directory");
  }

  /** The parent directory; the root is its own parent; undefined once removed. */
  parent: Directory | undefined;
  readonly #byName = new Map<string, Dentry>();
  /** Invariant: the same entries as in #byName, in cookie order; a removed entry is replaced by its cookie. */
  #inOrder: (Dentry | number)[] = [];
  #nextCookie = FIRST_COOKIE;

  constructor(ino: number, mode: number, owner: Owner, clock: Clock) {
    super(ino, S_IFDIR | mode, owner, clock);
    this.nlink = 2;
  }

  get size(): number {
    return this.#byName.size;
  }

  get(name: string): Dentry | undefined {
    return this.#byName.get(name);
  }

  /** The entry that a listing returns last. */
  get oldest(): Dentry | undefined {
    return this.#byName.values().next().value;
  }

  /** All entries, oldest first. */
  entries(): MapIterator<Dentry> {
    return this.#byName.values();
  }

  /** Precondition: the name is free. The caller updates link counts and times. */
  insert(name: string, inode: Inode): Dentry {
    if (this.#byName.has(name)) throw new Error(`insert: ${name} is there already`);
    this.#report(name, undefined, inode);
    const dentry: Dentry = { name, cookie: this.#nextCookie++, inode, parent: this };
    if (this.#nextCookie === END_COOKIE) this.#nextCookie++;
    remember(dentry);
    this.#byName.set(name, dentry);
    this.#inOrder.push(dentry);
    return dentry;
  }

  /** Precondition: the name exists. */
  remove(name: string): Dentry {
    const dentry = this.#byName.get(name);
    if (dentry === undefined) throw new Error(`remove: ${name} is not there`);
    this.#report(name, dentry.inode, undefined);
    this.#byName.delete(name);
    forget(dentry);
    const slot = this.#slotOf(dentry.cookie);
    if (slot === this.#inOrder.length - 1) this.#inOrder.pop();
    else this.#inOrder[slot] = dentry.cookie;
    if (this.#inOrder.length > 32 && this.#byName.size * 2 < this.#inOrder.length) this.#compact();
    return dentry;
  }

  /**
   * Replaces the inode of a name, at the same position. Precondition: the name exists. The caller updates link counts.
   */
  replace(name: string, inode: Inode): void {
    const before = this.#byName.get(name);
    if (before === undefined) throw new Error(`replace: ${name} is not there`);
    this.#report(name, before.inode, inode);
    const dentry: Dentry = { ...before, inode };
    forget(before);
    remember(dentry);
    this.#byName.set(name, dentry);
    this.#inOrder[this.#slotOf(dentry.cookie)] = dentry;
  }

  /**
   * Calls back with the newest entry whose cookie is less than this one, then with older ones, until the callback
   * returns false. It lists newest first, as tmpfs does: a program that adds entries while it reads the directory never
   * sees them, so its loop ends.
   */
  visitBefore(cookie: number, visit: (dentry: Dentry) => boolean): void {
    for (let slot = this.#slotOf(cookie) - 1; slot >= 0; slot--) {
      const dentry = this.#inOrder[slot];
      if (typeof dentry === "object" && !visit(dentry)) return;
    }
  }

  #report(name: string, before: Inode | undefined, after: Inode | undefined): void {
    if (watchers.size > 0) for (const watcher of watchers) watcher.beforeNameChange(this, name, before, after);
  }

  /** The first slot whose cookie is at least this one. */
  #slotOf(cookie: number): number {
    let low = 0;
    let high = this.#inOrder.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (cookieOf(this.#inOrder[middle]) < cookie) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compact(): void {
    // A Map keeps the order of insertion, and cookies are given in that order.
    this.#inOrder = [...this.#byName.values()];
  }

  checkInvariants(): void {
    let before = FIRST_COOKIE - 1;
    let live = 0;
    for (const dentry of this.#inOrder) {
      const cookie = cookieOf(dentry);
      if (cookie <= before) throw new Error(`directory ${this.ino}: cookie ${cookie} after ${before}`);
      before = cookie;
      if (typeof dentry === "number") continue;
      live++;
      if (this.#byName.get(dentry.name) !== dentry)
        throw new Error(`directory ${this.ino}: ${dentry.name} is not where it should be`);
    }
    if (live !== this.#byName.size)
      throw new Error(`directory ${this.ino}: ${live} in order, ${this.#byName.size} by name`);
  }
}

function cookieOf(slot: Dentry | number | undefined): number {
  return typeof slot === "object" ? slot.cookie : (slot ?? 0);
}

/** The owner of a new entry. As in fs/inode.c:inode_init_owner(), a setgid directory passes on its group. */
export function inheritOwner(directory: Directory, owner: Owner): Owner {
  return (directory.mode & S_ISGID) !== 0 ? { uid: owner.uid, gid: directory.gid } : owner;
}
