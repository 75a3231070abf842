/**
 * Long work on the main thread, done in slices.
 *
 * Timers, signals, the kernel's interrupts and `unmount` are handled by the same thread. Work whose time grows with a
 * text from outside must let them run in between.
 */

/** The maximum length of a slice. */
const SLICE_MS = 8;

export class Pace {
  readonly #signal: AbortSignal | undefined;
  #since = performance.now();

  /** With a signal, the work ends at the next pause after the signal is aborted. */
  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** Whether the slice is over. Check this before awaiting `pause`, which costs a turn of the microtask queue. */
  get due(): boolean {
    return performance.now() - this.#since >= SLICE_MS;
  }

  /** Lets everything else run. Rejects with the signal's reason. */
  async pause(): Promise<void> {
    this.#signal?.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
    this.#signal?.throwIfAborted();
    this.#since = performance.now();
  }
}
