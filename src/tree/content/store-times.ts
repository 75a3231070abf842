/**
 * Detects whether the kernel read or wrote a store without telling us, by the times that it sets.
 *
 * The kernel stamps a store like any file of its own, so the stamps are comparable with all other times in the tree
 * (see fs/clock.ts) and are used unchanged.
 *
 * What the kernel does while we handle a request may as well be done after it. So within a moment (see Moments) the
 * store is looked at only once.
 */
import type { FileStat } from "../../libc.ts";
import type { Store, StoreTimes } from "./store.ts";

/** Counts the requests and messages that are handled: during each of them the number is the same. */
export interface Moments {
  readonly moment: number;
}

const NEVER = -1;

type At = (seconds: number, nanoseconds: number) => void;

export class StoreTimesWatcher {
  readonly store: Store;
  /** Reports a write, after the file's times are updated. `taken`: generated content became static by it. */
  readonly report: (taken: boolean) => void;
  /** Set when the kernel no longer uses the store; its last changes may not have been seen yet. */
  over = false;
  readonly #moments: Moments | undefined;
  readonly #stat: FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };
  /** The moments in which `#stat` was filled, and compared with the times below. */
  #filled = NEVER;
  #compared = NEVER;
  #atime = 0;
  #atimeNsec = 0;
  #mtime = 0;
  #mtimeNsec = 0;

  /** Without `moments`, the store is looked at each time. */
  constructor(store: Store, report: (taken: boolean) => void, moments?: Moments) {
    this.store = store;
    this.report = report;
    this.#moments = moments;
    // An untouched store is known: everything is 0.
    if (store.takeUntouched?.() === true) this.#filled = this.#compared = this.#moment;
    else this.take();
  }

  /** What fstat(2) says about the store. */
  get stat(): Readonly<FileStat> {
    const moment = this.#moment;
    if (moment === NEVER || this.#filled !== moment) this.store.stat(this.#stat);
    this.#filled = moment;
    return this.#stat;
  }

  /** Call this at the end. A store that nobody has used since it was empty need not be emptied. */
  end(): void {
    const { size, blocks, atime, atimeNsec, mtime, mtimeNsec } = this.stat;
    if (size + blocks + atime + atimeNsec + mtime + mtimeNsec === 0) this.store.keepUntouched?.();
  }

  get #moment(): number {
    return this.#moments?.moment ?? NEVER;
  }

  /** Calls back with the times of the last write and the last read, if there were any since the previous call. */
  look(written: At, read: At): void {
    const moment = this.#moment;
    if (moment !== NEVER && this.#compared === moment) return;
    this.#compared = moment;
    const { atime, atimeNsec, mtime, mtimeNsec } = this.stat;
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
    this.#filled = this.#compared = NEVER;
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
