/** The times of a store, as far as they are known, while the kernel reads and writes there without telling us. */
import type { FileStat } from "../libc.ts";

export class SeenTimes {
  #atime = 0;
  #atimeNsec = 0;
  #mtime = 0;
  #mtimeNsec = 0;

  /** Knows them from here on. */
  take(stat: FileStat): void {
    this.written(stat);
    this.read(stat);
  }

  /** Whether the store was written since this was last asked. */
  written(stat: FileStat): boolean {
    if (stat.mtime === this.#mtime && stat.mtimeNsec === this.#mtimeNsec) return false;
    this.#mtime = stat.mtime;
    this.#mtimeNsec = stat.mtimeNsec;
    return true;
  }

  /** Whether it was read. */
  read(stat: FileStat): boolean {
    if (stat.atime === this.#atime && stat.atimeNsec === this.#atimeNsec) return false;
    this.#atime = stat.atime;
    this.#atimeNsec = stat.atimeNsec;
    return true;
  }
}
