/** Calls back once something has not been used for a while, so that it can be ended until it is needed again. */
export class IdleTimer {
  readonly #ms: number;
  readonly #idle: () => void;
  #uses = 0;
  #timer: Timer | undefined;

  /** Begins to wait at once. */
  constructor(ms: number, idle: () => void) {
    this.#ms = ms;
    this.#idle = idle;
    this.#wait();
  }

  /** It is being used, until `end` was called as often as this. */
  begin(): void {
    this.#uses += 1;
    clearTimeout(this.#timer);
  }

  end(): void {
    this.#uses -= 1;
    this.#wait();
  }

  /** It is gone, and so is the reason to call back. */
  stop(): void {
    this.#uses = Number.POSITIVE_INFINITY;
    clearTimeout(this.#timer);
  }

  #wait(): void {
    // A process that is at its end does not stay for this.
    if (this.#uses === 0) this.#timer = setTimeout(this.#idle, this.#ms).unref();
  }
}
