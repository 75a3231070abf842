/** The longest pause before a failed source is asked again. The first retry has no pause; then it doubles. */
const LONGEST_PAUSE_MS = 5000;
const FIRST_PAUSE_MS = 250;

/** Counts consecutive failures. */
export class Failures<T extends object> {
  readonly #counts = new WeakMap<T, number>();

  add(one: T): void {
    this.#counts.set(one, (this.#counts.get(one) ?? 0) + 1);
  }

  /** Forgets the failures, after a success or if they should not count. */
  forgive(one: T): void {
    this.#counts.delete(one);
  }

  /** Returns the milliseconds to wait before the next try. */
  pause(one: T): number {
    const count = this.#counts.get(one) ?? 0;
    return count < 2 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (count - 2));
  }
}
