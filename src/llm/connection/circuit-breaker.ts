import { createUnreachedFailure, type Failure, type Party } from "../failure.ts";

/** How long requests fail at once after a server could not be reached, before it is looked for again. */
export const PAUSE_MS = 2000;

/**
 * Lets requests fail at once while their server cannot be reached, so that reading many files does not wait for each of
 * them as long as for the first.
 *
 * It opens when a request has used up its attempts without reaching the server: a server that is just starting gets as
 * much time as without it. Afterwards the first request of each pause looks whether the server is there, and the other
 * requests wait for what it finds. Anything that a server answers closes it: what to do then is up to the request.
 */
export class CircuitBreaker {
  readonly #isReachable: () => Promise<boolean>;
  readonly #pauseMs: number;
  /** Why no connection could be opened; undefined: requests are sent. */
  #reason: string | undefined;
  #nextLookAt = 0;
  #looking: Promise<void> | undefined;

  /** `isReachable` looks for the server. It never rejects. */
  constructor(isReachable: () => Promise<boolean>, pauseMs = PAUSE_MS) {
    this.#isReachable = isReachable;
    this.#pauseMs = pauseMs;
  }

  /** Call this before a request is sent. Returns the failure of the request if it must not be sent. */
  async check(party: Party): Promise<Failure | undefined> {
    if (this.#reason !== undefined && performance.now() >= this.#nextLookAt) await this.#look();
    return this.#reason === undefined ? undefined : createUnreachedFailure(this.#reason, party);
  }

  /** Call this when a request has failed for the last time. Any other failure shows that the server is there. */
  onFailure({ unreached }: Failure): void {
    this.#reason = unreached;
    this.#nextLookAt = performance.now() + this.#pauseMs;
  }

  /** Call this when a request was answered. */
  onAnswer(): void {
    this.#reason = undefined;
  }

  #look(): Promise<void> {
    this.#looking ??= this.#isReachable().then((reachable) => {
      if (reachable) this.#reason = undefined;
      this.#nextLookAt = performance.now() + this.#pauseMs;
      this.#looking = undefined;
    });
    return this.#looking;
  }
}
