/**
 * Detects whether the kernel read or wrote a store without telling us, by the times that it sets.
 *
 * The kernel stamps a store like any file of its own, so the stamps are comparable with all other times in the tree
 * (see fs/clock.ts) and are used unchanged.
 */
import type { FileStat } from "../../libc.ts";
import type { Store, StoreTimes } from "./store.ts";

/** Filled and read within one call. */
const STAT: FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };

type At = (seconds: number, nanoseconds: number) => void;

export class StoreTimesWatcher {
  readonly store: Store;
  /** Reports a write, after the file's times are updated. `taken`: generated content became static by it. */
  readonly report: (taken: boolean) => void;
  #atime = 0;
  #atimeNsec = 0;
  #mtime = 0;
  #mtimeNsec = 0;

  constructor(store: Store, report: (taken: boolean) => void) {
    this.store = store;
    this.report = report;
    this.take();
  }

  /** Calls back with the times of the last write and the last read, if there were any since the previous call. */
  look(written: At, read: At): void {
    this.store.stat(STAT);
    const { atime, atimeNsec, mtime, mtimeNsec } = STAT;
    if (mtime !== this.#mtime || mtimeNsec !== this.#mtimeNsec) {
      this.#mtime = mtime;
      this.#mtimeNsec = mtimeNsec;
      written(mtime, mtimeNsec);
    }
    if (atime !== this.#atime || atimeNsec !== this.#atimeNsec) {
      this.#atime = atime;
      this.#atimeNsec = atimeNsec;
      read(atime, atimeNsec);
    }
  }

  /** Ignores the store's present times, because we caused them. */
  take(): void {
    this.look(ignore, ignore);
  }

  /**
   * The file was given these times, and the store gets them too: the next write or read differs from them, however
   * coarse the kernel's clock is. They are not read back, so that a write in the meantime is still noticed.
   */
  stamp(times: StoreTimes): void {
    if (this.store.setTimes === undefined) return;
    this.store.setTimes(times);
    this.#atime = times.atime;
    this.#atimeNsec = times.atimeNsec;
    this.#mtime = times.mtime;
    this.#mtimeNsec = times.mtimeNsec;
  }
}

function ignore(): void {}
