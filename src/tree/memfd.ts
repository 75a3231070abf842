/**
 * A store for the bytes of one large file: an anonymous memory file of the kernel's (memfd). Sparse, hole-punching,
 * outside the garbage collector. Where there are no memfds (not Linux, or no descriptor left) pages in the heap.
 */
import { ERRNO, FsError } from "../errno.ts";
import * as libc from "../libc.ts";
import { PageStore } from "./pages.ts";

export interface Store {
  /** Fills all of `target`; behind what was written there are zeros. */
  read(offset: number, target: Uint8Array): void;
  write(offset: number, data: Uint8Array): void;
  truncate(size: number): void;
  /** Reserves pages; the size stays. */
  allocate(offset: number, length: number): void;
  /** Zeros, and whole pages given back. */
  punch(offset: number, length: number): void;
  /** Precondition of both: `offset` is below the size. As lseek(2)'s SEEK_DATA and SEEK_HOLE, undefined for ENXIO. */
  nextData(offset: number): number | undefined;
  nextHole(offset: number): number | undefined;
  /** Bytes, whole pages. */
  allocated(): number;
  close(): void;
}

export function openStore(): Store {
  if (process.platform !== "linux") return new PageStore();
  try {
    return new MemfdStore();
  } catch (error) {
    if (error instanceof FsError) return new PageStore();
    throw error;
  }
}

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

export class MemfdStore implements Store {
  readonly fd: number;

  constructor() {
    this.fd = libc.memfd("llmfs");
  }

  read(offset: number, target: Uint8Array): void {
    let done = 0;
    while (done < target.length) {
      const count = libc.pread(
        this.fd,
        done === 0 ? target : target.subarray(done),
        target.length - done,
        offset + done,
      );
      if (count < 0) throw new libc.SystemError("pread", -count);
      if (count === 0) {
        target.fill(0, done);
        return;
      }
      done += count;
    }
  }

  write(offset: number, data: Uint8Array): void {
    let done = 0;
    while (done < data.length) {
      const count = libc.pwrite(this.fd, done === 0 ? data : data.subarray(done), data.length - done, offset + done);
      if (count < 0) throw new libc.SystemError("pwrite", -count);
      done += count;
    }
  }

  truncate(size: number): void {
    libc.ftruncate(this.fd, size);
  }

  allocate(offset: number, length: number): void {
    const result = libc.fallocate(this.fd, libc.FALLOC_FL_KEEP_SIZE, offset, length);
    if (result < 0) throw new libc.SystemError("fallocate", -result);
  }

  punch(offset: number, length: number): void {
    const mode = libc.FALLOC_FL_KEEP_SIZE | libc.FALLOC_FL_PUNCH_HOLE;
    const result = libc.fallocate(this.fd, mode, offset, length);
    if (result < 0) throw new libc.SystemError("fallocate", -result);
  }

  nextData(offset: number): number | undefined {
    return this.#seek(offset, SEEK_DATA);
  }

  nextHole(offset: number): number | undefined {
    return this.#seek(offset, SEEK_HOLE);
  }

  allocated(): number {
    return libc.fstat(this.fd).blocks * 512;
  }

  close(): void {
    libc.close(this.fd);
  }

  #seek(offset: number, whence: number): number | undefined {
    const result = libc.lseek(this.fd, offset, whence);
    if (result === -ERRNO.ENXIO) return undefined;
    if (result < 0) throw new libc.SystemError("lseek", -result);
    return result;
  }
}
