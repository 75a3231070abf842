/** Sets of up to 32 pages, as the bits of one number. */
import { PAGE } from "./store.ts";

/** The bits from `from` up to but not including `to`. */
export function pageMask(from: number, to: number): number {
  if (to <= from) return 0;
  const below = (n: number) => (n >= 32 ? -1 : (1 << n) - 1);
  return below(to) & ~below(from);
}

/** The number of bits that are set. */
export function popcount(mask: number): number {
  let count = 0;
  for (let bits = mask; bits !== 0; bits &= bits - 1) count++;
  return count;
}

/** How many bytes from `offset` on can be written, given the pages already allocated and `freePages` more. */
export function writableWithin(pages: number, freePages: number, offset: number, length: number): number {
  let free = freePages;
  let at = offset;
  while (at < offset + length) {
    const page = Math.floor(at / PAGE);
    if ((pages & (1 << page)) === 0 && free-- === 0) break;
    at = (page + 1) * PAGE;
  }
  return Math.min(at, offset + length) - offset;
}

/** The first offset from this one on, below `size`, that is in one of these pages. */
export function findFirst(pages: number, offset: number, size: number): number | undefined {
  for (let page = Math.floor(offset / PAGE); page < 32 && page * PAGE < size; page++) {
    if ((pages & (1 << page)) !== 0) return Math.max(offset, page * PAGE);
  }
  return undefined;
}
