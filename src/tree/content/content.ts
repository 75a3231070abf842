/**
 * Where a file's bytes live, and what holes it has.
 *
 * Up to HEAP_LIMIT they are one array in the heap, with one bit a page that tells data from hole; beyond it they are in
 * a store of their own (store.ts): sparse, outside the garbage collector, and ready to be handed to the kernel. Callers
 * don't see which. Space is counted in pages, as tmpfs counts it, before anything is changed.
 *
 * While the kernel has the store (`share`) it reads and writes there without telling us: size and allocation are then
 * what the store says.
 */
import { FsError, messageOf } from "../../errno.ts";
import { atMost, plus, type Wide } from "../../int64.ts";
import type { Extent, FileStat } from "../../libc.ts";
import type { Space } from "../space.ts";
import { allocateHuge, readHuge, requireHugeStore, writeHuge } from "./bigint-content.ts";
import { findFirst, pageMask, popcount, writableWithin } from "./page-mask.ts";
import { type Afterwards, PAGE, type Store } from "./store.ts";
import { StoreTimesWatcher } from "./store-times.ts";
import { writableLength } from "./writable-length.ts";

/** 32 pages, so that the map of pages is one number. */
export const HEAP_LIMIT = 32 * PAGE;

/** A write of this many bytes is worth answering before it is made. */
const LATER_FROM = 8 * PAGE;

/** Filled and read within one call. */
const STAT: FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };

export class Content {
  /** What it is counted against. */
  readonly space: Space;
  /** Of a file beyond 2^53 the nearest number: exactSize tells the rest. Invariant: such a file has a store. */
  #size = 0;
  /** Invariant: every byte at or behind `size` is zero; bytes past the array's end are a hole. */
  #heap: Uint8Array | undefined;
  /** Bit n is set when page n is there. Invariant: 0 when there is a store. */
  #pages = 0;
  /** Those of them that were reserved and never written, and so are holes still. Invariant: all are in #pages. */
  #reserved = 0;
  /** Invariant: with a store there is no heap. */
  #store: Store | undefined;
  /** Pages counted against the space: of the heap, or of a store that does not count for itself. */
  #counted = 0;
  /** While the kernel has the store. */
  #storeTimes: StoreTimesWatcher | undefined;
  /** Why bytes that were promised to be there are not. */
  #lost: FsError | undefined;

  constructor(space: Space) {
    this.space = space;
  }

  get size(): number {
    if (this.shared) this.#sync();
    return this.#size;
  }

  get exactSize(): Wide {
    const { size } = this;
    return this.#store === undefined || size <= Number.MAX_SAFE_INTEGER ? size : this.#store.exactSize();
  }

  /** Allocated bytes, whole pages: what st_blocks counts. */
  get allocated(): number {
    if (this.#store === undefined) return this.#counted * PAGE;
    this.#store.stat(STAT);
    return STAT.blocks * 512;
  }

  /** Whether the bytes are in a store. */
  get stored(): boolean {
    return this.#store !== undefined;
  }

  /** Whether the kernel has the store. */
  get shared(): boolean {
    return this.#storeTimes !== undefined;
  }

  /** While the kernel has the store: what it did there. */
  get storeTimes(): StoreTimesWatcher | undefined {
    return this.#storeTimes;
  }

  /** Moves the bytes into a store and lets the kernel have it, until `unshare`. */
  share(report: (taken: boolean) => void = () => {}): Store {
    const store = this.#promote();
    this.#storeTimes ??= new StoreTimesWatcher(store, report);
    return store;
  }

  /** The kernel has given the store back. */
  unshare(): void {
    this.#sync();
    this.#storeTimes = undefined;
  }

  /**
   * Moves the bytes back to the heap, if they fit and nobody else has the store, and returns the store: it is not
   * needed any more.
   */
  demote(mayTake: (store: Store) => boolean): Store | undefined {
    const store = this.#store;
    if (store === undefined || this.shared || this.#size > HEAP_LIMIT || !mayTake(store)) return undefined;
    store.stat(STAT);
    // A reservation behind the end, or a sparse file: what the heap cannot say as briefly.
    if (STAT.blocks * 512 !== Math.ceil(this.#size / PAGE) * PAGE) return undefined;
    if (this.#size > 0 && Number(store.nextHole(0)) < this.#size) return undefined;
    const pages = Math.ceil(this.#size / PAGE);
    try {
      this.space.takePages(pages);
    } catch (error) {
      // Counted twice for a moment; where there is no room for that, it stays where it is.
      if (error instanceof FsError) return undefined;
      throw error;
    }
    const bytes = new Uint8Array(this.#size);
    store.read(0, bytes);
    this.#releasePages();
    this.#store = undefined;
    this.#heap = bytes.length > 0 ? bytes : undefined;
    this.#pages = pageMask(0, pages);
    this.#counted = pages;
    return store;
  }

  /** Copies what is at `offset` into `target`; how many bytes, less than asked only at the file's end. */
  read(offset: Wide, target: Uint8Array): number {
    if (this.#lost !== undefined) throw this.#lost;
    const { size } = this;
    if (typeof offset === "bigint" || size > Number.MAX_SAFE_INTEGER) return readHuge(this.#store, offset, target);
    const length = Math.min(target.length, size - offset);
    if (length <= 0) return 0;
    if (this.#store !== undefined) {
      this.#store.read(offset, target.subarray(0, length));
      return length;
    }
    const heap = this.#heap;
    const present = heap === undefined ? 0 : Math.max(0, Math.min(length, heap.length - offset));
    if (heap !== undefined && present > 0) {
      if (offset === 0 && present === heap.length) target.set(heap, 0);
      else target.set(heap.subarray(offset, offset + present), 0);
    }
    if (present < length) target.fill(0, present, length);
    return length;
  }

  /** Where `read` would find what is at `offset`; undefined where that is no one piece of a file of the kernel's. */
  extent(offset: Wide, length: number): Extent | undefined {
    const fd = this.#store?.fd;
    const { size } = this;
    if (fd === undefined || typeof offset === "bigint" || offset >= size || size > Number.MAX_SAFE_INTEGER) return;
    if (this.#lost !== undefined) throw this.#lost;
    return { fd, offset, length: Math.min(length, size - offset) };
  }

  /** The whole content in a new array. Throws ENOMEM where there can be no such array. */
  bytes(): Uint8Array {
    const { size } = this;
    if (size > 2 ** 32) throw new FsError("ENOMEM", `a file of ${size} bytes is too large to hand over whole`);
    const all = new Uint8Array(size);
    this.read(0, all);
    return all;
  }

  /**
   * How many bytes were written: fewer than given when space runs out on the way. Throws ENOSPC if none could be. Large
   * data for a store goes there `afterwards`, if that is given, and must stay as it is until then.
   */
  write(offset: Wide, data: Uint8Array, afterwards?: Afterwards): number {
    if (data.length === 0) return 0;
    const end = plus(offset, data.length);
    if (typeof offset === "bigint" || typeof end === "bigint") {
      const store = requireHugeStore(this.#promote());
      const written = writeHuge(store, this.space, offset, data);
      this.#size = Number(store.exactSize());
      this.#count(store);
      return written;
    }
    if (this.#store === undefined && end <= HEAP_LIMIT) return this.#writeHeap(offset, data);
    const store = this.#promote();
    const room = writableLength(store, this.space, this.#size, offset, data.length);
    if (afterwards !== undefined && !store.counted && room === data.length && room >= LATER_FROM) {
      this.#size = Math.max(this.#size, end);
      afterwards(() => this.#writePromised(store, offset, data));
      return room;
    }
    const written = store.write(offset, room < data.length ? data.subarray(0, room) : data);
    this.#size = Math.max(this.size, offset + written);
    this.#count(store);
    return written;
  }

  truncate(size: Wide): void {
    if (this.#store === undefined && typeof size === "number") {
      // Of the same size too: what is reserved behind the end is freed.
      if (size <= this.#size) this.#clearHeap(size, HEAP_LIMIT, true);
      this.#size = size;
      return;
    }
    const store = typeof size === "bigint" ? requireHugeStore(this.#promote()) : this.#promote();
    store.truncate(size);
    this.#size = Number(size);
    this.#count(store);
  }

  /** fallocate: reserves pages; extends the file unless `keepSize`. */
  allocate(offset: Wide, length: Wide, keepSize: boolean): void {
    const end = plus(offset, length);
    if (typeof offset === "bigint" || typeof length === "bigint" || typeof end === "bigint") {
      const store = requireHugeStore(this.#promote());
      allocateHuge(store, this.space, offset, length);
      this.#count(store);
    } else if (this.#store === undefined && end <= HEAP_LIMIT) {
      const wanted = pageMask(Math.floor(offset / PAGE), Math.ceil(end / PAGE)) & ~this.#pages;
      this.#takeHeapPages(wanted);
      this.#reserved |= wanted;
    } else {
      const store = this.#promote();
      if (writableLength(store, this.space, this.#size, offset, length) < length) throw new FsError("ENOSPC");
      store.allocate(offset, length);
      this.#count(store);
    }
    if (!keepSize && end > this.exactSize) this.truncate(end);
  }

  /** Makes a hole: reads there give zeros, whole pages are given back. */
  punch(offset: Wide, length: Wide): void {
    if (this.#store !== undefined) {
      this.#store.punch(offset, length);
      this.#count(this.#store);
    } else this.#clearHeap(atMost(offset, HEAP_LIMIT), atMost(plus(offset, length), HEAP_LIMIT), false);
  }

  /** The first offset at or behind this one that holds data, if there is one before the end. */
  nextData(offset: Wide): Wide | undefined {
    if (offset >= this.exactSize) return undefined;
    if (this.#store !== undefined) return this.#store.nextData(offset);
    return findFirst(this.#pages & ~this.#reserved, Number(offset), this.#size);
  }

  /** The first offset at or behind this one that is in a hole; the end of the file counts as one. */
  nextHole(offset: Wide): Wide | undefined {
    if (offset >= this.exactSize) return undefined;
    if (this.#store !== undefined) return this.#store.nextHole(offset);
    const hole = findFirst(~this.#pages | this.#reserved, Number(offset), this.#size);
    return hole ?? Math.max(Number(offset), Math.min(this.#size, HEAP_LIMIT));
  }

  /** Gives everything back. The content is empty afterwards and can be used again. */
  clear(): void {
    if (this.shared) return this.truncate(0);
    this.#store?.close();
    this.#store = undefined;
    this.#heap = undefined;
    this.#pages = this.#reserved = 0;
    this.#size = 0;
    this.#lost = undefined;
    this.#releasePages();
  }

  /** Nobody can reach the file any more, whatever was shared. Returns the space that it was counted against. */
  dispose(): Space {
    this.#storeTimes = undefined;
    this.clear();
    return this.space;
  }

  /** The room was there, so that only a machine out of memory is in the way: then whoever reads hears of it. */
  #writePromised(store: Store, offset: number, data: Uint8Array): void {
    try {
      if (store.write(offset, data) < data.length) throw new FsError("ENOSPC");
      this.#storeTimes?.take();
      this.#count(store);
    } catch (error) {
      this.#lost = new FsError("EIO", `${data.length} bytes written at ${offset} are lost: ${messageOf(error)}`);
      throw this.#lost;
    }
  }

  #releasePages(): void {
    this.space.givePages(this.#counted);
    this.#counted = 0;
  }

  #sync(): void {
    if (this.#store === undefined) return;
    this.#store.stat(STAT);
    this.#size = STAT.size;
    this.#count(this.#store);
  }

  #writeHeap(offset: number, data: Uint8Array): number {
    const wanted = pageMask(Math.floor(offset / PAGE), Math.ceil((offset + data.length) / PAGE)) & ~this.#pages;
    let part = data;
    if (popcount(wanted) > this.space.freePages) {
      const room = writableWithin(this.#pages, this.space.freePages, offset, data.length);
      if (room === 0) throw new FsError("ENOSPC");
      part = data.subarray(0, room);
    }
    const end = offset + part.length;
    const touched = pageMask(Math.floor(offset / PAGE), Math.ceil(end / PAGE));
    this.#takeHeapPages(touched & ~this.#pages);
    this.#reserved &= ~touched;
    let heap = this.#heap;
    if (heap === undefined || heap.length < end) {
      // Exactly what is needed the first time, as most files are written once; then doubling, within HEAP_LIMIT.
      const grown = new Uint8Array(heap === undefined ? end : Math.min(HEAP_LIMIT, Math.max(end, heap.length * 2)));
      if (heap !== undefined) grown.set(heap);
      heap = this.#heap = grown;
    }
    heap.set(part, offset);
    if (end > this.#size) this.#size = end;
    return part.length;
  }

  #takeHeapPages(mask: number): void {
    const count = popcount(mask);
    this.space.takePages(count);
    this.#counted += count;
    this.#pages |= mask;
  }

  /** Zeros from `from` to `to`; whole pages become holes. At the file's end (`tail`) the rest of the page counts too. */
  #clearHeap(from: number, to: number, tail: boolean): void {
    if (to <= from) return;
    this.#heap?.fill(0, from, to);
    const gone = this.#pages & pageMask(Math.ceil(from / PAGE), Math.floor(to / PAGE));
    const count = popcount(gone);
    this.space.givePages(count);
    this.#counted -= count;
    this.#pages &= ~gone;
    this.#reserved &= ~gone;
    if (tail && this.#heap !== undefined) {
      if (from === 0) this.#heap = undefined;
      else if (this.#heap.length > from * 4) this.#heap = this.#heap.slice(0, from);
    }
  }

  /** Moves the bytes into a store, if they are not there. */
  #promote(): Store {
    if (this.#store !== undefined) return this.#store;
    const store = this.space.openStore();
    const heap = this.#heap?.subarray(0, this.#size);
    if (store.counted) this.#releasePages();
    try {
      if (this.#size > 0) store.truncate(this.#size);
      for (let page = 0; this.#pages !== 0 && page < 32; page++) {
        if ((this.#pages & (1 << page)) === 0) continue;
        const holds = (this.#reserved & (1 << page)) === 0;
        if (holds && heap !== undefined && page * PAGE < heap.length)
          store.write(page * PAGE, heap.subarray(page * PAGE, Math.min((page + 1) * PAGE, heap.length)));
        else store.allocate(page * PAGE, PAGE);
      }
    } catch (error) {
      store.close();
      if (store.counted) this.#retake();
      throw error;
    }
    this.#store = store;
    this.#heap = undefined;
    this.#pages = this.#reserved = 0;
    return store;
  }

  /** Counts the heap's pages again, after they were given back for a store that could not be filled. */
  #retake(): void {
    const count = popcount(this.#pages);
    this.space.pages += count;
    this.#counted = count;
  }

  /** Brings the count in line with what the store holds. */
  #count(store: Store): void {
    if (store.counted) return;
    store.stat(STAT);
    const pages = Math.ceil((STAT.blocks * 512) / PAGE);
    this.space.pages += pages - this.#counted;
    this.#counted = pages;
  }

  checkInvariants(): void {
    if (this.#store !== undefined) {
      if (this.#heap !== undefined || this.#pages !== 0) throw new Error("content: both heap and store");
      return;
    }
    if (popcount(this.#pages) !== this.#counted) throw new Error(`content: ${this.#counted} pages counted`);
    if (this.#heap?.subarray(this.#size).some((byte) => byte !== 0)) throw new Error("content: bytes behind the end");
  }
}
