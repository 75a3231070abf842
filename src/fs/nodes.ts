/**
 * Nodeids: the numbers by which the kernel names inodes.
 *
 * Every entry reply tells the kernel a nodeid and counts as one lookup; FORGET gives lookups back. While the count is
 * above zero the kernel may ask about the nodeid at any time, so the inode is held. Nodeids are inode numbers: these
 * are never given twice, so the generation is always 0.
 */
import { FsError } from "../errno.ts";
import { Directory } from "../tree/directory.ts";
import { RegularFile } from "../tree/file.ts";
import type { Inode } from "../tree/inode.ts";
import type { Tree } from "../tree/tree.ts";

export class Nodes {
  readonly #tree: Tree;
  readonly #known = new Table();

  constructor(tree: Tree) {
    this.#tree = tree;
    // The kernel knows the root without asking.
    this.remember(tree.root);
  }

  /** How many the kernel knows. */
  get size(): number {
    return this.#known.size;
  }

  /** Throws ESTALE for a nodeid that was never told, or is forgotten. */
  get(nodeid: number): Inode {
    const inode = this.#known.get(nodeid);
    if (inode === undefined) throw new FsError("ESTALE", `node ${nodeid} is not known`);
    return inode;
  }

  /** Throws ENOTDIR. */
  directory(nodeid: number): Directory {
    const inode = this.get(nodeid);
    if (!(inode instanceof Directory)) throw new FsError("ENOTDIR");
    return inode;
  }

  /** Throws EISDIR, EINVAL. */
  file(nodeid: number): RegularFile {
    const inode = this.get(nodeid);
    if (inode instanceof RegularFile) return inode;
    throw new FsError(inode.kind === "directory" ? "EISDIR" : "EINVAL");
  }

  /** Counts one lookup, for an entry that is about to be told. */
  remember(inode: Inode): void {
    if (inode.lookups++ > 0) return;
    this.#known.set(inode.ino, inode);
    this.#tree.hold(inode);
  }

  /** Gives lookups back. False when more are given back than were told: the kernel and we differ. */
  forget(nodeid: number, count: number): boolean {
    const inode = this.#known.get(nodeid);
    if (inode === undefined || inode === this.#tree.root) return true;
    const left = inode.lookups - count;
    inode.lookups = Math.max(0, left);
    if (left > 0) return true;
    this.#known.delete(nodeid);
    this.#tree.drop(inode);
    return left === 0;
  }

  /** Unmounted: the kernel forgets all without saying so. How many nodes it had not given back. */
  clear(): number {
    const left = this.#known.size - 1;
    for (const inode of this.#known.values()) {
      inode.lookups = 0;
      this.#tree.drop(inode);
    }
    this.#known.clear();
    return left;
  }
}

const SLOTS = 1024;

/**
 * Inodes by number. Numbers are given one after the other, so slots in pages take a fraction of a Map's room; a page
 * goes when its last inode does.
 */
class Table {
  readonly #pages = new Map<number, { readonly slots: (Inode | undefined)[]; used: number }>();
  size = 0;

  get(ino: number): Inode | undefined {
    return this.#pages.get(Math.floor(ino / SLOTS))?.slots[ino % SLOTS];
  }

  /** Precondition: the slot is free. */
  set(ino: number, inode: Inode): void {
    const number = Math.floor(ino / SLOTS);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = { slots: new Array<Inode | undefined>(SLOTS).fill(undefined), used: 0 };
      this.#pages.set(number, page);
    }
    page.slots[ino % SLOTS] = inode;
    page.used++;
    this.size++;
  }

  /** Precondition: the slot is taken. */
  delete(ino: number): void {
    const number = Math.floor(ino / SLOTS);
    const page = this.#pages.get(number);
    if (page === undefined) throw new Error(`node ${ino} is not in the table`);
    page.slots[ino % SLOTS] = undefined;
    this.size--;
    if (--page.used === 0) this.#pages.delete(number);
  }

  *values(): Generator<Inode> {
    for (const { slots } of this.#pages.values()) for (const inode of slots) if (inode !== undefined) yield inode;
  }

  clear(): void {
    this.#pages.clear();
    this.size = 0;
  }
}
