/**
 * Files that the kernel may be writing to, through a handle or a mapping, or has written to without us having looked.
 *
 * Nothing reports the end of the last mapping, so files that are no longer shared are dropped as new ones are added.
 * The set never holds many more than twice the shared files.
 */
import type { RegularFile } from "../../tree/file.ts";

const FEW = 64;

export class WatchedFiles {
  readonly #files = new Set<RegularFile>();
  #sweepAt = FEW;

  delete(file: RegularFile): void {
    this.#files.delete(file);
  }

  has(file: RegularFile): boolean {
    return this.#files.has(file);
  }

  [Symbol.iterator](): Iterator<RegularFile> {
    return this.#files.values();
  }

  get size(): number {
    return this.#files.size;
  }

  add(file: RegularFile): void {
    this.#files.add(file);
    if (this.#files.size < this.#sweepAt) return;
    for (const one of this.#files) if (!one.mayHaveNews) this.#files.delete(one);
    this.#sweepAt = Math.max(FEW, 2 * this.#files.size);
  }

  /** Reports what the kernel has written so far. */
  bringIn(): void {
    for (const file of this.#files) {
      file.bringIn();
      if (!file.shared) this.#files.delete(file);
    }
  }
}
