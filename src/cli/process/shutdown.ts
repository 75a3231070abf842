/**
 * Shuts down a mount after a signal.
 *
 * If the mount has a file to save to, the tree is saved first. If that fails, the mount stays, so that the user can copy
 * files out of it, or free space and send the signal again. After the save, the mount is detached immediately. Programs
 * that still use it are served for a limited time.
 */
import type { ServedMount } from "../../app/mount.ts";
import { describeProblem } from "../../app/running/mount-record.ts";
import { listHolders } from "../../app/running/open-users.ts";
import { messageOf } from "../../errno.ts";
import type { Log } from "../../log.ts";
import { formatTimeSpan } from "../../text/duration.ts";

/** How long to wait for programs that use the mount. */
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

  /** Resolves when no program uses the mount, or when the time to wait for them is over. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  get begun(): boolean {
    return this.#state !== "idle";
  }

  /** Begins the shutdown. If it is already running, stops waiting for programs that use the mount. */
  begin(): void {
    if (this.#state === "leaving") this.#over.resolve();
    else if (this.#state === "saving") this.#impatient = true;
    else this.#save();
  }

  /** Begins without saving first, because nobody could act on a failure. */
  leave(): void {
    if (this.#state === "leaving") return;
    this.#state = "leaving";
    const users = listHolders(this.#mountpoint);
    const unmounted = this.#served.filesystem.unmount().catch((error) => this.#say("error", messageOf(error)));
    if (users.length > 0) {
      const wait = `; waiting up to ${formatTimeSpan(PATIENCE_MS)} (send the signal again to stop waiting)`;
      this.#say("warn", `${this.#mountpoint} is still used by ${users.join(", ")}${wait}`);
    }
    if (this.#impatient) this.#over.resolve();
    setTimeout(() => this.#over.resolve(), PATIENCE_MS).unref();
    unmounted.then(() => this.#over.resolve());
  }

  async #save(): Promise<void> {
    this.#state = "saving";
    const outcome = await this.#served.save();
    // In the meantime, the mount may have been unmounted, or `leave` called.
    if (this.#state !== "saving") return;
    if (outcome.kind !== "failed") return this.leave();
    this.#state = "idle";
    this.#say(
      "error",
      `${describeProblem(outcome)}; ${this.#mountpoint} stays mounted. Fix that and send the signal again; to end it ` +
        `without saving, run: kill -KILL ${process.pid}`,
    );
  }

  #say(level: "warn" | "error", text: string): void {
    this.#log.write(level, "cli", text);
  }
}
