/**
 * Content or a listing that expires: when it was generated, who waits for the next one, and which one is new enough.
 *
 * With the rule "always", each caller gets a result whose generation began after the call. A caller that arrives during
 * a generation waits for the next one. Times and order are those of this thread.
 */
import type { ExpiryPolicy } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { Inode } from "../../tree/inode.ts";
import type { Attempt, AttemptHandler, Waiter } from "../waiting/attempt.ts";
import type { Waiters } from "../waiting/waiters.ts";
import { Failures } from "./backoff.ts";

let order = 0;

/** A moment in the order of generations: a generation that begins later has a greater moment. */
export function nextMoment(): number {
  return ++order;
}

export interface ContentSource {
  /** The inode that is regenerated. */
  inode(): Inode;
  /** Requests new content after `pause` milliseconds. */
  ask(ticket: number, pause: number): void;
  /** Stores the result. Throws FsError if it cannot be stored. */
  take: Pick<AttemptHandler, "onContent" | "onListing">;
  /** Called after a failure, before the waiters are notified. */
  onFailure(error: FsError): void;
}

interface RunningAttempt {
  readonly attempt: Attempt;
  readonly begun: number;
}

export class Freshness {
  readonly #waiters: Waiters;
  readonly #source: ContentSource;
  /** When the current result's generation began, as a `moment`; 0: never. */
  #begun = 0;
  #madeAt = Number.NEGATIVE_INFINITY;
  #running: RunningAttempt | undefined;
  #next: Attempt | undefined;
  readonly #failures = new Failures<Freshness>();

  constructor(waiters: Waiters, source: ContentSource) {
    this.#waiters = waiters;
    this.#source = source;
  }

  /** Whether the current content is new enough for a request made at that moment. */
  isFresh({ ms }: ExpiryPolicy, since: number): boolean {
    return this.#begun > since || (ms > 0 && performance.now() - this.#madeAt < ms);
  }

  get isMade(): boolean {
    return this.#begun > 0;
  }

  /** Whether a generation is running. */
  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Call this after the generated content was removed. */
  reset(): void {
    this.#begun = 0;
    this.#madeAt = Number.NEGATIVE_INFINITY;
  }

  /** Notes that the first generation, which runs elsewhere, has begun. */
  begin(): void {
    this.#begun = nextMoment();
  }

  end(): void {
    this.#madeAt = performance.now();
  }

  /** Forgets earlier failures: the next attempt begins without a pause. */
  forgive(): void {
    this.#failures.forgive(this);
  }

  /** Waits for a result whose generation began after this moment. Throws EDEADLK. */
  wait(given: Waiter, since: number, { ms }: ExpiryPolicy): void {
    const waiter = this.#waiters.admit(this.#running?.attempt.inode ?? this.#source.inode(), given);
    const isRecentEnough = ({ attempt, begun }: RunningAttempt) =>
      ms > 0 || begun > since || this.#waiters.isResumedBy(attempt, waiter.pid);
    const before = this.#waiters.reuse(this.#running?.attempt, waiter.pid);
    // An attempt that began before the request cannot answer it.
    if (
      before !== undefined &&
      this.#running !== undefined &&
      !isRecentEnough(this.#running) &&
      this.#waiters.isLeft(before)
    ) {
      this.#waiters.callOff(before);
    }
    if (this.#running === undefined) this.#start(this.#open());
    const running = this.#running;
    if (running === undefined) throw new Error("an attempt was started and is not running");
    if (isRecentEnough(running)) return this.#waiters.join(running.attempt, waiter);
    this.#next ??= this.#open();
    this.#waiters.join(this.#next, waiter);
  }

  /** Regenerates the content although nothing waits for it. */
  renew(): void {
    if (this.#running === undefined) this.#start(this.#open(true));
  }

  /** A user took the file over: the waiters get the current content. */
  abandon(): void {
    for (const attempt of [this.#running?.attempt, this.#next]) {
      if (attempt === undefined) continue;
      this.#waiters.cancel(attempt);
      this.#forget(attempt);
      this.#waiters.end(attempt, (waiter) => waiter.done());
    }
  }

  #open(standing = false): Attempt {
    const { onContent: content, onListing: listed } = this.#source.take;
    const handler: AttemptHandler = {
      ...(content && { onContent: (made) => this.#finish(attempt, () => content(made)) }),
      ...(listed && { onListing: (made) => this.#finish(attempt, () => listed(made)) }),
      onFailure: (error) => this.#fail(attempt, error),
      onCallOff: () => {
        this.#forget(attempt);
        this.#goOn();
      },
      // Another caller waits for the next generation, which cannot begin earlier.
      onLeft: () => {
        if (this.#running?.attempt === attempt && this.#next !== undefined) this.#waiters.callOff(attempt);
      },
    };
    const attempt: Attempt = this.#waiters.open(this.#source.inode(), handler, standing);
    return attempt;
  }

  #start(attempt: Attempt): void {
    this.#running = { attempt, begun: nextMoment() };
    this.#source.ask(attempt.ticket, this.#failures.pause(this));
  }

  #finish(attempt: Attempt, take: () => void): void {
    const begun = this.#running?.begun ?? 0;
    try {
      take();
    } catch (error) {
      return this.#fail(attempt, FsError.from(error));
    }
    this.#begun = begun;
    this.#madeAt = performance.now();
    this.#failures.forgive(this);
    this.#forget(attempt);
    this.#waiters.end(attempt, (waiter) => waiter.done());
    this.#goOn();
  }

  #fail(attempt: Attempt, error: FsError): void {
    this.#failures.add(this);
    this.#source.onFailure(error);
    this.#forget(attempt);
    this.#waiters.end(attempt, (waiter) => waiter.fail(error));
    this.#goOn();
  }

  #forget(attempt: Attempt): void {
    if (this.#running?.attempt === attempt) this.#running = undefined;
    if (this.#next === attempt) this.#next = undefined;
  }

  #goOn(): void {
    const next = this.#next;
    if (this.#running !== undefined || next === undefined) return;
    this.#next = undefined;
    this.#start(next);
  }
}
