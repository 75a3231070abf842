/**
 * Long work on the main thread, done in slices.
 *
 * Timers, signals, the kernel's interrupts and `unmount` are served by the same thread: work whose time grows with a
 * text from outside must let them run in between.
 */

/** How long one slice may take. */
const SLICE_MS = 8;

export class Pace {
  readonly #signal: AbortSignal | undefined;
  #since = performance.now();

  /** Work that nobody waits for any longer is given up at the next pause. */
  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** Whether a slice is over. Ask this before awaiting `pause`, which costs a turn of the microtask queue. */
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
