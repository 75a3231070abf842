/** Open files. A handle is told to the kernel as `fh` and lives from OPEN to RELEASE. */
import { FsError } from "../errno.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Tree } from "../tree/tree.ts";

export const O_ACCMODE = 3;
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NOATIME = 0o1000000;

export interface Handle {
  readonly file: RegularFile;
  /** As open(2). */
  readonly flags: number;
}

export function writable(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY;
}

interface Announced {
  readonly file: RegularFile;
  readonly at: number;
}

/** The thread is back within microseconds, or never: not every caller in the kernel looks again. */
function fresh({ at }: Announced): boolean {
  return performance.now() - at < 1000;
}

export class Handles {
  readonly #tree: Tree;
  /** Handle n at index n; index 0 stays empty, as 0 means "no handle". */
  readonly #open: (Handle | undefined)[] = [undefined];
  readonly #free: number[] = [];
  /** How many handles may write to a file, for files that have any. */
  readonly #writers = new Map<RegularFile, number>();

  /** What each thread has been told to look at again. */
  readonly #announced = new Map<number, Announced>();

  constructor(tree: Tree) {
    this.#tree = tree;
  }

  open(file: RegularFile, flags: number): number {
    const fh = this.#free.pop() ?? this.#open.length;
    this.#open[fh] = { file, flags };
    this.#tree.hold(file);
    if (writable(flags)) this.#writers.set(file, (this.#writers.get(file) ?? 0) + 1);
    return fh;
  }

  get size(): number {
    return this.#open.length - 1 - this.#free.length;
  }

  /** Throws EBADF. */
  get(fh: number): Handle {
    const handle = this.#open[fh];
    if (handle === undefined) throw new FsError("EBADF", `handle ${fh} is not open`);
    return handle;
  }

  release(fh: number): Handle {
    const handle = this.get(fh);
    this.#open[fh] = undefined;
    this.#free.push(fh);
    if (writable(handle.flags)) {
      const left = (this.#writers.get(handle.file) ?? 0) - 1;
      if (left > 0) this.#writers.set(handle.file, left);
      else this.#writers.delete(handle.file);
    }
    this.#tree.drop(handle.file);
    return handle;
  }

  /** Whether somebody has the file open for writing, or is about to. */
  beingWritten(file: RegularFile): boolean {
    return (
      this.#writers.has(file) ||
      this.#announced.values().some((announced) => announced.file === file && fresh(announced))
    );
  }

  /**
   * A thread wants to write to a file whose size the kernel does not know. True when it is to look at the file again
   * first: then it is told ESTALE, and whoever asks for the size until it is back hears that of a file being written.
   */
  announce(file: RegularFile, pid: number): boolean {
    const before = this.#announced.get(pid);
    this.#announced.delete(pid);
    // A thread of another process namespace has no number that it could be known by.
    if (before?.file === file || pid === 0) return false;
    for (const [other, announced] of this.#announced) if (!fresh(announced)) this.#announced.delete(other);
    this.#announced.set(pid, { file, at: performance.now() });
    return true;
  }

  /** Unmounted: closes what is left. How many were. */
  clear(): number {
    let left = 0;
    for (const [fh, handle] of this.#open.entries()) {
      if (handle === undefined) continue;
      this.release(fh);
      left++;
    }
    return left;
  }
}
