/**
 * Threads that were answered ESTALE so that the kernel walks their path again (fs/namei.c:filename_lookup(),
 * do_filp_open()). It does so once: the request that comes back must be answered, whatever has happened in between.
 */

interface Told<S> {
  readonly subject: S;
  readonly at: number;
}

export class OneRetry<S> {
  readonly #ms: number;
  readonly #told = new Map<number, Told<S>>();

  /** `ms`: how long a thread may take to come back. Not every caller in the kernel does. */
  constructor(ms = 1000) {
    this.#ms = ms;
  }

  /** True: answer ESTALE. False: this thread comes back from the same answer, or could not be recognised if it did. */
  demand(pid: number, subject: S): boolean {
    if (this.owed(pid, subject)) return false;
    // A thread of another process namespace has no number that it could be known by.
    if (pid === 0) return false;
    for (const [other, told] of this.#told) if (!this.#fresh(told)) this.#told.delete(other);
    this.#told.set(pid, { subject, at: performance.now() });
    return true;
  }

  /** Whether this thread comes back from an ESTALE about the subject. Whatever it comes for, the mark is gone. */
  owed(pid: number, subject: S): boolean {
    const told = this.#told.get(pid);
    if (told === undefined) return false;
    this.#told.delete(pid);
    return told.subject === subject && this.#fresh(told);
  }

  #fresh({ at }: Told<S>): boolean {
    return performance.now() - at < this.#ms;
  }
}
