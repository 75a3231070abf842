/**
 * What is made anew when its time has passed: when it was last made, who waits for the next one, and which is enough.
 *
 * Everybody gets what was begun after they asked, if the rule says "always": who comes while one is being made waits
 * for the next. Time and order are those of this thread.
 */
import { FsError } from "../../errno.ts";
import type { Inode } from "../../tree/inode.ts";
import type { Attempt, Attempts, Outcome, Waiter } from "../waiting/waiters.ts";
import { Failures } from "./backoff.ts";

export interface Policy {
  /** Milliseconds; 0: no time at all. */
  readonly ms: number;
  /** The old one is served while a new one is made. */
  readonly stale: boolean;
}

/** "always", "300s", "300s stale"; undefined for anything else, "once" among it. */
export function parsePolicy(text: string): Policy | undefined {
  if (text === "always") return { ms: 0, stale: false };
  const [, seconds, stale] = /^(\d+(?:\.\d+)?)s( stale)?$/.exec(text) ?? [];
  return seconds === undefined ? undefined : { ms: Number(seconds) * 1000, stale: stale !== undefined };
}

let order = 0;

/** A moment in the order of beginnings: what begins later has a greater one. */
export function moment(): number {
  return ++order;
}

export interface Maker {
  /** What is made anew at this time. */
  inode(): Inode;
  /** Asks for it, after so many milliseconds. */
  ask(ticket: number, pause: number): void;
  /** Takes what came. Throws FsError if it cannot be kept. */
  take: Pick<Outcome, "content" | "listed">;
  /** It could not be made. Called before those who wait are told. */
  failed?(error: FsError): void;
}

interface Running {
  readonly attempt: Attempt;
  readonly begun: number;
}

export class Renewal {
  readonly #attempts: Attempts;
  readonly #maker: Maker;
  /** When what is there was begun, as `moment`; 0: never. */
  #begun = 0;
  #madeAt = Number.NEGATIVE_INFINITY;
  #error: FsError | undefined;
  #running: Running | undefined;
  #next: Attempt | undefined;
  readonly #failures = new Failures<Renewal>();

  constructor(attempts: Attempts, maker: Maker) {
    this.#attempts = attempts;
    this.#maker = maker;
  }

  /** Whether what is there is good enough for who asked at that moment. */
  fresh({ ms }: Policy, since: number): boolean {
    return this.#begun > since || (ms > 0 && performance.now() - this.#madeAt < ms);
  }

  /** Why the last attempt failed; until one does not. */
  get error(): FsError | undefined {
    return this.#error;
  }

  get made(): boolean {
    return this.#begun > 0;
  }

  /** Whether it is being made right now. */
  get running(): boolean {
    return this.#running !== undefined;
  }

  /** What was made is not there any more. */
  reset(): void {
    this.#begun = 0;
    this.#madeAt = Number.NEGATIVE_INFINITY;
  }

  /** It is being made in another way: for the first time. */
  begins(): void {
    this.#begun = moment();
  }

  ends(): void {
    this.#madeAt = performance.now();
  }

  /** Waits for one that was begun after this moment. Throws EDEADLK. */
  wait(given: Waiter, since: number, { ms }: Policy): void {
    const waiter = this.#attempts.checked(this.#running?.attempt.inode ?? this.#maker.inode(), given);
    const enough = ({ attempt, begun }: Running) =>
      ms > 0 || begun > since || this.#attempts.isResumedBy(attempt, waiter.pid);
    const before = this.#attempts.current(this.#running?.attempt, waiter.pid);
    // What was begun too early is of no use to anybody.
    if (
      before !== undefined &&
      this.#running !== undefined &&
      !enough(this.#running) &&
      this.#attempts.isLeft(before)
    ) {
      this.#attempts.callOff(before);
    }
    if (this.#running === undefined) this.#start(this.#open());
    const running = this.#running;
    if (running === undefined) throw new Error("an attempt was started and is not running");
    if (enough(running)) return this.#attempts.join(running.attempt, waiter);
    this.#next ??= this.#open();
    this.#attempts.join(this.#next, waiter);
  }

  /** Makes it anew though nobody waits. */
  renew(): void {
    if (this.#running === undefined) this.#start(this.#open(true));
  }

  /** Somebody made it theirs: who waits gets what is there. */
  abandon(): void {
    for (const attempt of [this.#running?.attempt, this.#next]) {
      if (attempt === undefined) continue;
      this.#attempts.cancel(attempt);
      this.#forget(attempt);
      this.#attempts.end(attempt, (waiter) => waiter.done());
    }
  }

  #open(standing = false): Attempt {
    const { content, listed } = this.#maker.take;
    const outcome: Outcome = {
      ...(content && { content: (made) => this.#finish(attempt, () => content(made)) }),
      ...(listed && { listed: (made) => this.#finish(attempt, () => listed(made)) }),
      failed: (error) => this.#fail(attempt, error),
      calledOff: () => {
        this.#forget(attempt);
        this.#goOn();
      },
      // Somebody else waits for the next one, which cannot begin before.
      left: () => {
        if (this.#running?.attempt === attempt && this.#next !== undefined) this.#attempts.callOff(attempt);
      },
    };
    const attempt: Attempt = this.#attempts.open(this.#maker.inode(), outcome, standing);
    return attempt;
  }

  #start(attempt: Attempt): void {
    this.#running = { attempt, begun: moment() };
    this.#maker.ask(attempt.ticket, this.#failures.pause(this));
  }

  #finish(attempt: Attempt, take: () => void): void {
    const begun = this.#running?.begun ?? 0;
    try {
      take();
    } catch (error) {
      return this.#fail(
        attempt,
        error instanceof FsError ? error : new FsError("EIO", String(error), { cause: error }),
      );
    }
    this.#begun = begun;
    this.#madeAt = performance.now();
    this.#error = undefined;
    this.#failures.forgive(this);
    this.#forget(attempt);
    this.#attempts.end(attempt, (waiter) => waiter.done());
    this.#goOn();
  }

  #fail(attempt: Attempt, error: FsError): void {
    this.#failures.add(this);
    this.#error = error;
    this.#maker.failed?.(error);
    this.#forget(attempt);
    this.#attempts.end(attempt, (waiter) => waiter.fail(error));
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
