/** Open files. The kernel identifies a handle by `fh`, from OPEN to RELEASE. */
import { FsError } from "../errno.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Tree } from "../tree/tree.ts";
import type { Revalidation } from "./lazy/revalidate.ts";

export const O_ACCMODE = 3;
const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_NOATIME = 0o1000000;

export interface Handle {
  readonly file: RegularFile;
  /** The flags of open(2). */
  readonly flags: number;
}

export function isWritable(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY;
}

export class Handles {
  readonly #tree: Tree;
  /** Handle n at index n; index 0 stays empty, as 0 means "no handle". */
  readonly #open: (Handle | undefined)[] = [undefined];
  readonly #free: number[] = [];
  /** The number of handles that may write, for files that have any. */
  readonly #writers = new Map<RegularFile, number>();
  readonly #revalidation: Revalidation;

  constructor(tree: Tree, revalidation: Revalidation) {
    this.#tree = tree;
    this.#revalidation = revalidation;
  }

  open(file: RegularFile, flags: number): number {
    const fh = this.#free.pop() ?? this.#open.length;
    this.#open[fh] = { file, flags };
    this.#tree.hold(file);
    if (isWritable(flags)) this.#writers.set(file, (this.#writers.get(file) ?? 0) + 1);
    return fh;
  }

  /** Whether any file is open for writing. */
  get writing(): boolean {
    return this.#writers.size > 0;
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
    if (isWritable(handle.flags)) {
      const left = (this.#writers.get(handle.file) ?? 0) - 1;
      if (left > 0) this.#writers.set(handle.file, left);
      else this.#writers.delete(handle.file);
    }
    this.#tree.drop(handle.file);
    return handle;
  }

  /** Whether the file is open for writing, or about to be. */
  isBeingWritten(file: RegularFile): boolean {
    return this.#writers.has(file) || this.#revalidation.expects(file);
  }

  /** Call this after the unmount. Closes the remaining handles and returns their number. */
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
