/**
 * The limits of a tree: pages of content and inodes, as in tmpfs (`size=`, `nr_inodes=`). Everything else that takes
 * memory counts as one of the two, so that it cannot grow without limit: a long symlink as a page, each further name of
 * an inode as an inode, and every XATTR_UNIT bytes of extended attributes as an inode too.
 */
import { FsError } from "../errno.ts";
import type { FileState } from "./content/file-state.ts";
import { heapPages } from "./content/heap-store.ts";
import { createMemoryFiles, type FdStore, PAGE, type Store, type Stores } from "./content/store.ts";
import type { Moments } from "./content/store-times.ts";

export interface SpaceOptions {
  /** Rounded up to whole pages. Absent: no limit. */
  readonly bytes?: number;
  readonly inodes?: number;
  /** Where large contents are stored. Default: memory files, or the heap if the kernel provides none. */
  readonly stores?: Stores;
  /** See Moments. Absent: nothing that the kernel may change is remembered. */
  readonly moments?: Moments;
}

/** Bytes of extended attributes that count as an inode (mm/shmem.c:BOGO_INODE_SIZE). */
const XATTR_UNIT = 1024;

/** How many pages are set aside at a time, because changing the quota costs some ten microseconds. */
const SLACK = 64;

/** With fewer free pages than these, the kernel can fill them by itself before it tells us what it has given up. */
const SHORT = 16384;

/**
 * Counts pages, except those of stores that the kernel counts itself (StoreQuota). Those stores get the rest of the
 * limit. Part of it is set aside for our own count, so that the quota need not change with every page.
 */
export class Space {
  /** The pages of all contents, except those in stores with a quota. */
  pages = 0;
  inodes = 0;
  /** The number of additional names of inodes. */
  links = 0;
  /** The bytes of extended attributes that were set through the mount. Invariant: the sum of #xattrs. */
  xattrBytes = 0;
  /** The number of named regular files in each state. The files update it themselves. */
  readonly files: Record<FileState, number> = { static: 0, pending: 0, generating: 0, ready: 0, failed: 0 };
  readonly #xattrs = new WeakMap<object, number>();
  readonly pageLimit: number;
  readonly inodeLimit: number;
  readonly moments: Moments | undefined;
  readonly #stores: Stores;
  /** Pages set aside for our own count. Invariant: at least `pages`; the stores' quota is the rest of the limit. */
  #reserved = 0;
  /** Pages that removed files still have, and that may be used nevertheless. */
  #lent = 0;
  /** Whether the stores' quota could not be lowered. */
  #overdrawn = false;

  constructor(options: SpaceOptions = {}) {
    this.pageLimit = Math.ceil((options.bytes ?? Number.POSITIVE_INFINITY) / PAGE);
    this.inodeLimit = options.inodes ?? Number.POSITIVE_INFINITY;
    this.moments = options.moments;
    this.#stores = options.stores ?? (process.platform === "linux" ? createMemoryFiles() : heapPages);
  }

  get usedPages(): number {
    return Math.max(0, this.pages + (this.#stores.quota?.usedPages() ?? 0) - this.#lent);
  }

  /** The bytes in use, as in statfs(2). */
  get usedBytes(): number {
    return this.usedPages * PAGE;
  }

  /** The number of named files that have no content yet. */
  get lazyFiles(): number {
    const { pending, generating, failed } = this.files;
    return pending + generating + failed;
  }

  get freePages(): number {
    return Math.max(0, this.pageLimit - this.usedPages);
  }

  /** Whether this many more pages fit. What is set aside already is known to. */
  hasRoom(count: number): boolean {
    return this.pages + count <= this.#reserved || count <= this.freePages;
  }

  /** Whether this many bytes fit, wherever in a file they are written. */
  hasRoomFor(bytes: number): boolean {
    return !Number.isFinite(this.pageLimit) || this.hasRoom(Math.ceil(bytes / PAGE) + 1);
  }

  /** Whether the kernel may soon use up what is left without asking us. */
  get isShort(): boolean {
    return this.#stores.quota !== undefined && Number.isFinite(this.pageLimit) && this.freePages < SHORT;
  }

  /** Lets the pages of a removed file be used before they are free. Returns false if that is too much. */
  lend(bytes: number): boolean {
    const pages = Math.ceil(bytes / PAGE);
    if (this.#overdrawn || this.#lent + pages > this.pageLimit) return false;
    this.#lent += pages;
    this.#setAside(this.#reserved);
    return true;
  }

  /** The pages are free, or are still needed. In that case others may have used them, until those are freed. */
  endLoan(bytes: number): void {
    this.#lent -= Math.ceil(bytes / PAGE);
    this.#overdrawn = !this.#setAside(this.#reserved);
  }

  /** The limit as text, for messages. */
  describeRoom(): string {
    const bytes = Number.isFinite(this.pageLimit) ? `${this.pageLimit * PAGE} bytes` : "any number of bytes";
    return Number.isFinite(this.inodeLimit) ? `${bytes} and ${this.inodeLimit} files` : bytes;
  }

  openStore(): Store {
    try {
      return this.#stores.open();
    } catch (error) {
      // No descriptor is left, so the heap is used.
      if (error instanceof FsError && (error.code === "EMFILE" || error.code === "ENFILE")) return heapPages.open();
      throw error;
    }
  }

  /** See Stores.prepare. */
  prepareStore(enough: number): FdStore | undefined {
    return this.#stores.prepare?.(enough);
  }

  takePages(count: number): void {
    if (this.#stores.quota === undefined) {
      if (count > this.pageLimit - this.pages) throw new FsError("ENOSPC");
    } else if (this.pages + count > this.#reserved) this.#reserve(this.pages + count);
    this.pages += count;
  }

  givePages(count: number): void {
    this.pages -= count;
    if (this.#stores.quota !== undefined && this.#reserved - this.pages > SLACK * 2) this.#reserve(this.pages);
  }

  get usedInodes(): number {
    return this.inodes + this.links + Math.ceil(this.xattrBytes / XATTR_UNIT);
  }

  takeInode(): void {
    if (this.usedInodes >= this.inodeLimit) throw new FsError("ENOSPC");
    this.inodes++;
  }

  giveInode(): void {
    this.inodes--;
  }

  /** Counts an additional name of an inode. */
  takeLink(): void {
    if (this.usedInodes >= this.inodeLimit) throw new FsError("ENOSPC");
    this.links++;
  }

  giveLink(): void {
    this.links--;
  }

  /** Throws ENOSPC if `bytes` more of extended attributes do not fit. */
  checkXattrs(bytes: number): void {
    if (this.xattrBytes + bytes > (this.inodeLimit - this.inodes - this.links) * XATTR_UNIT)
      throw new FsError("ENOSPC");
  }

  /** An inode's extended attributes grew by `bytes`, or shrank if negative. */
  countXattrs(inode: object, bytes: number): void {
    const before = this.#xattrs.get(inode) ?? 0;
    // Attributes that generators and snapshots set are not counted, but may be removed.
    const after = Math.max(0, before + bytes);
    if (after > 0) this.#xattrs.set(inode, after);
    else this.#xattrs.delete(inode);
    this.xattrBytes += after - before;
  }

  /** Moves one inode's extended attributes to another, replacing those. */
  moveXattrs(from: object, to: object): void {
    this.countXattrs(to, Number.NEGATIVE_INFINITY);
    const bytes = this.#xattrs.get(from) ?? 0;
    this.countXattrs(from, Number.NEGATIVE_INFINITY);
    this.countXattrs(to, bytes);
  }

  /** How many pages more than needed are set aside. */
  #slack(): number {
    return Math.min(SLACK, this.freePages >> 3);
  }

  /**
   * Returns unused pages that were set aside to the stores, so that their limit is exact. Called when the thread is
   * idle.
   */
  trim(): void {
    if (this.#reserved > this.pages || this.#overdrawn) this.#overdrawn = !this.#setAside(this.pages);
  }

  /** Throws ENOSPC if the stores use too much. */
  #reserve(pages: number): void {
    if (!this.#setAside(pages + this.#slack()) && !this.#setAside(pages)) throw new FsError("ENOSPC");
  }

  /** Returns false if the stores use too much. */
  #setAside(pages: number): boolean {
    const { quota } = this.#stores;
    if (quota !== undefined && Number.isFinite(this.pageLimit)) {
      const rest = this.pageLimit + this.#lent - pages;
      if (rest < 0 || !quota.limit(rest)) return false;
    }
    this.#reserved = pages;
    return true;
  }
}
