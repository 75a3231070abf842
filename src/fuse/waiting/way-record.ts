/** How good one way to wait for requests was, and when it is due to be tried again. "When" and "how long" are counted in stretches. */
import type { Outcome } from "./trial.ts";

/** A way whose requests took less than this part of the present time is tried soon, but not more often than this. */
const TEMPTING = 0.5;
const TEMPTED_STAY = 64;
/** How long it takes until a way is tried again: after it was left, and at most. */
const SHORTEST_STAY = 16;
const LONGEST_STAY = 2048;
const LONGEST_HOPELESS_STAY = 4096;
/** A way that takes so much longer than the present one costs much to try, and is tried less often. */
const WORSE = 1.3;
const HOPELESS = 2;
/** How long a way is out when it was worse than it promised, or another program wanted the processor; and at most. */
const OUT = 256;
const LONGEST_OUT = 8192;

export class WayRecord {
  /** The time of a request relative to the present way, as far as it is known. */
  time = 1;
  /** How many milliseconds a stretch took when it was last used, and when that was. */
  #ms = Number.POSITIVE_INFINITY;
  #usedAt = 0;
  /** When it is tried next, and how long after that if it loses again. */
  #due = 0;
  #stay = SHORTEST_STAY;
  /** Until when it is out, and for how long the next time. */
  #outUntil = 0;
  #out = OUT;

  /** `usualMs`: what a stretch takes in the present way. */
  isDue(now: number, usualMs: number): boolean {
    const isTempting = this.#ms < usualMs * TEMPTING;
    const due = isTempting ? Math.min(this.#due, this.#usedAt + TEMPTED_STAY) : this.#due;
    return Math.max(due, this.#outUntil) <= now;
  }

  noteTrial(now: number, { time, ms }: Outcome): void {
    this.time = time;
    this.#ms = ms;
    this.#usedAt = now;
    this.#due = now + this.#stay;
    const factor = time > HOPELESS ? 8 : time > WORSE ? 4 : 2;
    this.#stay = Math.min(this.#stay * factor, time > HOPELESS ? LONGEST_HOPELESS_STAY : LONGEST_STAY);
  }

  /** `usualMs`: what a stretch took; 0 if that is not known. */
  noteLeft(now: number, usualMs: number): void {
    this.#usedAt = now;
    if (usualMs > 0) this.#ms = usualMs;
    this.#due = Math.max(this.#due, now + SHORTEST_STAY);
  }

  /** Something else has changed, so the way is tried again at once. */
  forget(now: number): void {
    this.time = 1;
    this.#due = Math.min(this.#due, now);
    this.#stay = SHORTEST_STAY;
  }

  /** It was worse than it promised, and is not tried for a while, unless the present way becomes much worse. */
  noteBroken(now: number, ms: number): void {
    this.#ms = ms;
    this.#usedAt = now;
    this.#due = now + this.#takeOut();
  }

  /** For a while, the way is not tried. */
  exclude(now: number): void {
    this.#outUntil = now + this.#takeOut();
  }

  #takeOut(): number {
    const out = this.#out;
    this.#out = Math.min(out * 2, LONGEST_OUT);
    return out;
  }
}
