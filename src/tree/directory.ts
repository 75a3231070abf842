/**
 * A directory: names to inodes, in the order they were added.
 *
 * Every entry has a cookie that never changes and never comes again while the directory lives, so that a reader who
 * stops in the middle goes on at the right place, whatever was created or removed in the meantime (telldir, seekdir, `rm -r`
 * of a hundred thousand entries). Entries stand in one array in cookie order, found by binary search; a removed one
 * leaves a hole that is closed when half of the array is holes.
 */
import { forget, remember } from "./dentries.ts";
import { type Clock, type Inode, InodeBase, type Owner, S_IFDIR, S_ISGID } from "./inode.ts";

/** A name in a directory. Invariant: the dentries are the only truth about the tree's shape. */
export interface Dentry {
  /** Bytes, as a Latin-1 string. */
  readonly name: string;
  /** Invariant: greater than that of every entry before it. */
  readonly cookie: number;
  readonly inode: Inode;
  /** The directory it stands in. */
  readonly parent: Directory;
}

/** Cookies below are "." and "..". */
const FIRST_COOKIE = 3;

export class Directory extends InodeBase {
  override get kind(): "directory" {
    return "directory";
  }

  /** The directory it stands in; itself for the root; undefined once removed. */
  parent: Directory | undefined;
  readonly #byName = new Map<string, Dentry>();
  /** Invariant: the same entries as in #byName, in cookie order; where one was removed, its cookie holds the place. */
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

  /** All entries, oldest first. */
  entries(): IterableIterator<Dentry> {
    return this.#byName.values();
  }

  /** Precondition: the name is free. Link counts and times are the caller's. */
  insert(name: string, inode: Inode): Dentry {
    if (this.#byName.has(name)) throw new Error(`insert: ${name} is there already`);
    const dentry: Dentry = { name, cookie: this.#nextCookie++, inode, parent: this };
    remember(dentry);
    this.#byName.set(name, dentry);
    this.#inOrder.push(dentry);
    return dentry;
  }

  /** Precondition: the name is there. */
  remove(name: string): Dentry {
    const dentry = this.#byName.get(name);
    if (dentry === undefined) throw new Error(`remove: ${name} is not there`);
    this.#byName.delete(name);
    forget(dentry);
    const slot = this.#slotOf(dentry.cookie);
    if (slot === this.#inOrder.length - 1) this.#inOrder.pop();
    else this.#inOrder[slot] = dentry.cookie;
    if (this.#inOrder.length > 32 && this.#byName.size * 2 < this.#inOrder.length) this.#compact();
    return dentry;
  }

  /** Puts another inode under the name, at the same place. Precondition: the name is there. Link counts are the caller's. */
  replace(name: string, inode: Inode): void {
    const before = this.#byName.get(name);
    if (before === undefined) throw new Error(`replace: ${name} is not there`);
    const dentry: Dentry = { ...before, inode };
    forget(before);
    remember(dentry);
    this.#byName.set(name, dentry);
    this.#inOrder[this.#slotOf(dentry.cookie)] = dentry;
  }

  /**
   * The newest entry whose cookie is less than this one, and so on down: calls back until it returns false. Downwards,
   * as tmpfs lists: a program that adds entries while it reads the directory never meets them, so its loop ends.
   */
  visitBefore(cookie: number, visit: (dentry: Dentry) => boolean): void {
    for (let slot = this.#slotOf(cookie) - 1; slot >= 0; slot--) {
      const dentry = this.#inOrder[slot];
      if (typeof dentry === "object" && !visit(dentry)) return;
    }
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

/** Who owns what is made in a directory: as fs/inode.c:inode_init_owner(), a setgid directory hands down its group. */
export function inheritOwner(directory: Directory, owner: Owner): Owner {
  return (directory.mode & S_ISGID) !== 0 ? { uid: owner.uid, gid: directory.gid } : owner;
}
