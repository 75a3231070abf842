/**
 * The clock of a mount: the times that the kernel stamps its own files with.
 *
 * The kernel stamps by a coarse clock, which moves a few milliseconds at a time, and by an exact clock where two changes of a file have to
 * be distinguished; after an exact stamp no other stamp is earlier, on any filesystem ("multigrain
 * timestamps", Documentation/filesystems/multigrain-ts.rst, since Linux 6.13). Files that the kernel writes without us
 * (passthrough.ts) bear such stamps, and so do the files beside the mount that programs compare ours with.
 * clock_gettime(2) matches neither clock: by CLOCK_REALTIME a file that was changed first seems newer than one that
 * the kernel stamps a millisecond later, and CLOCK_REALTIME_COARSE does not know of exact stamps. So the kernel is made
 * to stamp a file, and that time is ours: no earlier than any stamp before, and no later than any that follows.
 */
import * as libc from "../libc.ts";
import type { Clock } from "../tree/inode.ts";

/** A tick may end in between, but not twice: then the kernel has no exact stamps. */
const TRIES = 3;

export class Stamps {
  /** Whose times are set. Undefined where there can be no such file. */
  readonly #file: number | undefined;
  readonly #stat: libc.FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };
  #taken = false;
  /** Whether the kernel knows exact stamps. */
  #exact = true;
  #other: Clock | undefined;

  constructor() {
    this.#file = openFile();
  }

  /** The time of the request that is being answered: the same for all that it changes. */
  readonly clock: Clock = Object.assign(
    <T>(take: (seconds: number, nanoseconds: number) => T): T => {
      if (this.#other !== undefined) return this.#other(take);
      if (this.#file === undefined) return libc.now(take);
      if (!this.#taken) this.#take(this.#file);
      return take(this.#stat.mtime, this.#stat.mtimeNsec);
    },
    { seconds: () => (this.#other ?? libc.now)((seconds) => seconds) },
  );

  /**
   * The first stamp in a tick is that of the tick, or of another file. The next one is exact, as the first was looked at.
   * That is worth a second try: what is done later has a later time then, within a tick as well.
   */
  #take(file: number): void {
    this.#taken = true;
    libc.now((seconds, nanoseconds) => {
      for (let tries = this.#exact ? 0 : TRIES - 1; tries < TRIES; tries++) {
        libc.touch(file);
        libc.fstat(file, this.#stat);
        const { mtime, mtimeNsec } = this.#stat;
        if (mtime > seconds || (mtime === seconds && mtimeNsec >= nanoseconds)) return;
      }
      this.#exact = false;
    });
  }

  /** Call this before handling each request or message. */
  advance(): void {
    this.#taken = false;
  }

  /** Runs work whose changes get another clock's time. */
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
