/**
 * The clock of a mount. It returns the times with which the kernel stamps its own files.
 *
 * The kernel uses a coarse clock, which advances every few milliseconds, and an exact clock when two changes of a file
 * have to be distinguished. After an exact stamp no later stamp is earlier, on any filesystem ("multigrain timestamps",
 * Documentation/filesystems/multigrain-ts.rst, since Linux 6.13). Files that the kernel writes without us
 * (passthrough.ts) have such stamps, and so do the files outside the mount that programs compare ours with.
 *
 * clock_gettime(2) matches neither clock. With CLOCK_REALTIME, a file that was changed first can seem newer than one
 * that the kernel stamps a millisecond later, and CLOCK_REALTIME_COARSE ignores exact stamps. So the clock lets the
 * kernel stamp a file and returns that time: it is no earlier than any stamp before, and no later than any stamp that
 * follows.
 */
import * as libc from "../libc.ts";
import type { Moments } from "../tree/content/store-times.ts";
import type { Clock, Time } from "../tree/inode.ts";

/** A tick may end during a try, but not during two in a row: then the kernel has no exact stamps. */
const TRIES = 3;

export class Stamps implements Moments {
  /** The file that the kernel stamps. Undefined if it cannot be created. */
  readonly #file: number | undefined;
  readonly #stat: libc.FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };
  /** The time of the current request, once `#taken`. */
  readonly #time = { seconds: 0, nanoseconds: 0 };
  #taken = false;
  moment = 0;
  /** Whether the kernel supports exact stamps. */
  #exact = true;
  #other: Clock | undefined;

  constructor() {
    this.#file = openFile();
  }

  /** The time of the current request: the same for everything that it changes. */
  readonly clock: Clock = Object.assign(
    (): Time => {
      if (this.#other !== undefined) return this.#other();
      if (this.#file === undefined) return libc.now();
      if (!this.#taken) this.#take(this.#file);
      return this.#time;
    },
    { seconds: () => (this.#other ?? libc.now)().seconds },
  );

  /**
   * The first stamp in a tick is the time of the tick, or of another file. The second stamp is exact, because the first
   * one was read. The second try makes sure that a later change gets a later time, even within a tick.
   */
  #take(file: number): void {
    this.#taken = true;
    const { seconds, nanoseconds } = libc.now();
    for (let tries = this.#exact ? 0 : TRIES - 1; tries < TRIES; tries++) {
      libc.touch(file);
      libc.fstat(file, this.#stat);
      const { mtime, mtimeNsec } = this.#stat;
      if (mtime > seconds || (mtime === seconds && mtimeNsec >= nanoseconds)) return this.#setBefore(mtime, mtimeNsec);
    }
    this.#exact = false;
    this.#time.seconds = this.#stat.mtime;
    this.#time.nanoseconds = this.#stat.mtimeNsec;
  }

  /**
   * The stamp is later than all before it, so a nanosecond earlier is not too early. Then every stamp that follows is later
   * than ours, also one by the coarse clock, so that a program that looks at a file before and after the kernel writes to it
   * sees a difference.
   */
  #setBefore(seconds: number, nanoseconds: number): void {
    const borrows = nanoseconds === 0;
    this.#time.seconds = borrows ? seconds - 1 : seconds;
    this.#time.nanoseconds = borrows ? 999_999_999 : nanoseconds - 1;
  }

  /** Call this before handling each request or message. */
  advance(): void {
    this.#taken = false;
    this.moment++;
  }

  /** Runs work with another clock. */
  withClock<T>(clock: Clock, work: () => T): T {
    const before = this.#other;
    this.#other = clock;
    try {
      return work();
    } finally {
      this.#other = before;
    }
  }
}

function openFile(): number | undefined {
  try {
    return libc.memfd("llmfs-stamps");
  } catch (error) {
    if (error instanceof libc.SystemError) return undefined;
    throw error;
  }
}
