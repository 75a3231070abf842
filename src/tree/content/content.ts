/**
 * The bytes of a file, and its holes.
 *
 * Up to HEAP_LIMIT they are one array in the heap, with one bit for each page that distinguishes data from a hole.
 * Beyond it they are in a store of their own (store.ts): sparse, outside the garbage collector, and ready to be passed
 * to the kernel. Callers do not see which. Space is counted in pages, as in tmpfs, before anything is changed.
 *
 * While the kernel has the store (`share`) it reads and writes it without telling us. Size and allocation are then read
 * from the store.
 */
import { FsError, messageOf } from "../../errno.ts";
import { atMost, plus, type Wide } from "../../int64.ts";
import type { Extent, FileStat } from "../../libc.ts";
import type { Space } from "../space.ts";
import { allocateHuge, readHuge, requireHugeStore, writeHuge } from "./bigint-content.ts";
import { findFirst, pageMask, popcount, writableWithin } from "./page-mask.ts";
import { type Afterwards, PAGE, type Store } from "./store.ts";
import { StoreTimesWatcher } from "./store-times.ts";
import { reservePages, writableLength } from "./writable-length.ts";

/** 32 pages, so that the map of pages fits one number. */
export const HEAP_LIMIT = 32 * PAGE;

/** A write of this many bytes is done after the reply. */
const LATER_FROM = 8 * PAGE;

/** Filled and read within one call. */
const STAT: FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };

export class Content {
  /** The space that the content counts toward. */
  readonly space: Space;
  /** For a file beyond 2^53, the nearest number: see exactSize. Invariant: such a file has a store. */
  #size = 0;
  /** Invariant: every byte from `size` on is zero; bytes after the array's end are a hole. */
  #heap: Uint8Array | undefined;
  /** Bit n is set if page n is allocated. Invariant: 0 if there is a store. */
  #pages = 0;
  /** The allocated pages that were never written, and so are still holes. Invariant: all are in #pages. */
  #reserved = 0;
  /** Invariant: if there is a store, #heap is empty. */
  #store: Store | undefined;
  /** The pages counted toward the space: those of the heap, or of a store that is not counted by the kernel. */
  #counted = 0;
  /** Set while the kernel has the store, and after that until its last changes are taken over. */
  #storeTimes: StoreTimesWatcher | undefined;
  /** The allocated bytes of a store that only we change; undefined if they have to be asked for. */
  #allocated: number | undefined;
  /** Whether a store may have reserved pages, which do not hold data. */
  #reserves = false;
  /** Why bytes whose write was confirmed are missing. */
  #lost: FsError | undefined;

  constructor(space: Space) {
    this.space = space;
  }

  get size(): number {
    if (this.#storeTimes !== undefined) this.#sync(this.#storeTimes);
    return this.#size;
  }

  get exactSize(): Wide {
    const { size } = this;
    return this.#store === undefined || size <= Number.MAX_SAFE_INTEGER ? size : this.#store.exactSize();
  }

  /** The number of allocated bytes, in whole pages, as in st_blocks. */
  get allocated(): number {
    if (this.#store === undefined) return this.#counted * PAGE;
    if (this.#storeTimes !== undefined) return this.#storeTimes.stat.blocks * 512;
    this.#allocated ??= this.#statOf(this.#store).blocks * 512;
    return this.#allocated;
  }

  /** Whether the bytes are in a store. */
  get stored(): boolean {
    return this.#store !== undefined;
  }

  /** Whether the kernel has the store. */
  get shared(): boolean {
    return this.#storeTimes !== undefined && !this.#storeTimes.over;
  }

  /** Changes by the kernel that may not be taken over yet. */
  get storeTimes(): StoreTimesWatcher | undefined {
    return this.#storeTimes;
  }

  /** Moves the bytes to a store and lets the kernel use it until `unshare`. */
  share(report: (taken: boolean) => void = () => {}): Store {
    const store = this.#promote();
    this.#storeTimes ??= new StoreTimesWatcher(store, report, this.space.moments);
    this.#storeTimes.over = false;
    return store;
  }

  /** The kernel no longer uses the store, and its changes are taken over. */
  unshare(): void {
    if (this.#storeTimes !== undefined) this.#sync(this.#storeTimes);
    this.#storeTimes?.end();
    this.#storeTimes = undefined;
  }

  /** Moves the bytes back to the heap if they fit and nothing else uses the store, and returns the unneeded store. */
  demote(mayTake: (store: Store) => boolean): Store | undefined {
    const store = this.#store;
    if (store === undefined || this.shared || this.size > HEAP_LIMIT || !mayTake(store)) return undefined;
    // A reservation past the end, or a sparse file, cannot be represented in the heap.
    if (this.allocated !== Math.ceil(this.#size / PAGE) * PAGE) return undefined;
    if (this.#reserves && this.#size > 0 && Number(store.nextHole(0)) < this.#size) return undefined;
    const pages = Math.ceil(this.#size / PAGE);
    try {
      this.space.takePages(pages);
    } catch (error) {
      // The bytes are counted twice for a moment. If there is no space for that, they stay in the store.
      if (error instanceof FsError) return undefined;
      throw error;
    }
    const bytes = new Uint8Array(this.#size);
    store.read(0, bytes);
    this.#releasePages();
    this.#store = this.#storeTimes = undefined;
    this.#heap = bytes.length > 0 ? bytes : undefined;
    this.#pages = pageMask(0, pages);
    this.#counted = pages;
    return store;
  }

  /** Copies the bytes at `offset` to `target` and returns how many: fewer than requested only at the file's end. */
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

  /** Where `read` would find the bytes at `offset`; undefined if they are not one piece of a kernel file. */
  extent(offset: Wide, length: number): Extent | undefined {
    const fd = this.#store?.fd;
    const { size } = this;
    if (fd === undefined || typeof offset === "bigint" || offset >= size || size > Number.MAX_SAFE_INTEGER) return;
    if (this.#lost !== undefined) throw this.#lost;
    return { fd, offset, length: Math.min(length, size - offset) };
  }

  /** Returns the whole content in a new array. Throws ENOMEM if it is too large for one. */
  bytes(): Uint8Array {
    const { size } = this;
    if (size > 2 ** 32) throw new FsError("ENOMEM", `a file of ${size} bytes is too large to hand over whole`);
    const all = new Uint8Array(size);
    this.read(0, all);
    return all;
  }

  /**
   * Returns the number of bytes written, which is smaller than given if space runs out. Throws ENOSPC if none could be
   * written. Large data for a store is written `afterwards`, if that is given, and must not change until then.
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
      // Also if the size stays the same: pages reserved past the end are freed.
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
      this.#reserves = true;
      allocateHuge(store, this.space, offset, length);
      this.#count(store);
    } else if (this.#store === undefined && end <= HEAP_LIMIT) {
      const wanted = pageMask(Math.floor(offset / PAGE), Math.ceil(end / PAGE)) & ~this.#pages;
      this.#takeHeapPages(wanted);
      this.#reserved |= wanted;
    } else {
      const store = this.#promote();
      this.#reserves = true;
      const enough = reservePages(store, this.space, this.#size, offset, length);
      this.#count(store);
      if (!enough) throw new FsError("ENOSPC");
    }
    if (!keepSize && end > this.exactSize) this.truncate(end);
  }

  /** Makes a hole: reads return zeros, and whole pages are freed. */
  punch(offset: Wide, length: Wide): void {
    if (this.#store === undefined)
      return this.#clearHeap(atMost(offset, HEAP_LIMIT), atMost(plus(offset, length), HEAP_LIMIT), false);
    this.#promote().punch(offset, length);
    this.#count(this.#store);
  }

  /** The first offset from this one on that holds data, if there is one before the end. */
  nextData(offset: Wide): Wide | undefined {
    if (offset >= this.exactSize) return undefined;
    if (this.#store !== undefined) return this.#store.nextData(offset);
    return findFirst(this.#pages & ~this.#reserved, Number(offset), this.#size);
  }

  /** The first offset from this one on that is in a hole; the end of the file counts as one. */
  nextHole(offset: Wide): Wide | undefined {
    if (offset >= this.exactSize) return undefined;
    if (this.#store !== undefined) return this.#store.nextHole(offset);
    const hole = findFirst(~this.#pages | this.#reserved, Number(offset), this.#size);
    return hole ?? Math.max(Number(offset), Math.min(this.#size, HEAP_LIMIT));
  }

  /** Frees everything. The content is then empty and can be used again. */
  clear(): void {
    if (this.shared) return this.truncate(0);
    this.#store?.close();
    this.#store = this.#storeTimes = undefined;
    this.#heap = undefined;
    this.#pages = this.#reserved = this.#size = 0;
    this.#lost = undefined;
    this.#releasePages();
  }

  /** For a file that nothing can reach any more, even if it was shared. Returns the space that it counted toward. */
  dispose(): Space {
    this.#storeTimes = undefined;
    this.clear();
    return this.space;
  }

  /** The space is reserved, so this fails only if the machine has no memory. Then the next reader gets the error. */
  #writePromised(store: Store, offset: number, data: Uint8Array): void {
    this.#allocated = undefined;
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

  #sync({ store, stat: { size, blocks } }: StoreTimesWatcher): void {
    this.#size = size;
    this.#allocated = blocks * 512;
    this.#count(store, blocks);
  }

  #statOf(store: Store): Readonly<FileStat> {
    if (this.#storeTimes !== undefined) return this.#storeTimes.stat;
    store.stat(STAT);
    return STAT;
  }

  #writeHeap(offset: number, data: Uint8Array): number {
    const wanted = pageMask(Math.floor(offset / PAGE), Math.ceil((offset + data.length) / PAGE)) & ~this.#pages;
    let part = data;
    if (!this.space.hasRoom(popcount(wanted))) {
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
      // The first allocation is exact, because most files are written once; after that it doubles, up to HEAP_LIMIT.
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

  /** Writes zeros between `from` and `to`; whole pages become holes, and at the file's end (`tail`) the last page too. */
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

  /** Moves the bytes to a store, unless they are in one. Call this before each change of a store. */
  #promote(): Store {
    this.#allocated = undefined;
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
      if (store.counted) {
        this.#counted = popcount(this.#pages);
        this.space.pages += this.#counted;
      }
      throw error;
    }
    this.#store = store;
    this.#heap = undefined;
    this.#reserves = this.#reserved !== 0;
    this.#pages = this.#reserved = 0;
    return store;
  }

  /** Updates the count to what the store holds. */
  #count(store: Store, blocks?: number): void {
    if (store.counted) return;
    if (blocks === undefined) store.stat(STAT);
    const pages = Math.ceil(((blocks ?? STAT.blocks) * 512) / PAGE);
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
