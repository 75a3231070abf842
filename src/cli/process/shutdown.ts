/**
 * The end of a mount that a signal ends.
 *
 * The tree is saved first, if that was asked for. Where it cannot be saved, the mount stays: the user can still copy
 * files out of it, or make room and send the signal again. Once it is saved, the mount disappears from view at once.
 * Programs that still use it are served until they leave, but not for ever, because the process was told to end.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describeProblem } from "../../app/keeper.ts";
import type { ServedMount } from "../../app/mount.ts";
import { listHolders } from "../../app/running/open-users.ts";
import { messageOf } from "../../errno.ts";
import type { Log } from "../../log.ts";

/** How long programs may take to leave. */
const PATIENCE_MS = 5_000;

export class Ending {
  readonly #served: ServedMount;
  readonly #mountpoint: string;
  readonly #log: Log;
  readonly #over = Promise.withResolvers<void>();
  #state: "idle" | "saving" | "leaving" = "idle";
  #impatient = false;

  constructor(served: ServedMount, mountpoint: string, log: Log) {
    this.#served = served;
    this.#mountpoint = mountpoint;
    this.#log = log;
  }

  /** Resolves when nobody uses the mount any more, or nobody is waited for any longer. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  get begun(): boolean {
    return this.#state !== "idle";
  }

  /** Begins. While it is under way already, programs that use the mount are no longer waited for. */
  begin(): void {
    if (this.#state === "leaving") this.#over.resolve();
    else if (this.#state === "saving") this.#impatient = true;
    else this.#save();
  }

  /** Begins without saving first: there is nobody who could do anything about a failure. */
  leave(): void {
    if (this.#state === "leaving") return;
    this.#state = "leaving";
    const users = listHolders(this.#mountpoint);
    const unmounted = this.#served.filesystem.unmount().catch((error) => this.#say("error", messageOf(error)));
    if (users.length > 0) {
      const wait = `; waiting up to ${PATIENCE_MS / 1000} s (the same signal again: not at all)`;
      this.#say("warn", `${this.#mountpoint} is still used by ${users.join(", ")}${wait}`);
    }
    if (this.#impatient) this.#over.resolve();
    Promise.race([unmounted, sleep(PATIENCE_MS, undefined, { ref: false })]).then(() => this.#over.resolve());
  }

  async #save(): Promise<void> {
    this.#state = "saving";
    const outcome = await this.#served.save();
    // Meanwhile it may have been unmounted, or left without saving.
    if (this.#state !== "saving") return;
    if (outcome.kind !== "failed") return this.leave();
    this.#state = "idle";
    this.#say(
      "error",
      `${describeProblem(outcome)}; ${this.#mountpoint} stays mounted. Put that right and send the signal again; to end it ` +
        `without saving: kill -KILL ${process.pid}`,
    );
  }

  #say(level: "warn" | "error", text: string): void {
    this.#log.write(level, "cli", text);
  }
}
