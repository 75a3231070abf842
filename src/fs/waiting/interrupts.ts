/**
 * Signals that reach a program while it waits for us.
 *
 * For any signal the kernel sends one INTERRUPT, even for signals that a program never notices on other filesystems:
 * stop and continue, a timer, a resized terminal, a child that ended. It also sends one for things that are not
 * signals, such as a debugger or the freezer of a container. It does not say which. If the wait ended with EINTR for
 * all of them, most programs would fail.
 *
 * So the caller's signals are looked up in /proc, and the wait ends only if one of them
 * - ends the program: SIGKILL, or a signal without a handler whose default action is to terminate;
 * - is one of SIGHUP, SIGINT, SIGQUIT, SIGABRT and SIGTERM, with which people and supervisors end or interrupt
 *   programs, and has a handler. The program has to run its handler, and usually expects EINTR.
 * Handlers of all other signals run when the wait is over, as they do when a program waits for a disk. That includes
 * SIGALRM: whether a timer ticks or limits the time of a read cannot be seen from outside.
 *
 * The kernel sends no second INTERRUPT. After the first it no longer wakes the caller for any signal, not even for
 * SIGKILL, until the request is answered (fs/fuse/dev.c:request_wait_answer). So a caller whose wait continues is
 * checked again from time to time.
 *
 * A caller that /proc does not show (see procfs.ts) gets EINTR at once: otherwise nothing could end its wait.
 */
import type { ThreadSignals } from "../../procfs.ts";
import type { Timers } from "./timers.ts";

const [SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGTERM] = [1, 2, 3, 6, 15];
const [SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH] = [17, 18, 19, 20, 21, 22, 23, 28];

/** By handling one of these signals, a program asks to be interrupted. */
const INTERRUPTING = setOf(SIGHUP, SIGINT, SIGQUIT, SIGABRT, SIGTERM);
/** Without a handler these stop the program, continue it, or do nothing: signal(7). All others terminate it. */
const HARMLESS = setOf(SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH);

/** A person who presses Ctrl-C does not notice this delay. */
const LOOK_MS = 50;
/** One check takes 30 to 60 µs; if many callers wait, they are checked in turns. */
const LOOK_AT_MOST_MS = 2;

export interface InterruptsOptions {
  /** Whether a request still waits for its answer. */
  readonly isWaiting: (unique: number) => boolean;
  /** Ends the wait with EINTR. False if nobody waits. */
  readonly end: (unique: number) => boolean;
  readonly signals: (thread: number) => ThreadSignals | undefined;
  readonly timers: Timers;
}

export class Interrupts {
  readonly #options: InterruptsOptions;
  /**
   * Requests whose wait continues although the kernel reported a signal, with their callers. The next one to check
   * comes first.
   */
  readonly #watched = new Map<number, number>();
  #watching = false;

  constructor(options: InterruptsOptions) {
    this.#options = options;
  }

  /** Handles a signal to the thread that waits for this request. Returns false if the request does not wait here. */
  handleInterrupt(unique: number, thread: number): boolean {
    const { end, isWaiting } = this.#options;
    if (this.#endsWait(thread)) return end(unique);
    if (!isWaiting(unique)) return false;
    this.#watched.set(unique, thread);
    this.#watch();
    return true;
  }

  #watch(): void {
    if (this.#watching || this.#watched.size === 0) return;
    this.#watching = true;
    this.#options.timers.schedule(LOOK_MS, () => {
      this.#watching = false;
      this.#look();
      this.#watch();
    });
  }

  #look(): void {
    const { end, isWaiting, timers } = this.#options;
    const until = timers.now + LOOK_AT_MOST_MS;
    let left = this.#watched.size;
    for (const [unique, thread] of this.#watched) {
      if (left-- === 0) return;
      this.#watched.delete(unique);
      if (!isWaiting(unique)) continue;
      if (this.#endsWait(thread)) end(unique);
      else this.#watched.set(unique, thread);
      if (timers.now > until) return;
    }
  }

  #endsWait(thread: number): boolean {
    const signals = this.#options.signals(thread);
    return signals === undefined || endsWait(signals);
  }
}

/** Whether a thread with these signals has to return from its wait. */
export function endsWait({ pending, caught }: ThreadSignals): boolean {
  const handled = pending & caught;
  return (handled & INTERRUPTING) !== 0n || (pending & ~caught & ~HARMLESS) !== 0n;
}

function setOf(...signals: readonly number[]): bigint {
  return signals.reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n);
}
