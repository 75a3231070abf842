/**
 * On which processor the filesystem thread runs while requests stream in, and how it waits for the next one.
 *
 * Most of what a request costs is the wake-up of a thread on another processor, and what that costs depends on the machine:
 * 12 µs on one kind of virtual machine, 90 on another, and more if that processor has other work. There are three ways:
 *
 * - follow: move to the processor that the caller runs on, and sleep between requests. Both take turns there, and nobody
 *   has to wake another processor.
 * - spin: stay on another processor, and look for the next request for a while before going to sleep.
 * - rest: go to sleep at once, wherever the kernel has put us.
 *
 * No rule about machines tells which is fastest, and the answer changes with what else the machine does. So it is measured:
 * now and then another way is tried for two stretches of requests, in turns with the present one, and kept if it is
 * clearly faster. A way that lost is tried less and less often, because a slow way can be very slow.
 */
import * as libc from "../libc.ts";
import { showsOurNamespace } from "../procfs.ts";

export type Way = "follow" | "spin" | "rest";

/** Requests in a stretch: what is timed. */
export const STRETCH = 64;
/** The caller is looked for at the first of these requests of a stretch, and again after so many. */
const LOOK_EVERY = 32;
const FIRST_LOOK = 8;
/** Stretches in one way before another is tried: at first, and at most. */
const SHORTEST_STAY = 4;
const LONGEST_STAY = 512;
/** Stretches of a trial, each way in turn. */
const TRIAL = 4;
/** What another way must save before it is kept. */
const CLEARLY = 0.93;

/** Where threads run. `systemProcessors`, or a test's. */
export interface Processors {
  /** The processor that a thread runs on, or ran on last; undefined if nobody knows. */
  whereRuns(thread: number): number | undefined;
  /** Has the calling thread run on this processor only. False if it may not. */
  moveTo(processor: number): boolean;
  /** Has the calling thread run wherever it could before it was first moved. */
  release(): void;
  close(): void;
}

export class Placement {
  readonly #ways: readonly Way[];
  readonly #processors: Processors;
  #way: Way;
  /** Where we have moved to; undefined while the kernel may run us anywhere. */
  #pinned: number | undefined;
  /** How many stretches to stay before the next trial, how many of them are over, and who is next. */
  #stay = SHORTEST_STAY;
  #stretches = 0;
  #next = 0;
  #trial: Trial | undefined;

  /** `ways`: those that may be chosen, the first at the start. */
  constructor(ways: readonly [Way, ...Way[]], processors: Processors) {
    this.#ways = ways;
    this.#way = ways[0];
    this.#processors = processors;
  }

  /** How the thread works now. */
  get way(): Way {
    return this.#trial?.way ?? this.#way;
  }

  /** The request of this number in its stretch came from this thread. */
  noteCaller(number: number, thread: number): void {
    if (number % LOOK_EVERY !== FIRST_LOOK || this.way !== "follow" || thread === 0) return;
    const processor = this.#processors.whereRuns(thread);
    if (processor === undefined || processor === this.#pinned) return;
    if (this.#processors.moveTo(processor)) this.#pinned = processor;
  }

  /** A stretch of requests is over, and took so many milliseconds. */
  noteStretch(ms: number): void {
    if (this.#ways.length === 1) return;
    const before = this.way;
    if (this.#trial === undefined) this.#maybeTry();
    else if (this.#trial.note(ms)) this.#conclude(this.#trial);
    if (this.way !== before && before === "follow") this.#release();
  }

  /** No request came for a while: the next caller may run anywhere. */
  notePause(): void {
    this.#release();
  }

  close(): void {
    this.#release();
    this.#processors.close();
  }

  #maybeTry(): void {
    if (++this.#stretches < this.#stay) return;
    const others = this.#ways.filter((way) => way !== this.#way);
    const other = others[this.#next++ % others.length];
    if (other !== undefined) this.#trial = new Trial(this.#way, other);
  }

  #conclude({ isBetter, other }: Trial): void {
    this.#trial = undefined;
    this.#stretches = 0;
    if (!isBetter) {
      this.#stay = Math.min(this.#stay * 2, LONGEST_STAY);
      return;
    }
    this.#way = other;
    this.#stay = SHORTEST_STAY;
  }

  #release(): void {
    if (this.#pinned === undefined) return;
    this.#processors.release();
    this.#pinned = undefined;
  }
}

/** Two ways in turns. The best stretch of each counts: a bad one tells of something else. */
class Trial {
  readonly #present: Way;
  readonly other: Way;
  readonly #best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] as [number, number];
  #over = 0;

  constructor(present: Way, other: Way) {
    this.#present = present;
    this.other = other;
  }

  get way(): Way {
    return this.#over % 2 === 0 ? this.other : this.#present;
  }

  get isBetter(): boolean {
    const [other, present] = this.#best;
    return other < present * CLEARLY;
  }

  /** True when the trial is over. */
  note(ms: number): boolean {
    const turn = this.#over % 2 === 0 ? 0 : 1;
    this.#best[turn] = Math.min(this.#best[turn], ms);
    return ++this.#over === TRIAL;
  }
}

/** The processors of this machine, for the calling thread. Undefined if it may run on one only. */
export function systemProcessors(): Processors | undefined {
  const allowed = libc.allowedProcessors();
  if (libc.processors() < 2) return undefined;
  const watch = new ThreadWatch();
  return {
    whereRuns: (thread) => watch.processorOf(thread),
    moveTo(processor) {
      const [index, bit] = [processor >> 3, 1 << (processor & 7)];
      if (((allowed[index] ?? 0) & bit) === 0) return false;
      const mask = new Uint8Array(allowed.length);
      mask[index] = bit;
      return libc.runOn(mask);
    },
    release: () => void libc.runOn(allowed),
    close: () => watch.close(),
  };
}

/** Reads /proc/THREAD/stat of one thread after another. It stays open, as most requests come from the same thread. */
class ThreadWatch {
  readonly #buffer = Buffer.alloc(1024);
  #thread = 0;
  #fd: number | undefined;

  /** Field 39 of proc_pid_stat(5). */
  processorOf(thread: number): number | undefined {
    if (thread !== this.#thread && !this.#open(thread)) return undefined;
    if (this.#fd === undefined) return undefined;
    const length = libc.pread(this.#fd, this.#buffer, this.#buffer.length, 0);
    if (length <= 0) {
      // It has ended; its number may be given to another thread.
      this.close();
      return undefined;
    }
    return processorIn(this.#buffer.subarray(0, length));
  }

  close(): void {
    if (this.#fd !== undefined) libc.close(this.#fd);
    this.#fd = undefined;
    this.#thread = 0;
  }

  #open(thread: number): boolean {
    this.close();
    if (!showsOurNamespace()) return false;
    try {
      this.#fd = libc.open(`/proc/${thread}/stat`, libc.O_RDONLY | libc.O_CLOEXEC);
    } catch (error) {
      if (error instanceof libc.SystemError) return false;
      throw error;
    }
    this.#thread = thread;
    return true;
  }
}

/** The processor in a line of /proc/THREAD/stat. The name, which may hold anything, ends at the last parenthesis. */
export function processorIn(line: Buffer): number | undefined {
  // The name's parenthesis ends field 2, so after so many blanks comes field 39.
  let blanks = 37;
  let at = line.lastIndexOf(")") + 1;
  for (; at < line.length && blanks > 0; at++) if (line[at] === BLANK) blanks--;
  let processor: number | undefined;
  for (; at < line.length; at++) {
    const digit = (line[at] ?? 0) - ZERO;
    if (digit < 0 || digit > 9) break;
    processor = (processor ?? 0) * 10 + digit;
  }
  return processor;
}

const BLANK = 0x20;
const ZERO = 0x30;
