/**
 * The bytes of one large file: an unnamed file in the kernel's memory. It is sparse, supports hole punching, is outside
 * the garbage collector, and has a descriptor that can be passed to the kernel, which then reads and writes it without
 * us.
 */
import { ERRNO, FsError } from "../../errno.ts";
import { plus, type Wide } from "../../int64.ts";
import * as libc from "../../libc.ts";

/** Content is counted in pages. */
export const PAGE = 4096;

/** The times with which the kernel stamps a store. */
export type StoreTimes = Pick<libc.FileStat, "atime" | "atimeNsec" | "mtime" | "mtimeNsec">;

export interface Store {
  /** Fills all of `target`, with zeros after the end of the data. */
  read(offset: Wide, target: Uint8Array): void;
  /** Returns the number of bytes written, which is smaller than given if space ran out. Throws ENOSPC if none were. */
  write(offset: Wide, data: Uint8Array): number;
  truncate(size: Wide): void;
  /** Reserves pages; the size stays. Throws ENOSPC, with nothing reserved. */
  allocate(offset: Wide, length: Wide): void;
  /** Writes zeros, and frees whole pages. */
  punch(offset: Wide, length: Wide): void;
  /**
   * Precondition of both: `offset` is below the size. As lseek(2) with SEEK_DATA and SEEK_HOLE; undefined for ENXIO.
   */
  nextData(offset: Wide): Wide | undefined;
  nextHole(offset: Wide): Wide | undefined;
  stat(into: libc.FileStat): void;
  /** Only for a store that has times. */
  setTimes?(times: StoreTimes): void;
  /** The exact size; `stat` returns the nearest number. */
  exactSize(): Wide;
  /** Whether nobody has used the store yet: it is empty, and its times are 0. Returns true only once. */
  takeUntouched?(): boolean;
  /** Undoes `takeUntouched`, if nobody has used the store since. */
  keepUntouched?(): void;
  /** Only for a store that is a kernel file. */
  readonly fd?: number;
  /** Whether the kernel counts and limits its pages (StoreQuota). */
  readonly counted: boolean;
  /** Whether offsets may be bigints (see int64.ts). */
  readonly wide: boolean;
  close(): void;
}

/** Runs work after the caller was answered, and before anything else happens. */
export type Afterwards = (work: () => void) => void;

/** Creates stores. */
export interface Stores {
  /** Throws FsError: EMFILE if there are no descriptors left. */
  open(): Store;
  /** Creates a store for a later `open`. Returns undefined if `enough` of them are there, or descriptors are few. */
  readonly prepare?: (enough: number) => FdStore | undefined;
  /** Present if the kernel itself counts and limits the pages of all stores together. */
  readonly quota?: StoreQuota;
}

export interface StoreQuota {
  usedPages(): number;
  /** Limits all stores together to this many pages. Returns false if they already use more. */
  limit(pages: number): boolean;
}

/** Filled and read within one call. */
const STAT: libc.FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** State shared by all stores of one kind. */
interface StorePool {
  /** Empty stores for reuse. */
  readonly spare: FdStore[];
  /** The number of open descriptors, including those of spare stores. */
  open: number;
}

export class FdStore implements Store {
  readonly fd: number;
  readonly counted: boolean;
  readonly wide = true;
  readonly #pool: StorePool;
  /** Called before the descriptor is closed; set by the code that passed it to the kernel. */
  onClose: (() => void) | undefined;
  /** Whether a program may have mapped it since it was empty. A mapping outlives the handle it was made through. */
  mappable = false;
  #untouched = false;

  constructor(fd: number, counted: boolean, pool: StorePool) {
    this.fd = fd;
    this.counted = counted;
    this.#pool = pool;
    pool.open++;
    this.#markUntouched();
  }

  /** No other change of the kernel's gives it these times. */
  #markUntouched(): void {
    libc.resetTimes(this.fd);
    this.#untouched = true;
  }

  takeUntouched(): boolean {
    const untouched = this.#untouched;
    this.#untouched = false;
    return untouched;
  }

  keepUntouched(): void {
    this.#untouched = true;
  }

  read(offset: Wide, target: Uint8Array): void {
    let done = 0;
    while (done < target.length) {
      const count = libc.pread(
        this.fd,
        done === 0 ? target : target.subarray(done),
        target.length - done,
        plus(offset, done),
      );
      if (count < 0) throw new libc.SystemError("pread", -count);
      if (count === 0) {
        target.fill(0, done);
        return;
      }
      done += count;
    }
  }

  write(offset: Wide, data: Uint8Array): number {
    this.#untouched = false;
    let done = 0;
    while (done < data.length) {
      const count = libc.pwrite(
        this.fd,
        done === 0 ? data : data.subarray(done),
        data.length - done,
        plus(offset, done),
      );
      if (count < 0 && done > 0) return done;
      if (count < 0) throw new libc.SystemError("pwrite", -count);
      done += count;
    }
    return done;
  }

  truncate(size: Wide): void {
    this.#untouched = false;
    libc.ftruncate(this.fd, size);
  }

  allocate(offset: Wide, length: Wide): void {
    this.#untouched = false;
    const result = libc.fallocate(this.fd, libc.FALLOC_FL_KEEP_SIZE, offset, length);
    if (result < 0) throw new libc.SystemError("fallocate", -result);
  }

  punch(offset: Wide, length: Wide): void {
    this.#untouched = false;
    const mode = libc.FALLOC_FL_KEEP_SIZE | libc.FALLOC_FL_PUNCH_HOLE;
    const result = libc.fallocate(this.fd, mode, offset, length);
    if (result < 0) throw new libc.SystemError("fallocate", -result);
  }

  nextData(offset: Wide): Wide | undefined {
    return this.#seek(offset, SEEK_DATA);
  }

  nextHole(offset: Wide): Wide | undefined {
    return this.#seek(offset, SEEK_HOLE);
  }

  stat(into: libc.FileStat): void {
    libc.fstat(this.fd, into);
  }

  setTimes({ atime, atimeNsec, mtime, mtimeNsec }: StoreTimes): void {
    this.#untouched = false;
    libc.futimens(this.fd, atime, atimeNsec, mtime, mtimeNsec);
  }

  exactSize(): Wide {
    return libc.sizeOf(this.fd, STAT);
  }

  /** Nobody needs the content any more. A store that cannot be mapped is emptied, for the next file. */
  close(): void {
    if (!this.mappable && this.#pool.spare.length < MOST_SPARE) {
      if (!this.#untouched) {
        this.truncate(0);
        this.#markUntouched();
      }
      this.#pool.spare.push(this);
      return;
    }
    this.onClose?.();
    libc.close(this.fd);
    this.#pool.open--;
  }

  /** Whether no other process has it open or mapped. */
  isFree(): boolean {
    if (this.mappable && !libc.isExclusive(this.fd)) return false;
    this.mappable = false;
    return true;
  }

  #seek(offset: Wide, whence: number): Wide | undefined {
    const result = libc.lseek(this.fd, offset, whence);
    if (result === -ERRNO.ENXIO) return undefined;
    if (result < 0) throw new libc.SystemError("lseek", -Number(result));
    return result;
  }
}

/** How many descriptors are left to the rest of the process: connections to models, files being saved. */
const KEPT_FREE = 128;

/** How many empty stores are kept for new files: making one costs several times as much as emptying one. */
export const MOST_SPARE = Math.max(16, Math.min(1024, (libc.descriptorLimit() - KEPT_FREE) >> 2));

/** Throws EMFILE before the process runs out of descriptors for other purposes. */
function createFdStores(open: () => number, quota?: StoreQuota): Stores {
  const pool: StorePool = { spare: [], open: 0 };
  const most = libc.descriptorLimit() - KEPT_FREE;
  const create = () => new FdStore(open(), quota !== undefined, pool);
  return {
    open() {
      const spare = pool.spare.pop();
      if (spare !== undefined) return spare;
      if (pool.open >= most) throw new FsError("EMFILE", `${pool.open} files are large, and as many descriptors taken`);
      return create();
    },
    prepare(enough) {
      if (pool.spare.length >= Math.min(enough, MOST_SPARE) || pool.open >= most >> 1) return undefined;
      const store = create();
      pool.spare.push(store);
      return store;
    },
    ...(quota === undefined ? {} : { quota }),
  };
}

/** Memory files of the kernel (memfd_create(2)), whose pages we count. */
export function createMemoryFiles(): Stores {
  return createFdStores(() => libc.memfd("llmfs"));
}

/**
 * Unnamed files on a tmpfs that is mounted nowhere. Its size limit also applies to what the kernel writes without
 * asking us. Throws SystemError if this process may not mount.
 */
export function createTmpfsFiles(pageLimit: number): Stores {
  // "No limit" is the largest number rather than 0, because without a size statfs(2) counts nothing.
  const size = (pages: number) => String(BigInt(Math.min(Math.max(1, pages), 2 ** 50)) * 4096n);
  const mount = libc.createDetachedMount("tmpfs", { size: size(pageLimit), nr_inodes: "0", mode: "700" });
  return createFdStores(() => libc.temporaryFile(mount), {
    usedPages() {
      const { blocks, free } = libc.fstatfs(mount);
      return blocks - free;
    },
    limit(pages) {
      try {
        libc.reconfigureMount(mount, { size: size(pages) });
        return true;
      } catch (error) {
        if (error instanceof FsError) return false;
        throw error;
      }
    },
  });
}
