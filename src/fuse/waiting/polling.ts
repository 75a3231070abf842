/**
 * Polls for the next request for a short while before the filesystem thread sleeps, where that is the fastest way: see
 * placement.ts.
 *
 * The time adapts: it grows when a request came soon after the thread slept, and shrinks to zero when none came, so that an
 * idle mount uses no processor time. Between two polls the thread yields the processor, so that a program that shares it,
 * usually the one that waits for our answer, runs first.
 */
import { ERRNO } from "../../errno.ts";
import * as libc from "../../libc.ts";
import type { Placement } from "./placement.ts";

const LONGEST_MS = 0.1;
const SHORTEST_MS = 0.004;
/** To save power, the thread polls no longer than this, relative to the time of a request in the last stretch. */
const MOST_REQUESTS = 4;
/** If polling ends this much late and without a request, another program ran in the meantime, and not the caller. */
const SLIP_MS = 0.1;

export class Polling {
  readonly #placement: Placement;
  #ms = 0;

  constructor(placement: Placement) {
    this.#placement = placement;
  }

  /** Whether the thread polls before it sleeps. */
  get isDue(): boolean {
    return this.#ms > 0 && this.#placement.polls;
  }

  /** Calls `read` until a request comes or the time is over. Returns what the last call returned. */
  poll(read: () => number): number {
    const until = performance.now() + this.#ms;
    let length: number;
    do {
      libc.yieldProcessor();
      length = read();
    } while (length === -ERRNO.EAGAIN && performance.now() < until);
    const { savesPower } = this.#placement;
    if (length > 0) {
      if (!savesPower) this.#ms = LONGEST_MS;
      return length;
    }
    if (performance.now() - until > SLIP_MS) this.#placement.noteInterruption();
    this.#ms = savesPower || this.#ms / 2 < SHORTEST_MS ? 0 : this.#ms / 2;
    this.#placement.noteMiss();
    return length;
  }

  /** Notes the end of a stretch of requests, and the milliseconds that it took. */
  noteStretch(ms: number, requests: number): void {
    this.#ms = this.#placement.savesPower ? Math.min(LONGEST_MS, (MOST_REQUESTS * ms) / requests) : LONGEST_MS;
  }

  /** Notes that a request woke the thread, and for how many milliseconds it had slept. */
  noteSleep(ms: number): void {
    if (!this.#placement.savesPower && ms < LONGEST_MS * 2) this.#ms = LONGEST_MS;
  }
}
