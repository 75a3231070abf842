/**
 * Making the kernel look a path up again.
 *
 * An open(2) that is answered with ESTALE walks the path once more, asking for every name and its attributes on the way
 * (fs/namei.c:do_filp_open(), LOOKUP_REVAL), and then opens what it finds. That is the only way to give a caller
 * another inode than the one it asked for, or to make the kernel accept a smaller size. The kernel does it only once,
 * so the second OPEN of the same open(2) must not be answered with ESTALE again.
 *
 * The second OPEN is recognized by its thread. A thread is in only one open(2) at a time, so its next OPEN either is
 * the second one, or shows that there will be none. Not every caller in the kernel retries (nfsd does not).
 */
import { FsError } from "../../errno.ts";
import { ByThread, NOBODY } from "../waiting/by-thread.ts";

/** The walk takes as long as a generator that lists a directory on the path. */
const PATIENCE_MS = 30_000;
/** Without a generator on the path, a thread is back within microseconds, or never. */
const USUAL_MS = 1000;
/** Maximum number of threads that are expected back at a time. */
const MOST = 1024;

/** The thread that sends an OPEN. */
export interface Opener {
  readonly pid: number;
  /**
   * Whether this OPEN is the second one of an open(2) whose first one was answered with ESTALE because of this subject.
   */
  comesBackFor(subject: object): boolean;
  /** Whether it may be answered with ESTALE because of this subject: as far as known, it is not a second OPEN. */
  mayLookAgain(subject: object): boolean;
}

/** Threads that are expected back, by number; those without a number are only counted. */
type Expected = Map<number, { count: number; at: number }>;

export class Revalidation {
  /**
   * The subject for which each thread got ESTALE. Weak references, so that a thread that never comes back keeps nothing
   * alive.
   */
  readonly #sent = new ByThread<WeakRef<object>>({ milliseconds: PATIENCE_MS, notes: MOST });
  readonly #expected = new WeakMap<object, Expected>();

  /** Call this with every OPEN. It completes whatever its thread was expected back for. */
  identifyOpener(pid: number): Opener {
    const sent = this.#sent.get(pid);
    const subject = sent?.deref();
    this.#sent.delete(pid);
    if (subject !== undefined) this.#arrive(subject, pid);
    if (pid !== NOBODY) {
      return { pid, comesBackFor: (other) => other === subject, mayLookAgain: () => sent === undefined };
    }
    // Two threads without a number that open the same file at the same time are confused. At worst one sees the ESTALE.
    const counted = new Map<object, boolean>();
    const comesBackFor = (other: object) => {
      const arrived = counted.get(other) ?? this.#arrive(other, NOBODY);
      counted.set(other, arrived);
      return arrived;
    };
    return { pid, comesBackFor, mayLookAgain: (other) => !comesBackFor(other) };
  }

  /**
   * The error for a thread's first OPEN, or for another request of a system call that it restarts. Precondition:
   * mayLookAgain.
   */
  lookAgain({ pid }: Pick<Opener, "pid">, subject: object, why: string): FsError {
    if (pid !== NOBODY) this.#sent.set(pid, new WeakRef(subject));
    const now = performance.now();
    const expected: Expected = this.#expected.get(subject) ?? new Map();
    for (const [other, { at }] of expected) if (now - at >= PATIENCE_MS) expected.delete(other);
    const before = expected.get(pid)?.count ?? 0;
    expected.set(pid, { count: pid === NOBODY ? before + 1 : 1, at: now });
    this.#expected.set(subject, expected);
    return new FsError("ESTALE", why);
  }

  /** Whether a thread may come back at any moment to open this subject. */
  expects(subject: object): boolean {
    const expected = this.#expected.get(subject);
    return expected?.values().some(({ at }) => performance.now() - at < USUAL_MS) ?? false;
  }

  /** The number of threads that are expected back, without those that have no number. */
  get size(): number {
    return this.#sent.size;
  }

  #arrive(subject: object, pid: number): boolean {
    const expected = this.#expected.get(subject);
    const one = expected?.get(pid);
    if (expected === undefined || one === undefined) return false;
    if (--one.count === 0) expected.delete(pid);
    if (expected.size === 0) this.#expected.delete(subject);
    return performance.now() - one.at < PATIENCE_MS;
  }
}
