/**
 * What happens to a generation when its last waiter leaves.
 *
 * A request to a model may already be charged, and an interrupted program is often started again. So work in progress
 * continues for a moment, and a reader who comes in that time waits for it as if it had never been left. It is
 * cancelled earlier if another generation needs its slot. Work that has not begun is cancelled at once: nothing is
 * lost, and nothing is spent on unwanted content.
 */

import type { Attempt } from "./attempt.ts";
import type { Timer, Timers } from "./timers.ts";

/** How long work without a waiter continues: long enough to type the command again. */
export const GRACE_MS = 3000;
/** The same while other generations are held up: long enough for a program to try again. */
export const SHORT_GRACE_MS = 500;

interface Left {
  readonly since: number;
  /** The thread that left last. */
  readonly thread: number | undefined;
  timer: Timer;
}

export interface GraceOptions {
  readonly timers: Timers;
  /** Whether a generation with waiters is held up because no slot is free. */
  readonly isCrowded: () => boolean;
  readonly callOff: (attempt: Attempt) => void;
}

export class Grace {
  readonly #options: GraceOptions;
  readonly #left = new Map<Attempt, Left>();

  constructor(options: GraceOptions) {
    this.#options = options;
  }

  /** The last waiter left the attempt at that time; `thread` is the waiter's, if the kernel sent its request. */
  begin(attempt: Attempt, thread: number | undefined, since = this.#options.timers.now): void {
    this.#left.set(attempt, { since, thread, timer: NONE });
    this.check(attempt);
  }

  /** The attempt has a waiter again, or has ended. Returns since when it had none. */
  end(attempt: Attempt): number | undefined {
    const left = this.#left.get(attempt);
    left?.timer.cancel();
    this.#left.delete(attempt);
    return left?.since;
  }

  isLeft(attempt: Attempt): boolean {
    return this.#left.has(attempt);
  }

  /** Whether this thread was the last waiter, and may come back. */
  wasLeftBy(attempt: Attempt, thread: number | undefined): boolean {
    return thread !== undefined && thread !== 0 && this.#left.get(attempt)?.thread === thread;
  }

  /** Call this when the attempt's stage changes. It cancels the attempt if its time is over, which may be at once. */
  check(attempt: Attempt): void {
    const left = this.#left.get(attempt);
    if (left === undefined) return;
    left.timer.cancel();
    const { timers, isCrowded, callOff } = this.#options;
    const elapsed = timers.now - left.since;
    const over = elapsed >= GRACE_MS || (elapsed >= SHORT_GRACE_MS && isCrowded());
    if (attempt.stage !== "working" || over) return callOff(attempt);
    const next = elapsed < SHORT_GRACE_MS ? SHORT_GRACE_MS : GRACE_MS;
    left.timer = timers.schedule(next - elapsed, () => this.check(attempt));
  }

  /** Call this when a generation is held up. */
  checkAll(): void {
    for (const attempt of [...this.#left.keys()]) this.check(attempt);
  }
}

const NONE: Timer = { cancel() {} };
