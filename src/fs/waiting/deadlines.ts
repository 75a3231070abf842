/** Ends waits of the kernel's requests before the kernel would end the mount because of them: see fuse/request-limit.ts. */
import type { Timers } from "./timers.ts";

export interface DeadlinesOptions {
  readonly timers: Timers;
  /** How long a request may wait, in ms. */
  readonly withinMs: number;
  readonly isWaiting: (unique: number) => boolean;
  /** Answers a request whose time is over. */
  readonly end: (unique: number) => void;
}

export class Deadlines {
  readonly #options: DeadlinesOptions;
  /** In the order of their times, because all wait for the same time. Those that are answered stay until their time. */
  readonly #waiting: { readonly unique: number; readonly at: number }[] = [];

  constructor(options: DeadlinesOptions) {
    this.#options = options;
  }

  /** The request waits from now on. */
  add(unique: number): void {
    const { timers, withinMs } = this.#options;
    this.#waiting.push({ unique, at: timers.now + withinMs });
    if (this.#waiting.length === 1) this.#scheduleNext();
  }

  #scheduleNext(): void {
    const { timers } = this.#options;
    const next = this.#waiting[0];
    if (next !== undefined) timers.schedule(Math.max(0, next.at - timers.now), () => this.#endOverdue());
  }

  #endOverdue(): void {
    const { timers, isWaiting, end } = this.#options;
    let over = 0;
    for (; (this.#waiting[over]?.at ?? Number.POSITIVE_INFINITY) <= timers.now; over++) {
      const { unique } = this.#waiting[over] ?? { unique: 0 };
      if (isWaiting(unique)) end(unique);
    }
    this.#waiting.splice(0, over);
    this.#scheduleNext();
  }
}
