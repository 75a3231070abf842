/** How much of a write a store has room for, where we count its pages. */
import { FsError } from "../../errno.ts";
import type { FileStat } from "../../libc.ts";
import type { Space } from "../space.ts";
import { PAGE, type Store } from "./store.ts";

/** Filled and read within one call. */
const STAT: FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };

/**
 * How many bytes from `offset` on can be written to a store of this size, given what it has there already and what is
 * free. Throws ENOSPC if none can.
 */
export function writableLength(store: Store, space: Space, size: number, offset: number, length: number): number {
  if (store.counted) return length;
  const first = Math.floor(offset / PAGE);
  const last = Math.ceil((offset + length) / PAGE);
  let free = space.freePages;
  if (last - first <= free) return length;
  for (let page = first; page < last; page++) {
    if (!takesSpace(store, size, page) && free-- === 0) {
      const room = page * PAGE - offset;
      if (room <= 0) throw new FsError("ENOSPC");
      return room;
    }
  }
  return length;
}

/** Whether a page is counted already: it holds data, or is reserved, which only the attempt to reserve it tells. */
function takesSpace(store: Store, size: number, page: number): boolean {
  const at = page * PAGE;
  if (at < size && store.nextData(at) === at) return true;
  store.stat(STAT);
  const { blocks } = STAT;
  store.allocate(at, PAGE);
  store.stat(STAT);
  if (STAT.blocks === blocks) return true;
  store.punch(at, PAGE);
  return false;
}
