/**
 * Notes about callers, kept from one request of a thread to another.
 *
 * All that a request says of its caller is the number of a thread. The thread may end without coming back, and its
 * number may be given to another thread. So a note expires, it is compared with the time at which the thread was
 * started, and when there are too many, the oldest gives way.
 */
import { startTimeOf } from "../../procfs.ts";

interface Note<T> {
  readonly value: T;
  readonly until: number;
  /** Undefined where /proc does not show the thread. */
  readonly started: string | undefined;
}

export interface Limits {
  readonly milliseconds: number;
  readonly notes: number;
}

/** The number of a thread of a process namespace that ours does not contain: all such threads have this one. */
export const NOBODY = 0;

export class ByThread<T> {
  readonly #limits: Limits;
  /** Oldest first; as all last equally long, those that have expired are in front. */
  readonly #notes = new Map<number, Note<T>>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#notes.size;
  }

  /** In the place of the note that the thread has. Precondition: it is not NOBODY. */
  set(thread: number, value: T): void {
    this.#notes.delete(thread);
    this.#makeRoom();
    const until = performance.now() + this.#limits.milliseconds;
    this.#notes.set(thread, { value, until, started: startTimeOf(thread) });
  }

  /** The note of this thread, if it still holds. */
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
