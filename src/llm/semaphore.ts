/**
 * Limits how much of something happens in parallel, such as generations.
 *
 * Work that waits for other work of the same kind releases its slot while it waits: a generation that reads another file,
 * for example. So a chain of files that read each other completes even with a limit of one.
 */
export class Semaphore {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(limit: number) {
    if (!Number.isInteger(limit) || limit < 1) throw new Error(`invalid limit ${limit}: expected a positive integer`);
    this.#free = limit;
  }

  /** Whether the next caller must wait. */
  get full(): boolean {
    return this.#free === 0;
  }

  /**
   * Waits for a slot. Slots are given in the order of calls. Rejects with the signal's reason if that fires first.
   */
  async take(signal?: AbortSignal): Promise<Slot> {
    await this.#acquire(signal);
    return new Slot(
      () => this.#release(),
      () => this.#acquire(signal),
    );
  }

  #acquire(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (this.#free > 0) {
        this.#free -= 1;
        return resolve();
      }
      if (signal === undefined) return void this.#waiting.push(resolve);
      const next = () => {
        signal.removeEventListener("abort", giveUp);
        resolve();
      };
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(next), 1);
        reject(signal.reason);
      };
      signal.addEventListener("abort", giveUp, { once: true });
      this.#waiting.push(next);
    });
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

/** The right to do one piece of work. Disposing it twice is harmless. */
export class Slot implements Disposable {
  readonly #release: () => void;
  readonly #acquire: () => Promise<void>;
  #held = true;
  #pauses = 0;
  #ended = false;
  #returning: Promise<void> | undefined;

  constructor(release: () => void, acquire: () => Promise<void>) {
    this.#release = release;
    this.#acquire = acquire;
  }

  /** Releases the slot while the work runs. Several works may run at once; the slot is taken again after the last one. */
  async without<T>(work: () => Promise<T>): Promise<T> {
    this.#pauses += 1;
    this.#give();
    try {
      return await work();
    } finally {
      this.#pauses -= 1;
      if (this.#pauses === 0 && !this.#ended) await this.#take();
    }
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#give();
  }

  #give(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#release();
  }

  async #take(): Promise<void> {
    this.#returning ??= this.#acquire()
      .then(() => {
        this.#held = true;
        // The slot is no longer needed if the work ended, or paused again, in the meantime.
        if (this.#ended || this.#pauses > 0) this.#give();
      })
      .finally(() => {
        this.#returning = undefined;
      });
    await this.#returning;
  }
}
