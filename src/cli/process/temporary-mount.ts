/** A temporary mount at a private path, as `run` and `demo` use it. */
import { rmdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Generation } from "../../app/generation.ts";
import { createTemporaryDirectory } from "../../app/machine/temporary-directory.ts";
import { type ServedMount, serve } from "../../app/mount.ts";
import type { Progress } from "../../app/progress.ts";
import type { Config } from "../../app/settings/settings.ts";
import { messageOf } from "../../errno.ts";
import type { Log } from "../../log.ts";
import { isTerminal } from "../output/terminal.ts";
import { onSignals } from "./signals.ts";

export interface TemporaryOptions {
  readonly config: Config;
  readonly generation: Generation;
  readonly log: Log;
  readonly progress: Progress;
  /** Cancels, until `use` is called. */
  readonly signal: AbortSignal;
}

/** How long to wait for programs that are about to exit but still use the mount. */
const GRACE_MS = 200;

/**
 * Mounts, calls `use` with the mountpoint, and always unmounts, even if programs still have their working directory in the
 * mount. Saves the tree if the configuration has a file for it. Throws UserError.
 */
export async function withTemporaryMount<T>(
  options: TemporaryOptions,
  use: (mountpoint: string, served: ServedMount) => Promise<T>,
): Promise<T> {
  const mountpoint = createTemporaryDirectory();
  try {
    const served = await serve({ ...options, mountpoint, temporary: true });
    try {
      options.signal.throwIfAborted();
      options.log.withTag("cli").info(`mounted at ${mountpoint}`);
      return await use(mountpoint, served);
    } finally {
      await end(served, mountpoint, options.log);
    }
  } finally {
    removeDirectory(mountpoint, options.log);
  }
}

/**
 * Saves while the mount is still there, then unmounts even if programs still use it, because their command has ended. If
 * the tree cannot be saved, a user on a terminal may free space and retry. Without a terminal there is only one attempt.
 */
async function end(served: ServedMount, mountpoint: string, log: Log): Promise<void> {
  const givenUp = new AbortController();
  using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], () => givenUp.abort());
  if (!isTerminal()) givenUp.abort();
  await served.insist(givenUp.signal, `until then, the files are in ${mountpoint}`);
  await Promise.race([served.filesystem.unmount(), sleep(GRACE_MS)]);
  await served.finish(givenUp.signal);
  log.withTag("cli").info(`unmounted ${mountpoint}`);
}

function removeDirectory(path: string, log: Log): void {
  try {
    rmdirSync(path);
  } catch (error) {
    log.write("warn", "cli", `cannot remove the temporary directory: ${messageOf(error)}`);
  }
}
