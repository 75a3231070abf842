/**
 * Timers of the filesystem thread, which has no event loop: the loop over /dev/fuse asks when to wake up and runs them.
 */

/**
 * The maximum length of a slice of long work. Requests are answered in between. A request may have to wait for two or three
 * slices: of a timer, and of the requests before it.
 */
export const SLICE_MS = 1.5;

interface TimerEntry {
  readonly at: number;
  readonly work: () => void;
}

export interface Timer {
  /** Does nothing once the timer has run. */
  cancel(): void;
}

export class Timers {
  readonly #now: () => number;
  /** Sorted; the next timer is the last element. */
  readonly #entries: TimerEntry[] = [];

  /** `now` returns milliseconds of a clock that never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get now(): number {
    return this.#now();
  }

  /** Runs the work once, after this many milliseconds. It must be short, and must not throw. */
  schedule(milliseconds: number, work: () => void): Timer {
    const entry = { at: this.#now() + milliseconds, work };
    // Of timers that are due at the same time, the oldest runs first.
    let from = 0;
    for (let to = this.#entries.length; from < to; ) {
      const middle = (from + to) >>> 1;
      if ((this.#entries[middle]?.at ?? 0) > entry.at) from = middle + 1;
      else to = middle;
    }
    this.#entries.splice(from, 0, entry);
    return { cancel: () => this.#cancel(entry) };
  }

  /** Milliseconds until the next timer is due, 0 if it already is; undefined if there is none. */
  get due(): number | undefined {
    const next = this.#entries.at(-1);
    return next && Math.max(0, next.at - this.#now());
  }

  /** Runs the timers that are due, for a few milliseconds; the rest stays due. Returns false if none was due. */
  run(): boolean {
    const now = this.#now();
    let any = false;
    for (let next = this.#entries.at(-1); next !== undefined && next.at <= now; next = this.#entries.at(-1)) {
      this.#entries.pop();
      any = true;
      next.work();
      if (this.#now() > now + SLICE_MS) break;
    }
    return any;
  }

  #cancel(entry: TimerEntry): void {
    const at = this.#entries.indexOf(entry);
    if (at >= 0) this.#entries.splice(at, 1);
  }
}
