/**
 * How much the tree may hold: pages of content and inodes, as tmpfs counts them (`size=`, `nr_inodes=`). What else takes
 * memory counts as one of the two, so that nobody can fill it up: a long symlink as a page, each further name of an
 * inode as an inode, and every XATTR_UNIT bytes of extended attributes as one too.
 */
import { FsError } from "../errno.ts";
import type { FileState } from "./content/file-state.ts";
import { heapPages } from "./content/heap-store.ts";
import { createMemoryFiles, PAGE, type Store, type Stores } from "./content/store.ts";

export interface SpaceOptions {
  /** Rounded up to whole pages. Absent: no limit. */
  readonly bytes?: number;
  readonly inodes?: number;
  /** Where large contents live. Absent: memory files of the kernel's, or the heap where there are none. */
  readonly stores?: Stores;
}

/** Bytes of extended attributes that count as an inode (mm/shmem.c:BOGO_INODE_SIZE). */
const XATTR_UNIT = 1024;

/** Pages that are set aside at a time: telling the kernel costs some ten microseconds. */
const SLACK = 64;

/**
 * Pages are counted here, but for those of stores that the kernel counts itself (StoreQuota). These get what is left of
 * the limit; a part of it is set aside for our own count, so that the quota need not be changed for every page.
 */
export class Space {
  /** Pages of all contents but those in stores with a quota. */
  pages = 0;
  inodes = 0;
  /** Names of inodes that have another one already. */
  links = 0;
  /** Of extended attributes that were set through the mount. Invariant: the sum of what #xattrs holds. */
  xattrBytes = 0;
  /** How many regular files that have a name are in each state. The files count themselves. */
  readonly files: Record<FileState, number> = { static: 0, pending: 0, generating: 0, ready: 0, failed: 0 };
  readonly #xattrs = new WeakMap<object, number>();
  readonly pageLimit: number;
  readonly inodeLimit: number;
  readonly #stores: Stores;
  /** Pages set aside for our own count. Invariant: at least `pages`; the stores' quota is the rest of the limit. */
  #reserved = 0;

  constructor(options: SpaceOptions = {}) {
    this.pageLimit = Math.ceil((options.bytes ?? Number.POSITIVE_INFINITY) / PAGE);
    this.inodeLimit = options.inodes ?? Number.POSITIVE_INFINITY;
    this.#stores = options.stores ?? (process.platform === "linux" ? createMemoryFiles() : heapPages);
  }

  get usedPages(): number {
    return this.pages + (this.#stores.quota?.usedPages() ?? 0);
  }

  /** Bytes in use, as statfs(2) tells them. */
  get usedBytes(): number {
    return this.usedPages * PAGE;
  }

  /** How many files that have a name wait for their content. */
  get lazyFiles(): number {
    const { pending, generating, failed } = this.files;
    return pending + generating + failed;
  }

  get freePages(): number {
    return Math.max(0, this.pageLimit - this.usedPages);
  }

  /** How much it may hold, for messages. */
  describeRoom(): string {
    const bytes = Number.isFinite(this.pageLimit) ? `${this.pageLimit * PAGE} bytes` : "any number of bytes";
    return Number.isFinite(this.inodeLimit) ? `${bytes} and ${this.inodeLimit} files` : bytes;
  }

  openStore(): Store {
    try {
      return this.#stores.open();
    } catch (error) {
      // No descriptor left: the heap will do.
      if (error instanceof FsError && (error.code === "EMFILE" || error.code === "ENFILE")) return heapPages.open();
      throw error;
    }
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

  /** For a further name of an inode. */
  takeLink(): void {
    if (this.usedInodes >= this.inodeLimit) throw new FsError("ENOSPC");
    this.links++;
  }

  giveLink(): void {
    this.links--;
  }

  /** Throws ENOSPC if there is no room for `bytes` more of extended attributes. */
  checkXattrs(bytes: number): void {
    if (this.xattrBytes + bytes > (this.inodeLimit - this.inodes - this.links) * XATTR_UNIT)
      throw new FsError("ENOSPC");
  }

  /** An inode's extended attributes grew by `bytes`, or shrank if negative. */
  countXattrs(inode: object, bytes: number): void {
    const before = this.#xattrs.get(inode) ?? 0;
    // What generators and snapshots set is not counted, and may be removed.
    const after = Math.max(0, before + bytes);
    if (after > 0) this.#xattrs.set(inode, after);
    else this.#xattrs.delete(inode);
    this.xattrBytes += after - before;
  }

  /** One inode's extended attributes are another's, in the place of what that had. */
  moveXattrs(from: object, to: object): void {
    this.countXattrs(to, Number.NEGATIVE_INFINITY);
    const bytes = this.#xattrs.get(from) ?? 0;
    this.countXattrs(from, Number.NEGATIVE_INFINITY);
    this.countXattrs(to, bytes);
  }

  /** How much more than needed is set aside. */
  #slack(): number {
    return Math.min(SLACK, this.freePages >> 3);
  }

  /** Gives the stores what was set aside and is not used, so that the limit is exact for them: when there is time. */
  trim(): void {
    if (this.#reserved > this.pages) this.#setAside(this.pages);
  }

  /** Throws ENOSPC when the stores hold what would be needed. */
  #reserve(pages: number): void {
    if (!this.#setAside(pages + this.#slack()) && !this.#setAside(pages)) throw new FsError("ENOSPC");
  }

  /** False when the stores hold too much for that. */
  #setAside(pages: number): boolean {
    const { quota } = this.#stores;
    if (quota !== undefined && Number.isFinite(this.pageLimit)) {
      if (pages > this.pageLimit || !quota.limit(this.pageLimit - pages)) return false;
    }
    this.#reserved = pages;
    return true;
  }
}
