/** Timers of the filesystem thread, which has no event loop: the loop over /dev/fuse asks when to wake and runs them. */

/** Requests are answered in between. */
const LONGEST_RUN_MS = 5;

interface TimerEntry {
  readonly at: number;
  readonly work: () => void;
}

export interface Timer {
  /** Harmless once it has run. */
  cancel(): void;
}

export class Timers {
  readonly #now: () => number;
  /** The next one last. */
  readonly #entries: TimerEntry[] = [];

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get now(): number {
    return this.#now();
  }

  /** Runs the work once, in this many milliseconds. It must be short, and must not throw. */
  schedule(milliseconds: number, work: () => void): Timer {
    const entry = { at: this.#now() + milliseconds, work };
    // Of those that are due at the same time, the oldest comes first.
    let from = 0;
    for (let to = this.#entries.length; from < to; ) {
      const middle = (from + to) >>> 1;
      if ((this.#entries[middle]?.at ?? 0) > entry.at) from = middle + 1;
      else to = middle;
    }
    this.#entries.splice(from, 0, entry);
    return { cancel: () => this.#cancel(entry) };
  }

  /** Milliseconds until the next one is due, 0 if it is; undefined if there is none. */
  get due(): number | undefined {
    const next = this.#entries.at(-1);
    return next && Math.max(0, next.at - this.#now());
  }

  /** Runs those that are due, for a few milliseconds; what is left then is due at once. False if there was none. */
  run(): boolean {
    const now = this.#now();
    let any = false;
    for (let next = this.#entries.at(-1); next !== undefined && next.at <= now; next = this.#entries.at(-1)) {
      this.#entries.pop();
      any = true;
      next.work();
      if (this.#now() > now + LONGEST_RUN_MS) break;
    }
    return any;
  }

  #cancel(entry: TimerEntry): void {
    const at = this.#entries.indexOf(entry);
    if (at >= 0) this.#entries.splice(at, 1);
  }
}
