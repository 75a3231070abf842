/**
 * Files that the kernel may be writing to: by a handle, or by a mapping that is left of one.
 *
 * Nothing tells when the last mapping is gone, so those that are not shared any more are dropped as others come: there
 * are never more than twice as many as are shared, and a few.
 */
import type { RegularFile } from "../../tree/file.ts";

const FEW = 64;

export class WatchedFiles {
  readonly #files = new Set<RegularFile>();
  #sweepAt = FEW;

  get size(): number {
    return this.#files.size;
  }

  add(file: RegularFile): void {
    this.#files.add(file);
    if (this.#files.size < this.#sweepAt) return;
    for (const one of this.#files) if (!one.shared) this.#files.delete(one);
    this.#sweepAt = Math.max(FEW, 2 * this.#files.size);
  }

  /** Reports what the kernel has written so far. */
  bringIn(): void {
    for (const file of this.#files) {
      if (file.shared) file.bringIn();
      else this.#files.delete(file);
    }
  }
}
