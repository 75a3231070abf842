/**
 * Chooses the processor on which the filesystem thread runs while requests stream in, and how it waits for the next
 * one.
 *
 * Most of a request's cost is waking up a thread on another processor. That cost depends on the machine: 12 µs on one
 * kind of virtual machine, 90 on another, and more if that processor has other work. There are three ways to wait:
 *
 * - follow: move to the caller's processor, and sleep between requests. Both threads take turns there, and no other
 *   processor has to be woken.
 * - spin: stay on another processor, and poll for the next request for a while before going to sleep.
 * - rest: go to sleep at once, wherever the kernel runs the thread.
 *
 * No rule about machines predicts which is fastest, and that changes with the other work of the machine. So it is
 * measured: from time to time another way is tried for two stretches of requests, in turns with the current one, and
 * kept if it is clearly faster. A way that lost is tried less and less often, because a slow way can be very slow.
 *
 * One thing the time does not show: polling uses up the thread's share of a busy processor, and for that it waits later, in
 * whatever way. So it stops polling when another program runs on the processor in the meantime.
 */
import * as libc from "../libc.ts";
import { showsOurNamespace } from "../procfs.ts";

export type PlacementMode = "follow" | "spin" | "rest";

/** The number of requests in a stretch, which is the unit of measurement. */
export const STRETCH = 64;
/** The caller is looked up at the first request of a stretch, and again after this many requests. */
const LOOK_EVERY = 32;
const FIRST_LOOK = 8;
/** The number of stretches in one way before another is tried: at first, after a change, and at most. */
const FIRST_STAY = 1;
const SHORTEST_STAY = 4;
const LONGEST_STAY = 512;
/** The number of stretches in a trial; the two ways take turns. */
const TRIAL = 4;
/** The maximum relative time of another way to be kept. */
const CLEARLY = 0.93;
/** How often in a stretch another program may run while the thread polls. */
const TOLERATED = 2;
/** The number of stretches without polling after that, before it is tried again. */
const CROWDED_STAY = 64;

/** Information about processors. The default is `systemProcessors`; tests use their own. */
export interface Processors {
  /** The processor that a thread runs on, or ran on last; undefined if that is not known. */
  whereRuns(thread: number): number | undefined;
  /** Moves the calling thread to this processor. Returns false if it may not run there. */
  moveTo(processor: number): boolean;
  /** Lets the calling thread run wherever it could before it was first moved. */
  release(): void;
  close(): void;
}

export class Placement {
  readonly #ways: readonly PlacementMode[];
  readonly #processors: Processors;
  #way: PlacementMode;
  /** The processor to which the thread was moved; undefined while it may run anywhere. */
  #pinned: number | undefined;
  /** How many stretches to stay before the next trial, how many of them are over, and which way is tried next. */
  #stay = FIRST_STAY;
  #stretches = 0;
  #next = 0;
  #trial: Trial | undefined;
  /** How often another program ran in this stretch while the thread polled. */
  #interrupted = 0;

  /** `ways`: the possible ways; the first is used at the start. */
  constructor(ways: readonly [PlacementMode, ...PlacementMode[]], processors: Processors) {
    this.#ways = ways;
    this.#way = ways[0];
    this.#processors = processors;
  }

  /** The current way. */
  get way(): PlacementMode {
    return this.#trial?.way ?? this.#way;
  }

  /** Notes which thread sent the request with this number in its stretch. */
  noteCaller(number: number, thread: number): void {
    if (number % LOOK_EVERY !== FIRST_LOOK || this.way !== "follow" || thread === 0) return;
    const processor = this.#processors.whereRuns(thread);
    if (processor === undefined || processor === this.#pinned) return;
    if (this.#processors.moveTo(processor)) this.#pinned = processor;
  }

  /** Notes that another program, and not the caller, ran on this processor while the thread polled. */
  noteInterruption(): void {
    const other = this.#ways.find((way) => way !== "spin");
    if (++this.#interrupted <= TOLERATED || other === undefined) return;
    this.#interrupted = 0;
    this.#trial = undefined;
    if (this.#way === "spin") this.#way = other;
    this.#stretches = 0;
    this.#stay = Math.max(this.#stay, CROWDED_STAY);
  }

  /** Notes the end of a stretch of requests, and the milliseconds that it took. */
  noteStretch(ms: number): void {
    this.#interrupted = 0;
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

/** Compares two ways, which take turns. The best stretch of each counts, because a slow one has other causes. */
class Trial {
  readonly #present: PlacementMode;
  readonly other: PlacementMode;
  readonly #best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] as [number, number];
  #over = 0;

  constructor(present: PlacementMode, other: PlacementMode) {
    this.#present = present;
    this.other = other;
  }

  get way(): PlacementMode {
    return this.#over % 2 === 0 ? this.other : this.#present;
  }

  get isBetter(): boolean {
    const [other, present] = this.#best;
    return other < present * CLEARLY;
  }

  /** Returns true when the trial is over. */
  note(ms: number): boolean {
    const turn = this.#over % 2 === 0 ? 0 : 1;
    this.#best[turn] = Math.min(this.#best[turn], ms);
    return ++this.#over === TRIAL;
  }
}

/** The processors of this machine, for the calling thread. Undefined if it may run on only one. */
export function systemProcessors(): Processors | undefined {
  const allowed = libc.readAllowedProcessors();
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

/** Reads /proc/THREAD/stat of a thread. The file stays open, because most requests come from the same thread. */
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
      // The thread has ended, and its id may be reused.
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

/** The processor in a line of /proc/THREAD/stat. The name may contain anything, and ends at the last parenthesis. */
export function processorIn(line: Buffer): number | undefined {
  // The parenthesis after the name ends field 2, so field 39 follows this many blanks.
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
