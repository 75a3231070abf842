/** The processors of this machine, for the thread that serves requests. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { ProcessorMask } from "../../libc.ts";
import * as libc from "../../libc.ts";
import { showsOurNamespace } from "../../procfs.ts";
import { openHold } from "./awake.ts";

/** What a thread can do about processors. The default is `systemProcessors`; tests use their own. */
export interface Processors {
  /** The processor that a thread runs on, or ran on last; undefined if that is not known. */
  whereRuns(thread: number): number | undefined;
  /** Whether the calling thread may run on more than one of them. */
  readonly canMove: boolean;
  /** Moves the calling thread to this processor. Returns false if it may not run there. */
  moveTo(processor: number): boolean;
  /** Keeps the threads in which the engine compiles off a processor, where they would take turns with the calling thread. */
  makeRoom(processor: number): void;
  /** Lets the calling thread, and those of the engine, run wherever they could before it was first moved. */
  release(): void;
  /** Lets the calling thread run only while no other program wants its processor. Undefined if that cannot be ended. */
  readonly defer: ((on: boolean) => boolean) | undefined;
  /** Keeps idle processors from halting. Undefined if that is not possible. */
  readonly hold: ((on: boolean) => void) | undefined;
  /** How many processors `hold` keeps awake, besides the one that runs the calling thread. */
  readonly others: number;
  /** The milliseconds of processor time that the calling thread and its caller have used; the latter only if it is known. */
  usedMs(caller: number): number;
  /** The milliseconds for which the calling thread was ready to run and another one ran. */
  delayedMs(): number;
  close(): void;
}

const ONLINE = "/sys/devices/system/cpu/online";
/** Not every kernel has it (CONFIG_SCHED_INFO). */
const DELAYS = "/proc/thread-self/schedstat";

/** Undefined if the machine has only one processor: then there is nothing to choose from. */
export function systemProcessors(): Processors | undefined {
  // A container may hide /sys.
  const online = existsSync(ONLINE) ? countOnline(readFileSync(ONLINE, "latin1")) : libc.processors();
  if (online < 2) return undefined;
  const allowed = libc.readAllowedProcessors();
  const hold = openHold(online);
  const watch = new ThreadWatch();
  const deference = existsSync(DELAYS) ? libc.createDeference() : undefined;
  const engine = new EngineThreads(allowed, (thread) => void deference?.(false, thread));
  return {
    canMove: libc.processors() > 1,
    whereRuns: (thread) => watch.processorOf(thread),
    moveTo(processor) {
      const [index, bit] = [processor >> 3, 1 << (processor & 7)];
      if (((allowed[index] ?? 0) & bit) === 0) return false;
      const mask = new Uint8Array(allowed.length);
      mask[index] = bit;
      return libc.runOn(mask);
    },
    makeRoom: (processor) => engine.keepCompilersOff(processor),
    release() {
      libc.runOn(allowed);
      engine.free();
    },
    defer:
      deference &&
      ((on) => {
        const done = deference(on);
        if (!on) engine.look();
        return done;
      }),
    hold: hold && ((on) => hold.set(on)),
    others: online - 1,
    usedMs: (caller) => libc.threadTimeMs() + (caller === 0 ? 0 : (libc.processTimeMs(caller) ?? 0)),
    delayedMs() {
      // The second field: proc_pid_schedstat in Documentation/scheduler/sched-stats.rst.
      return Number(readFileSync(DELAYS, "latin1").split(" ")[1]) / 1e6;
    },
    close() {
      hold?.close();
      watch.close();
    },
  };
}

/** How the engine names the threads in which it compiles. */
const COMPILER = "JITWorker";
/** A thread gives itself its name when it first runs, so it is looked at several times. */
const MOST_LOOKS = 16;

/**
 * The other threads of this process. The engine and the C library start threads when they need them, and those inherit where
 * and when the thread may run that starts them, which may be the calling one.
 */
class EngineThreads {
  readonly #allowed: ProcessorMask;
  readonly #insist: (thread: number) => void;
  /** The threads that were there before the calling one was moved. */
  readonly #first = new Set(readdirSync("/proc/self/task"));
  /** The threads that were there at the last look. */
  #known = new Map<string, EngineThread>();

  /** `allowed`: where they may run. `insist`: lets a thread run although other programs want its processor. */
  constructor(allowed: ProcessorMask, insist: (thread: number) => void) {
    this.#allowed = allowed;
    this.#insist = insist;
  }

  free(): void {
    this.#moveCompilers(this.#allowed);
  }

  keepCompilersOff(processor: number): void {
    const mask = this.#allowed.slice();
    mask[processor >> 3] = (mask[processor >> 3] ?? 0) & ~(1 << (processor & 7));
    if (mask.some((byte) => byte !== 0)) this.#moveCompilers(mask);
  }

  /** Frees new threads. Forgets those that have ended, because their ids may soon belong to threads of other processes. */
  look(): void {
    const names = readdirSync("/proc/self/task");
    this.#known = new Map(names.map((name) => [name, this.#lookAt(name)]));
  }

  #moveCompilers(mask: ProcessorMask): void {
    this.look();
    for (const [name, { compiles }] of this.#known) if (compiles) libc.runOn(mask, Number(name));
  }

  #lookAt(name: string): EngineThread {
    const { looks, compiles } = this.#known.get(name) ?? { looks: 0, compiles: false };
    if (looks === 0 && !this.#first.has(name)) {
      libc.runOn(this.#allowed, Number(name));
      this.#insist(Number(name));
    }
    return { looks: looks + 1, compiles: compiles || (looks < MOST_LOOKS && isCompiler(name)) };
  }
}

interface EngineThread {
  readonly looks: number;
  readonly compiles: boolean;
}

function isCompiler(thread: string): boolean {
  try {
    return readFileSync(`/proc/self/task/${thread}/comm`, "latin1").startsWith(COMPILER);
  } catch {
    // It has ended.
    return false;
  }
}

/** A list such as 0-3,8: Documentation/admin-guide/cputopology.rst. */
export function countOnline(list: string): number {
  const ranges = list
    .trim()
    .split(",")
    .map((range) => range.split("-").map(Number));
  return ranges.reduce((sum, [first = 0, last = first]) => sum + last - first + 1, 0);
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
