/** The pause before a failed source is asked again: none at first, then doubling up to this. */
const LONGEST_PAUSE_MS = 5000;
const FIRST_PAUSE_MS = 250;

/** How often each of these failed in a row. */
export class Failures<T extends object> {
  readonly #counts = new WeakMap<T, number>();

  add(one: T): void {
    this.#counts.set(one, (this.#counts.get(one) ?? 0) + 1);
  }

  /** It worked, or is not to be held against it. */
  forgive(one: T): void {
    this.#counts.delete(one);
  }

  /** Milliseconds to wait before the next try. */
  pause(one: T): number {
    const count = this.#counts.get(one) ?? 0;
    return count < 2 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (count - 2));
  }
}
