/**
 * Which program sent a request, as /proc shows it.
 *
 * A request names a thread, and a thread may run another program with its next instruction (execve). So nothing is kept
 * for longer than it takes to start a program.
 */
import { type Program, readCommandName, readProgram } from "../../procfs.ts";

/** Shorter than the time from an execve(2) to the first request of the new program. */
const KEPT_MS = 0.5;
/** Programs that send requests at the same time. */
const MOST = 16;

/** Where programs are looked up. */
export interface ProgramSource {
  /** The name of a thread: proc_pid_comm(5). Undefined if it is not visible. */
  readonly name: (thread: number) => string | undefined;
  readonly program: (thread: number) => Program | undefined;
}

export const PROC: ProgramSource = { name: readCommandName, program: readProgram };

/** A value that depends on a thread's program, read from /proc at most every KEPT_MS. */
export class ByProgram<T> {
  readonly #read: (thread: number) => T;
  readonly #known = new Map<number, { readonly value: T; readonly until: number }>();

  constructor(read: (thread: number) => T) {
    this.#read = read;
  }

  get(thread: number): T {
    const now = performance.now();
    const known = this.#known.get(thread);
    if (known !== undefined && now < known.until) return known.value;
    if (this.#known.size >= MOST) this.#known.clear();
    const value = this.#read(thread);
    this.#known.set(thread, { value, until: now + KEPT_MS });
    return value;
  }
}
