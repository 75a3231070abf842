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

/** A thread that has the same name as before is taken for the same program for so long. */
const SAME_MS = 1000;
const MOST_PROGRAMS = 256;

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

interface KnownCaller {
  readonly name: string | undefined;
  readonly program: Program | undefined;
  /** No look at /proc is needed until then. */
  fresh: number;
  readonly until: number;
}

/**
 * The programs of threads. To read one from /proc takes four system calls and more, and generation asks for it once a file; so
 * of a known thread only the name is read again.
 */
export class KnownPrograms {
  readonly #source: ProgramSource;
  readonly #known = new Map<number, KnownCaller>();

  readonly #clock: () => number;

  /** `clock`: milliseconds of a clock that never goes back. */
  constructor(source: ProgramSource = PROC, clock = () => performance.now()) {
    this.#source = source;
    this.#clock = clock;
  }

  /** The program of a thread that has sent a request. */
  get(thread: number): Program | undefined {
    const now = this.#clock();
    const known = this.#known.get(thread);
    if (known === undefined || now >= known.until) return this.#read(thread, now);
    if (now < known.fresh) return known.program;
    if (this.#source.name(thread) !== known.name) return this.#read(thread, now);
    known.fresh = now + KEPT_MS;
    return known.program;
  }

  /** The program of a process that has started others. It may have been replaced by another one within the last second. */
  getAncestor(pid: number): Program | undefined {
    const now = this.#clock();
    const known = this.#known.get(pid);
    return known !== undefined && now < known.until ? known.program : this.#read(pid, now);
  }

  #read(thread: number, now: number): Program | undefined {
    if (this.#known.size >= MOST_PROGRAMS) this.#known.clear();
    const program = this.#source.program(thread);
    const name = program?.pid === thread ? program.name : this.#source.name(thread);
    this.#known.set(thread, { name, program, fresh: now + KEPT_MS, until: now + SAME_MS });
    return program;
  }
}
