/**
 * Notes about callers, kept from one request of a thread to its next.
 *
 * All that a request says about its caller is a thread number. The thread may end without sending another request, and
 * its number may be reused. So a note expires, is compared with the time at which the thread was started, and is
 * dropped if there are too many newer ones.
 */
import { startTimeOf } from "../../procfs.ts";

interface Note<T> {
  readonly value: T;
  readonly until: number;
  /** Undefined if /proc does not show the thread. */
  readonly started: string | undefined;
}

export interface Limits {
  readonly milliseconds: number;
  readonly notes: number;
}

/**
 * The thread number in requests from another process namespace that ours does not contain: all such threads have it.
 */
export const NOBODY = 0;

export class ByThread<T> {
  readonly #limits: Limits;
  /** Oldest first. As all notes last equally long, the expired ones come first. */
  readonly #notes = new Map<number, Note<T>>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#notes.size;
  }

  /** Replaces the thread's note. Precondition: the thread is not NOBODY. */
  set(thread: number, value: T): void {
    this.#notes.delete(thread);
    this.#makeRoom();
    const until = performance.now() + this.#limits.milliseconds;
    this.#notes.set(thread, { value, until, started: startTimeOf(thread) });
  }

  /** Returns the thread's note if it is still valid. */
  get(thread: number): T | undefined {
    const note = this.#notes.get(thread);
    if (note === undefined) return undefined;
    if (performance.now() < note.until && (note.started === undefined || note.started === startTimeOf(thread))) {
      return note.value;
    }
    this.#notes.delete(thread);
    return undefined;
  }

  delete(thread: number): void {
    this.#notes.delete(thread);
  }

  #makeRoom(): void {
    const now = performance.now();
    for (const [thread, { until }] of this.#notes) {
      if (now < until && this.#notes.size < this.#limits.notes) return;
      this.#notes.delete(thread);
    }
  }
}
