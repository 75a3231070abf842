/** A set of inode numbers. They are mostly consecutive, so a bit each takes a fraction of a Set's memory. */

/** The numbers in a page. */
const PAGE = 4096;
const WORD = 32;

export class InodeSet {
  readonly #pages = new Map<number, Uint32Array>();

  has(ino: number): boolean {
    const word = this.#pages.get(Math.floor(ino / PAGE))?.[((ino % PAGE) / WORD) | 0] ?? 0;
    return (word & (1 << (ino % WORD))) !== 0;
  }

  add(ino: number): void {
    const number = Math.floor(ino / PAGE);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint32Array(PAGE / WORD);
      this.#pages.set(number, page);
    }
    const at = ((ino % PAGE) / WORD) | 0;
    page[at] = (page[at] ?? 0) | (1 << (ino % WORD));
  }
}
