/**
 * A store that the kernel reads and writes without telling us: whether it did, by the times that it leaves there.
 *
 * The kernel stamps a store as it stamps any file of its own, so the stamps are comparable with every other time in the
 * tree (see fs/clock.ts) and are taken over as they are.
 */
import type { FileStat } from "../../libc.ts";
import type { Store, StoreTimes } from "./store.ts";

/** Filled and read within one call. */
const STAT: FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };

type At = (seconds: number, nanoseconds: number) => void;

export class StoreTimesWatcher {
  readonly store: Store;
  /** Reports that it was written, after the file took that over. `taken`: what a generator made is the writer's now. */
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

  /** Calls back with the times of the last write and the last read, where there were any since the last look. */
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

  /** The store's present times are no news: they are by our own hand. */
  take(): void {
    this.look(ignore, ignore);
  }

  /**
   * The file was given these times, and the store gets them too: the next write or read differs from them, however
   * coarse the clock is that the kernel stamps by. They are not read back: a write in the meantime must still be noticed.
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
