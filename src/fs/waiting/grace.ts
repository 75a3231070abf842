/**
 * What becomes of a generation when its last waiter leaves.
 *
 * A request to a model may be paid for already, and a program that was interrupted often tries again. So work that is
 * under way goes on for a moment, and whoever comes in that time waits for it as if it had never been left. It is called
 * off earlier if another generation needs the place that it occupies. Work that has not begun is called off at once:
 * nothing is lost with it, and nothing is spent on what nobody wants.
 */

import type { Attempt } from "./attempt.ts";
import type { Timer, Timers } from "./timers.ts";

/** How long work goes on that nobody waits for: enough for a person to type the command again. */
export const GRACE_MS = 3000;
/** The same while others are held up: enough for a program to try again. */
export const SHORT_GRACE_MS = 500;

interface Left {
  readonly since: number;
  /** The thread that left it last. */
  readonly thread: number | undefined;
  timer: Timer;
}

export interface GraceOptions {
  readonly timers: Timers;
  /** Whether a generation that somebody waits for is held up for lack of a place. */
  readonly isCrowded: () => boolean;
  readonly callOff: (attempt: Attempt) => void;
}

export class Grace {
  readonly #options: GraceOptions;
  readonly #left = new Map<Attempt, Left>();

  constructor(options: GraceOptions) {
    this.#options = options;
  }

  /** Its last waiter left it, at that time; `thread` is the waiter's if it was one of the kernel's. */
  begin(attempt: Attempt, thread: number | undefined, since = this.#options.timers.now): void {
    this.#left.set(attempt, { since, thread, timer: NONE });
    this.check(attempt);
  }

  /** Somebody waits for it again, or it is over. Returns since when nobody did. */
  end(attempt: Attempt): number | undefined {
    const left = this.#left.get(attempt);
    left?.timer.cancel();
    this.#left.delete(attempt);
    return left?.since;
  }

  isLeft(attempt: Attempt): boolean {
    return this.#left.has(attempt);
  }

  /** Whether this thread was the last that waited, and may come back. */
  wasLeftBy(attempt: Attempt, thread: number | undefined): boolean {
    return thread !== undefined && thread !== 0 && this.#left.get(attempt)?.thread === thread;
  }

  /** To be called when the attempt's stage changes: calls it off if its time is over, which may be now. */
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

  /** To be called when a generation is held up. */
  checkAll(): void {
    for (const attempt of [...this.#left.keys()]) this.check(attempt);
  }
}

const NONE: Timer = { cancel() {} };
