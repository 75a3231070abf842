/**
 * Content beyond 2^53 bytes, where sizes and offsets are bigints (int64.ts). It is always in a store, and sparse. Space
 * is counted for the worst case: one extra page, and no page allocated before.
 */
import { FsError } from "../../errno.ts";
import { atMost, minus, type Wide } from "../../int64.ts";
import type { Space } from "../space.ts";
import { PAGE, type Store } from "./store.ts";

/** Throws EFBIG if the bytes are in the heap. */
export function requireHugeStore(store: Store): Store {
  if (!store.wide) throw new FsError("EFBIG");
  return store;
}

/** Like Content.read. Without a store there is no data at such an offset. */
export function readHuge(store: Store | undefined, offset: Wide, target: Uint8Array): number {
  if (store === undefined) return 0;
  const length = atMost(minus(store.exactSize(), offset), target.length);
  if (length <= 0) return 0;
  store.read(offset, target.subarray(0, length));
  return length;
}

/** Like Content.write. */
export function writeHuge(store: Store, space: Space, offset: Wide, data: Uint8Array): number {
  checkSpace(store, space, data.length);
  return store.write(offset, data);
}

/** Like Content.allocate, which changes the size. */
export function allocateHuge(store: Store, space: Space, offset: Wide, length: Wide): void {
  checkSpace(store, space, Number(length));
  store.allocate(offset, length);
}

function checkSpace(store: Store, space: Space, length: number): void {
  if (!store.counted && length / PAGE + 1 > space.freePages) throw new FsError("ENOSPC");
}
