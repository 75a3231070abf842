/** Inodes by number. */
import type { Inode } from "./inode.ts";

const SLOTS = 1024;

/**
 * Inode numbers are consecutive, so slots in pages take a fraction of a Map's memory. A page is dropped with its last
 * inode.
 */
export class InodeTable {
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
    if (page === undefined) throw new Error(`inode ${ino} is not in the table`);
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
