/** Reports the stage of a generation to the filesystem thread: see Stage in rpc/generation.ts. */

import type { ChatPhase } from "../llm/llm.ts";
import type { Slot } from "../llm/semaphore.ts";
import type { Stage, StageListener } from "../rpc/generation.ts";

const STAGES: Readonly<Record<ChatPhase, Stage>> = {
  recordings: "preparing",
  elsewhere: "preparing",
  queued: "queued",
  asked: "working",
};

export class Stages {
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
  async waiting<T>(slot: Slot, work: () => Promise<T>): Promise<T> {
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
