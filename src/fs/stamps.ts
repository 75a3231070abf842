/**
 * The clock of a mount: the times that the kernel stamps its own files with.
 *
 * The kernel stamps by a coarse clock, which moves a few milliseconds at a time, and where two changes of a file have to
 * be told apart by an exact one; after an exact stamp no other stamp is earlier, on any filesystem ("multigrain
 * timestamps", Documentation/filesystems/multigrain-ts.rst, since Linux 6.13). Files that the kernel writes without us
 * (passthrough.ts) bear such stamps, and so do the files beside the mount that programs compare ours with.
 * clock_gettime(2) tells neither clock right: by CLOCK_REALTIME a file that was changed first seems newer than one that
 * the kernel stamps a millisecond later, and CLOCK_REALTIME_COARSE does not know of exact stamps. So the kernel is made
 * to stamp a file, and that time is ours: no earlier than any stamp before, and no later than any that follows.
 */
import * as libc from "../libc.ts";
import type { Clock } from "../tree/inode.ts";

export class Stamps {
  /** Whose times are set. Undefined where there can be no such file. */
  readonly #file: number | undefined;
  readonly #stat: libc.FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };
  #taken = false;
  #other: Clock | undefined;

  constructor() {
    this.#file = openFile();
  }

  /** The time of the request that is being answered: the same for all that it changes. */
  readonly clock: Clock = Object.assign(
    <T>(take: (seconds: number, nanoseconds: number) => T): T => {
      if (this.#other !== undefined) return this.#other(take);
      if (this.#file === undefined) return libc.now(take);
      if (!this.#taken) {
        libc.touch(this.#file);
        libc.fstat(this.#file, this.#stat);
        this.#taken = true;
      }
      return take(this.#stat.mtime, this.#stat.mtimeNsec);
    },
    { seconds: () => (this.#other ?? libc.now)((seconds) => seconds) },
  );

  /** Another request or message is about to be taken. */
  advance(): void {
    this.#taken = false;
  }

  /** Does some work whose changes bear another clock's time. */
  during<T>(clock: Clock, work: () => T): T {
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
