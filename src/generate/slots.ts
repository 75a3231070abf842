/** Runs generations: a limited number at a time, each until its deadline or until no reader waits for it. */

import { abortable, pause } from "../abort.ts";
import { FsError } from "../errno.ts";
import type { ChatPhase } from "../llm/llm.ts";
import { Semaphore, type Slot } from "../llm/semaphore.ts";
import type { Stage, StageListener } from "../rpc/generation.ts";
import type { LogLevel } from "../rpc/messages.ts";
import { formatTimeSpan } from "../text/duration.ts";
import { toFsError } from "./to-fs-error.ts";

export interface SlotsOptions {
  /** The number of parallel generations, not counting those that wait for another file. */
  readonly concurrency: number;
  /** The time limit of a generation, not counting the wait for a slot. */
  readonly deadlineMs: number;
  /** Removes values that must not appear in messages. */
  readonly hide: (text: string) => string;
  readonly log: (level: LogLevel, text: string) => void;
}

/** The slot of a generation. */
export interface SlotPlace {
  readonly stages: Stages;
  /** Waits for another file. */
  waitFor<T>(work: () => Promise<T>): Promise<T>;
  readonly onPhase: (phase: ChatPhase) => void;
}

export interface SlotWork<T> {
  /** Names the file and the generator in messages. */
  readonly origin: string;
  readonly signal: AbortSignal;
  /** Default: that of all slots. */
  readonly deadlineMs?: number | undefined;
  /** How long to wait first. */
  readonly pauseMs: number;
  readonly listener?: StageListener | undefined;
  run(signal: AbortSignal, place: SlotPlace): Promise<T>;
}

export class Slots {
  readonly #options: SlotsOptions;
  readonly #slots: Semaphore;

  constructor(options: SlotsOptions) {
    this.#options = options;
    this.#slots = new Semaphore(options.concurrency);
  }

  /** Rejects only with FsError, with EINTR when the signal fires. */
  async run<T>({ origin, signal: caller, deadlineMs, pauseMs, listener, run }: SlotWork<T>): Promise<T> {
    const { hide, log } = this.#options;
    const limitMs = deadlineMs ?? this.#options.deadlineMs;
    const stop = new AbortController();
    const giveUp = () =>
      stop.abort(new FsError("EINTR", `${origin} was cancelled because no program waits for the file`));
    if (caller.aborted) giveUp();
    else caller.addEventListener("abort", giveUp, { once: true });
    let timer: Timer | undefined;
    const stages = new Stages(listener);
    try {
      if (pauseMs > 0) await pause(pauseMs, stop.signal);
      if (this.#slots.full) stages.set("queued");
      using slot = await this.#slots.take(stop.signal);
      const late = () => stop.abort(new FsError("ETIMEDOUT", `${origin} took longer than ${formatTimeSpan(limitMs)}`));
      stages.set("preparing");
      timer = setTimeout(late, limitMs);
      const onPhase = (phase: ChatPhase) => {
        stages.setPhase(phase);
        clearTimeout(timer);
        if (phase === "queued") return;
        timer = setTimeout(late, limitMs);
        // The next request is prepared while others are being answered, so that it is ready in time.
        slot[Symbol.dispose]();
      };
      const waitFor = <W>(other: () => Promise<W>) => stages.waitWithoutSlot(slot, other);
      return await abortable(stop.signal, run(stop.signal, { stages, waitFor, onPhase }));
    } catch (error) {
      if (!stop.signal.aborted && error instanceof Error && error.name !== "FsError" && error.name !== "LlmError") {
        log("warn", `${origin}: ${error.stack ?? error.message}`);
      }
      const failure = toFsError(stop.signal.aborted ? stop.signal.reason : error, origin);
      const message = hide(failure.message);
      throw message === failure.message ? failure : new FsError(failure.code, message);
    } finally {
      clearTimeout(timer);
      caller.removeEventListener("abort", giveUp);
    }
  }
}

const STAGES: Readonly<Record<ChatPhase, Stage>> = {
  recordings: "preparing",
  elsewhere: "preparing",
  queued: "queued",
  asked: "working",
};

/** Reports the stage of a generation to the filesystem thread: see Stage in rpc/generation.ts. */
class Stages {
  readonly #listener: StageListener | undefined;
  #stage: Stage = "preparing";
  /** The number of running waits for other files. */
  #waits = 0;

  constructor(listener: StageListener | undefined) {
    this.#listener = listener;
  }

  set(stage: Stage): void {
    this.#stage = stage;
    this.#tell();
  }

  setPhase(phase: ChatPhase): void {
    this.set(STAGES[phase]);
  }

  /** Waits for another file and releases the slot in the meantime. */
  async waitWithoutSlot<T>(slot: Slot, work: () => Promise<T>): Promise<T> {
    this.#waits += 1;
    this.#tell();
    try {
      return await slot.without(work);
    } finally {
      this.#waits -= 1;
      this.#tell();
    }
  }

  #tell(): void {
    this.#listener?.setStage(this.#waits > 0 ? "preparing" : this.#stage);
  }
}
