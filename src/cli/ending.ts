/**
 * The end of a mount that a signal ends.
 *
 * It is taken from sight at once. Programs that still use it are served until they leave, but not for ever: the process
 * was told to end.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../errno.ts";
import type { Log } from "../log.ts";
import { holders } from "./holders.ts";
import type { Served } from "./serve.ts";

/** How long programs may take to leave. */
const PATIENCE_MS = 5_000;

export class Ending {
  readonly #now = Promise.withResolvers<void>();
  /** Resolves when nobody uses the mount any more, or nobody is waited for any longer. */
  readonly over: Promise<void>;

  /** Begins at once. */
  constructor(served: Served, mountpoint: string, log: Log) {
    const users = holders(mountpoint);
    const unmounted = served.filesystem.unmount().catch((error) => log.write("error", "cli", messageOf(error)));
    if (users.length > 0) {
      const wait = `; waiting up to ${PATIENCE_MS / 1000} s (the same signal again: not at all)`;
      log.write("warn", "cli", `${mountpoint} is still used by ${users.join(", ")}${wait}`);
    }
    this.over = Promise.race([unmounted, sleep(PATIENCE_MS, undefined, { ref: false }), this.#now.promise]);
  }

  /** Waits for nobody. */
  now(): void {
    this.#now.resolve();
  }
}
