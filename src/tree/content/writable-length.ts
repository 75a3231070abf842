/** How much of a write fits in a store whose pages we count. */
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
  for (let page = first; page < last; page++) {
    if (!takesSpace(store, size, page) && free-- === 0) {
      const room = page * PAGE - offset;
      if (room <= 0) throw new FsError("ENOSPC");
      return room;
    }
  }
  return length;
}

/** Whether a page already counts: it holds data, or is reserved, which only an attempt to reserve it shows. */
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
