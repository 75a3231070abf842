/**
 * Chooses the processor on which the filesystem thread runs while requests stream in, and how it waits for the next
 * one.
 *
 * Most of a request's cost is waking up a thread on another processor. That cost depends on the machine: 12 µs on one
 * kind of virtual machine, 90 on another, and more if that processor has other work. There are five ways to wait:
 *
 * - follow: move to the caller's processor, and sleep between requests. Both threads take turns there, and no other
 *   processor has to be woken, unless the kernel moves the caller to an idle one.
 * - defer: the same, and let every other program run first. The kernel then sees a processor that is free for the caller.
 * - spin: stay on another processor, and poll for the next request for a while before going to sleep.
 * - hold: the same, and keep the caller's processor from halting in the meantime. See awake.ts.
 * - rest: go to sleep at once, wherever the kernel runs the thread.
 *
 * No rule about machines predicts which is best, and that changes with the other work of the machine. So it is
 * measured: from time to time other ways take turns with the present one, and the best is kept if it is clearly better. A way
 * that lost is tried less and less often, until the time of a request changes, because then something else has changed.
 *
 * Better means faster; of the ways that are nearly as fast as the fastest one, the best takes the least processor time, ours and
 * the caller's and that of processors kept awake. If the mount is to save power, more ways are nearly as fast.
 *
 * Two things the time does not show in time. Polling uses up the thread's share of a busy processor, and for that it waits
 * later, in whatever way. And a thread that defers waits as long as another program runs. So it stops as soon as another
 * program runs on its processor in the meantime.
 */
import type { Processors } from "./processors.ts";
import { type Measured, type Outcome, Probation, Trial } from "./trial.ts";
import { WayRecord } from "./way-record.ts";

export type PlacementMode = "follow" | "defer" | "spin" | "hold" | "rest";

/** The number of requests in a stretch, which is the unit of measurement. */
export const STRETCH = 16;
/** So many requests begin a stream, if they come within this time of each other on average. */
const BEGINNING = 8;
export const STREAM_MS_PER_REQUEST = 0.5;
/** Processors are kept awake only while a request takes no longer than this, and not after 8 slower stretches. */
const HOLD_MS_PER_REQUEST = 0.1;
const SLOW_STRETCHES = 8;
/** The caller is looked up again after this many stretches. */
const LOOK_EVERY = 2;
/** The engine's threads are looked up after this many stretches at first, and at most. */
const FIRST_ROOM = 2;
const LATEST_ROOM = 64;
/** In its first stretches, a thread that follows looks each time whether its caller stays on its processor. */
const FIRST_LOOKS = 2;
/** While the caller stays there, nothing else is tried in this many stretches. */
const TOGETHER_STAY = 64;
/** How often in CROWD_STRETCHES another program may run in the meantime while the thread polls. */
const TOLERATED = 2;
const CROWD_STRETCHES = 4;
/** A thread that had to wait this long for another program is too polite. */
export const DELAY_MS = 1;
/** The time of a request has changed if it differs from the usual by this factor in each of these stretches. */
const CHANGED = 1.6;
const CHANGED_STRETCHES = 3;
/** The number of stretches before a change counts again, if it did not change the way: at first, and at most. */
const SHORTEST_CALM = 32;
const LONGEST_CALM = 1024;
/** The relative time, or cost, of another way to be kept. */
const CLEARLY = 0.93;
/** How long a way may take that costs less processor time, relative to the fastest one: normally, and to save power. */
const NEARLY = 1.1;
const NEARLY_TO_SAVE = 1.3;

export interface PlacementOptions {
  readonly savesPower?: boolean;
}

/** The ways that are possible here. The first is one that costs little if it is not the best. */
export function possibleWays({ canMove, defer, hold }: Processors): [PlacementMode, ...PlacementMode[]] {
  const polling = hold === undefined ? "spin" : "hold";
  if (!canMove) return ["rest", polling];
  return ["follow", ...(defer === undefined ? [] : ["defer" as const]), polling, "rest"];
}

export class Placement {
  readonly #ways: readonly PlacementMode[];
  readonly #processors: Processors;
  /** Whether it is to save power. */
  readonly savesPower: boolean;
  readonly #records = new Map<PlacementMode, WayRecord>();
  #way: PlacementMode;
  #trial: Trial<PlacementMode> | undefined;
  #probation: Probation<PlacementMode> | undefined;
  /** Whether requests stream in. */
  #streams = false;
  /** The processor to which the thread was moved; undefined while it may run anywhere. */
  #pinned: number | undefined;
  #deferring = false;
  #holding = false;
  /** The number of stretches so far, and since the caller was looked up. */
  #stretches = 0;
  #lookedUp = 0;
  /** When the engine's threads are looked up again, and how many stretches after that. */
  #roomDue = 0;
  #roomStay = FIRST_ROOM;
  /** How often in a row the caller was found on our processor, and when the present way began. */
  #together = 0;
  #begunAt = 0;
  /** How often another program ran in the meantime, and since which stretch. */
  #interrupted = 0;
  #interruptedSince = 0;
  /** The usual time of a stretch, and those of the last stretches, as far as they are different. */
  #usual = 0;
  #different: number[] = [];
  #slow = 0;
  /** From which stretch on a change counts, and how many stretches lie between two changes. */
  #calmUntil = 0;
  #calm = SHORTEST_CALM;
  /** How long the thread had been delayed when that was last checked. */
  #delayed = 0;
  #used = 0;
  #caller = 0;

  /** `ways`: the possible ways; the first is used at the start. */
  constructor(
    ways: readonly [PlacementMode, ...PlacementMode[]],
    processors: Processors,
    { savesPower = false }: PlacementOptions = {},
  ) {
    this.#ways = ways;
    this.#way = ways[0];
    this.#processors = processors;
    this.savesPower = savesPower;
  }

  /** The current way. */
  get way(): PlacementMode {
    if (this.#streams) return this.#trial?.way ?? this.#way;
    return !this.savesPower && (this.#way === "spin" || this.#way === "hold") ? "spin" : "rest";
  }

  /** Whether the thread polls for the next request before it sleeps. */
  get polls(): boolean {
    const { way } = this;
    return way === "spin" || way === "hold";
  }

  /** The number of requests in the next stretch. */
  get length(): number {
    return this.#streams ? STRETCH : BEGINNING;
  }

  /** Notes the end of a stretch of requests, the milliseconds that it took, and the thread that sent the last one. */
  noteStretch(ms: number, caller: number): void {
    if (!this.#streams) {
      if (ms <= BEGINNING * STREAM_MS_PER_REQUEST) this.#begin(caller);
      return;
    }
    this.#stretches++;
    const before = this.way;
    const measured = this.#measure(ms, caller);
    this.#caller = caller;
    if (this.#ways.length > 1) this.#decide(measured);
    this.#enter();
    const every = this.#stretches - this.#begunAt <= FIRST_LOOKS ? 1 : LOOK_EVERY;
    if (this.way !== before || this.#stretches - this.#lookedUp >= every) this.#follow(caller);
  }

  /** Notes that no request came while the thread polled. */
  noteMiss(): void {
    if (!this.savesPower || !this.#holding) return;
    this.#holding = false;
    this.#processors.hold?.(false);
  }

  /** Notes that the thread, which defers to other programs, may have had to wait for one. */
  noteDelay(): void {
    const delayed = this.#processors.delayedMs();
    if (delayed - this.#delayed > DELAY_MS) this.noteInterruption();
    this.#delayed = delayed;
  }

  /** Notes that another program, and not the caller, ran on this processor in the meantime. */
  noteInterruption(): void {
    if (this.#stretches - this.#interruptedSince >= CROWD_STRETCHES) {
      this.#interrupted = 0;
      this.#interruptedSince = this.#stretches;
    }
    const way = this.#trial?.way ?? this.#way;
    // Each time costs a thread that defers some milliseconds.
    if (++this.#interrupted <= TOLERATED && way !== "defer") return;
    this.#interrupted = 0;
    const rest = this.#ways.filter((one) => one !== way);
    const [other] = rest.sort((a, b) => this.#recordOf(a).time - this.#recordOf(b).time);
    if (other === undefined) return;
    this.#trial = undefined;
    if (way === this.#way) this.#change(other);
    this.#recordOf(way).exclude(this.#stretches);
    this.#enter();
    this.#follow(this.#caller);
  }

  /** No request came for a while: the next caller may run anywhere. */
  notePause(): void {
    if (!this.#streams) return;
    this.#streams = false;
    this.#trial = undefined;
    this.#different = [];
    this.#enter();
  }

  close(): void {
    this.notePause();
    this.#processors.close();
  }

  #begin(caller: number): void {
    this.#streams = true;
    this.#slow = 0;
    this.#together = 0;
    this.#roomDue = this.#stretches;
    this.#roomStay = FIRST_ROOM;
    this.#enter();
    this.#follow(caller);
  }

  #measure(ms: number, caller: number): Measured {
    // Costs decide trials only, and asking for them takes two system calls.
    if (this.#trial === undefined) return { ms, cost: Number.NaN };
    const used = this.#processors.usedMs(caller);
    const cost = used - this.#used + (this.#holding ? ms * this.#processors.others : 0);
    const known = caller === this.#caller;
    this.#used = used;
    return { ms, cost: known ? Math.max(cost, 0) : Number.NaN };
  }

  #decide(measured: Measured): void {
    const { ms } = measured;
    if (this.#trial !== undefined) {
      const result = this.#trial.note(measured);
      if (result !== undefined) this.#conclude(result);
      return;
    }
    if (this.way === "hold" && this.#isTooSlowToHold(ms)) return;
    if (this.#isOnProbation(ms)) return;
    this.#noticeChange(ms);
    const due = this.#findDue();
    if (due.length > 0 && !this.#settlesIn()) this.#trial = new Trial(due, this.#way, this.#usual, this.savesPower);
  }

  /** Whether the thread has begun to follow, and does so well or it is not yet known how well. */
  #settlesIn(): boolean {
    const age = this.#stretches - this.#begunAt;
    if (this.#way !== "follow" || age >= TOGETHER_STAY) return false;
    return age <= FIRST_LOOKS || this.#together >= FIRST_LOOKS;
  }

  #findDue(): readonly PlacementMode[] {
    return this.#ways.filter((way) => way !== this.#way && this.#recordOf(way).isDue(this.#stretches, this.#usual));
  }

  #isOnProbation(ms: number): boolean {
    const probation = this.#probation;
    if (probation === undefined) return false;
    const result = probation.note(ms);
    if (result === undefined) return true;
    this.#probation = undefined;
    if (!result.broken) return false;
    const left = this.#way;
    this.#recordOf(probation.from).time = probation.usualMs / result.ms;
    this.#change(probation.from);
    this.#recordOf(left).noteBroken(this.#stretches, result.ms);
    return true;
  }

  #isTooSlowToHold(ms: number): boolean {
    this.#slow = ms > STRETCH * HOLD_MS_PER_REQUEST ? this.#slow + 1 : 0;
    const other = this.#ways.find((way) => way === "spin") ?? this.#ways.find((way) => way !== "hold");
    if (this.#slow < SLOW_STRETCHES || other === undefined) return false;
    this.#slow = 0;
    this.#change(other);
    this.#recordOf("hold").exclude(this.#stretches);
    return true;
  }

  #noticeChange(ms: number): void {
    if (this.#usual === 0) this.#usual = ms;
    const ratio = ms / this.#usual;
    this.#different = ratio > CHANGED || ratio < 1 / CHANGED ? [...this.#different.slice(-CHANGED_STRETCHES), ms] : [];
    // A single slow stretch has other causes.
    this.#usual += (Math.min(ms, this.#usual * 2) - this.#usual) / 16;
    if (this.#different.length < CHANGED_STRETCHES || this.#stretches < this.#calmUntil) return;
    this.#usual = Math.min(...this.#different);
    this.#different = [];
    this.#calmUntil = this.#stretches + this.#calm;
    this.#calm = Math.min(this.#calm * 2, LONGEST_CALM);
    for (const way of this.#ways) this.#recordOf(way).forget(this.#stretches);
  }

  #conclude(outcomes: ReadonlyMap<PlacementMode, Outcome>): void {
    this.#trial = undefined;
    for (const [way, outcome] of outcomes) this.#recordOf(way).noteTrial(this.#stretches, outcome);
    const limit = this.#limit;
    const better = [...outcomes].filter(([way, outcome]) => {
      const late = way === "hold" && outcome.ms > STRETCH * HOLD_MS_PER_REQUEST;
      return !late && this.#isBetter(outcome, limit);
    });
    const fitting = better.filter(([, { time }]) => time <= limit);
    const [best] =
      fitting.length > 0
        ? fitting.sort(([, a], [, b]) => matters(a) - matters(b))
        : better.sort(([, a], [, b]) => a.time - b.time);
    if (best === undefined) return;
    const [way, { time }] = best;
    this.#calm = SHORTEST_CALM;
    const from = this.#way;
    const usual = this.#usual;
    this.#change(way);
    if (usual > 0) this.#probation = new Probation(from, usual, time);
  }

  /** How long a way may take for its cost to matter, relative to the present one. */
  get #limit(): number {
    const fastest = Math.min(1, ...[...this.#records.values()].map((record) => record.time));
    return fastest * (this.savesPower ? NEARLY_TO_SAVE : NEARLY);
  }

  #isBetter({ time, cost }: Outcome, limit: number): boolean {
    const [fits, presentFits] = [time <= limit, 1 <= limit / CLEARLY];
    if (!fits || !presentFits) return fits || (!presentFits && time < CLEARLY);
    if (this.savesPower) return cost < CLEARLY;
    if (Number.isNaN(cost)) return time < CLEARLY;
    return Math.min(time, cost) < CLEARLY && Math.max(time, cost) < 1 / CLEARLY;
  }

  #change(way: PlacementMode): void {
    const { time } = this.#recordOf(way);
    for (const record of this.#records.values()) record.time /= time;
    this.#recordOf(this.#way).noteLeft(this.#stretches, this.#usual);
    this.#way = way;
    this.#begunAt = this.#stretches;
    this.#together = 0;
    this.#probation = undefined;
    this.#usual = 0;
    this.#different = [];
  }

  /** Does what the current way needs, and undoes what it does not. */
  #enter(): void {
    const way = this.#streams ? this.way : undefined;
    const { defer, hold } = this.#processors;
    if (this.#deferring && way !== "defer") {
      defer?.(false);
      this.#deferring = false;
    }
    if (this.#holding !== (way === "hold")) {
      this.#holding = way === "hold";
      hold?.(this.#holding);
    }
    if (this.#pinned !== undefined && way !== "follow" && way !== "defer") {
      this.#processors.release();
      this.#pinned = undefined;
    }
  }

  #follow(caller: number): void {
    const { way } = this;
    if ((way !== "follow" && way !== "defer") || caller === 0) return;
    this.#lookedUp = this.#stretches;
    const processor = this.#processors.whereRuns(caller);
    if (processor === undefined) return;
    const stayed = processor === this.#pinned;
    this.#together = stayed && way === "follow" ? this.#together + 1 : 0;
    const moved = !stayed && this.#processors.moveTo(processor);
    if (moved) this.#pinned = processor;
    this.#makeRoom(moved);
    if (way === "defer" && !this.#deferring && this.#pinned !== undefined) {
      this.#deferring = this.#processors.defer?.(true) ?? false;
      this.#delayed = this.#processors.delayedMs();
    }
  }

  #makeRoom(moved: boolean): void {
    if (this.#pinned === undefined) return;
    const due = this.#stretches >= this.#roomDue;
    if (!due && !moved) return;
    this.#processors.makeRoom(this.#pinned);
    if (!due) return;
    this.#roomDue = this.#stretches + this.#roomStay;
    this.#roomStay = Math.min(this.#roomStay * 2, LATEST_ROOM);
  }

  #recordOf(way: PlacementMode): WayRecord {
    const record = this.#records.get(way) ?? new WayRecord();
    this.#records.set(way, record);
    return record;
  }
}

/** What decides between ways that are nearly as fast. */
function matters({ time, cost }: Outcome): number {
  return Number.isNaN(cost) ? time : cost;
}
