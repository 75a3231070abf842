/** Calls back after something has been unused for a while, so that it can be ended until it is needed again. */
export class IdleTimer {
  readonly #ms: number;
  readonly #idle: () => void;
  #uses = 0;
  #timer: Timer | undefined;

  /** Starts the timer immediately. */
  constructor(ms: number, idle: () => void) {
    this.#ms = ms;
    this.#idle = idle;
    this.#wait();
  }

  /** Marks it as used until the matching call of `end`. */
  begin(): void {
    this.#uses += 1;
    clearTimeout(this.#timer);
  }

  end(): void {
    this.#uses -= 1;
    this.#wait();
  }

  /** Stops the timer for good. */
  stop(): void {
    this.#uses = Number.POSITIVE_INFINITY;
    clearTimeout(this.#timer);
  }

  #wait(): void {
    // This timer must not keep the process alive.
    if (this.#uses === 0) this.#timer = setTimeout(this.#idle, this.#ms).unref();
  }
}
