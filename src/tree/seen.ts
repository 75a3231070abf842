/** The times of a store, as far as they are known, while the kernel reads and writes there without telling us. */
import { type FileStat, now, tick } from "../libc.ts";

export class SeenTimes {
  #atime = 0;
  #atimeNsec = 0;
  #mtime = 0;
  #mtimeNsec = 0;

  /** Knows them from here on. */
  take(stat: FileStat): void {
    this.written(stat);
    this.read(stat);
  }

  /** Whether the store was written since this was last asked. */
  written(stat: FileStat): boolean {
    if (stat.mtime === this.#mtime && stat.mtimeNsec === this.#mtimeNsec) return false;
    this.#mtime = stat.mtime;
    this.#mtimeNsec = stat.mtimeNsec;
    return true;
  }

  /** Whether it was read. */
  read(stat: FileStat): boolean {
    if (stat.atime === this.#atime && stat.atimeNsec === this.#atimeNsec) return false;
    this.#atime = stat.atime;
    this.#atimeNsec = stat.atimeNsec;
    return true;
  }
}

const SECOND = 1_000_000_000;
/** Ticks come late where processors are shared. */
const LATE_TICKS = 4;

let lagNsec: number | undefined;

/**
 * When a stamp of the kernel's was made. It is of the kernel's last tick, milliseconds ago perhaps, and all our other
 * times are exact: a write must not seem older than what was done before it. So it is the latest that it can have been,
 * or this moment if that is still to come, or if the inode was changed since. Calls back with seconds and nanoseconds.
 */
export function stamped(
  inode: { readonly ctime: number; readonly ctimeNsec: number },
  seconds: number,
  nanoseconds: number,
  take: (seconds: number, nanoseconds: number) => void,
): void {
  lagNsec ??= tick() * LATE_TICKS;
  const end = nanoseconds + lagNsec;
  const endSeconds = end < SECOND ? seconds : seconds + 1;
  const endNanoseconds = end < SECOND ? end : end - SECOND;
  now((nowSeconds, nowNanoseconds) => {
    const past = nowSeconds > endSeconds || (nowSeconds === endSeconds && nowNanoseconds >= endNanoseconds);
    const { ctime, ctimeNsec } = inode;
    if (past && (endSeconds > ctime || (endSeconds === ctime && endNanoseconds > ctimeNsec)))
      take(endSeconds, endNanoseconds);
    else take(nowSeconds, nowNanoseconds);
  });
}
