/** Ends waits of the kernel's requests before the kernel would end the mount because of them: see fuse/request-limit.ts. */
import type { Timers } from "./timers.ts";

export interface DeadlinesOptions {
  readonly timers: Timers;
  /** How long a request may wait, in ms. */
  readonly withinMs: number;
  /** The request that has waited longest, and since when, by the clock of the timers. */
  readonly oldest: () => { readonly unique: number; readonly since: number } | undefined;
  /** Answers a request whose time is over, so that it no longer waits. */
  readonly end: (unique: number) => void;
}

export class Deadlines {
  readonly #options: DeadlinesOptions;
  #isScheduled = false;

  constructor(options: DeadlinesOptions) {
    this.#options = options;
  }

  /** Call this when a request begins to wait. */
  check(): void {
    if (!this.#isScheduled) this.#endOverdue();
  }

  #endOverdue(): void {
    const { timers, withinMs, oldest, end } = this.#options;
    let next = oldest();
    for (; next !== undefined && next.since + withinMs <= timers.now; next = oldest()) end(next.unique);
    this.#isScheduled = next !== undefined;
    if (next !== undefined) timers.schedule(next.since + withinMs - timers.now, () => this.#endOverdue());
  }
}
