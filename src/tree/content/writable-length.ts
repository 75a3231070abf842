/** How much of a write, or of a reservation, fits in a store whose pages we count. */
import { FsError } from "../../errno.ts";
import type { FileStat } from "../../libc.ts";
import type { Space } from "../space.ts";
import { PAGE, type Store } from "./store.ts";

/** Filled and read within one call. */
const STAT: FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };

/**
 * Returns how many bytes from `offset` on can be written to a store of this size, given the pages it already has and
 * the free space. Throws ENOSPC if none can.
 */
export function writableLength(store: Store, space: Space, size: number, offset: number, length: number): number {
  if (store.counted) return length;
  const first = Math.floor(offset / PAGE);
  const last = Math.ceil((offset + length) / PAGE);
  let free = space.freePages;
  if (last - first <= free) return length;
  const pages = new DataPages(store, size);
  for (let page = first; page < last; page++) {
    if (pages.next(page) === page) continue;
    if (free > 0) free -= reserve(store, page, page + 1);
    else if (reserve(store, page, page + 1) > 0) {
      store.punch(page * PAGE, PAGE);
      const room = page * PAGE - offset;
      if (room <= 0) throw new FsError("ENOSPC");
      return room;
    }
  }
  return length;
}

/**
 * Reserves the pages of a range in a store of this size. If not all of them fit, it releases what it has reserved, and
 * returns false. Some pages between earlier reservations may then stay reserved.
 */
export function reservePages(store: Store, space: Space, size: number, offset: number, length: number): boolean {
  const first = Math.floor(offset / PAGE);
  const last = Math.ceil((offset + length) / PAGE);
  let free = space.freePages;
  if (store.counted || last - first <= free) {
    store.allocate(offset, length);
    return true;
  }
  // Even if all its pages are in the range.
  if (last - first - pagesOf(store) > free) return false;
  const pages = new DataPages(store, size);
  const made: { readonly from: number; readonly to: number }[] = [];
  for (let page = first; page < last; ) {
    const data = pages.next(page);
    if (data === page) {
      page = pages.endOfData(page);
      continue;
    }
    const to = Math.min(data, last, page + Math.max(1, free));
    const added = reserve(store, page, to);
    if (added === to - page) made.push({ from: page, to });
    if (added > free) {
      for (const one of made) store.punch(one.from * PAGE, (one.to - one.from) * PAGE);
      return false;
    }
    free -= added;
    page = to;
  }
  return true;
}

/** Only an attempt shows which pages of a hole are reserved already. Returns how many were not. */
function reserve(store: Store, from: number, to: number): number {
  const before = pagesOf(store);
  store.allocate(from * PAGE, (to - from) * PAGE);
  return pagesOf(store) - before;
}

function pagesOf(store: Store): number {
  store.stat(STAT);
  return (STAT.blocks * 512) / PAGE;
}

/** The pages of a store that hold data. The store searches a long hole for data each time, so it is asked once for each hole. */
class DataPages {
  readonly #store: Store;
  readonly #size: number;
  #known = -1;

  constructor(store: Store, size: number) {
    this.#store = store;
    this.#size = size;
  }

  /** The first page from this one on that holds data; infinity if none does. Ask in ascending order. */
  next(page: number): number {
    if (this.#known < page) {
      const at = page * PAGE < this.#size ? this.#store.nextData(page * PAGE) : undefined;
      this.#known = at === undefined ? Number.POSITIVE_INFINITY : Math.floor(Number(at) / PAGE);
    }
    return this.#known;
  }

  /** The first page after the data that begins at this page. */
  endOfData(page: number): number {
    return Math.max(page + 1, Math.ceil(Number(this.#store.nextHole(page * PAGE) ?? this.#size) / PAGE));
  }
}
