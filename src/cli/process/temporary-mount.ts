/** A mount for a while, at a place nobody knows but the one it is made for: what `run` and `demo` stand on. */
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
  /** Gives up before `use` is called. */
  readonly signal: AbortSignal;
}

/** How long programs that still use the mount, but are about to exit, may take. */
const GRACE_MS = 200;

/**
 * Mounts, calls `use` with the mountpoint, and takes everything away again, whatever happens, also when programs still
 * have their working directory in it. The tree is saved if that was asked for. Throws UserError.
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
      options.log.tagged("cli").info(`mounted at ${mountpoint}`);
      return await use(mountpoint, served);
    } finally {
      await end(served, mountpoint, options.log);
    }
  } finally {
    removeDirectory(mountpoint, options.log);
  }
}

/**
 * Saves while the mount is still there. Programs that stay have it taken away from under them: the command they came with
 * has ended. A person may make room for a tree that cannot be saved; where nobody watches, one try is all.
 */
async function end(served: ServedMount, mountpoint: string, log: Log): Promise<void> {
  const givenUp = new AbortController();
  using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], () => givenUp.abort());
  if (!isTerminal()) givenUp.abort();
  await served.insist(givenUp.signal, `until then it is in ${mountpoint}`);
  await Promise.race([served.filesystem.unmount(), sleep(GRACE_MS)]);
  await served.finish(givenUp.signal);
  log.tagged("cli").info(`unmounted ${mountpoint}`);
}

function removeDirectory(path: string, log: Log): void {
  try {
    rmdirSync(path);
  } catch (error) {
    log.write("warn", "cli", `the temporary directory stays: ${messageOf(error)}`);
  }
}
