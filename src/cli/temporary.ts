/** A mount for a while, at a place nobody knows but the one it is made for: what `run` and `demo` stand on. */
import { mkdtempSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../errno.ts";
import type { Log } from "../log.ts";
import { type Config, temporaryFolders } from "./config.ts";
import { CliError } from "./exit.ts";
import type { Generation } from "./generation.ts";
import { realPath } from "./mountpoint.ts";
import type { Progress } from "./progress.ts";
import { type Served, serve } from "./serve.ts";

export interface TemporaryOptions {
  readonly config: Config;
  readonly generation: Generation;
  readonly log: Log;
  readonly progress: Progress;
  /** Gives up before the mount is there. */
  readonly signal: AbortSignal;
}

/** How long programs that still use the mount, but are about to exit, may take. */
const GRACE_MS = 200;

/**
 * Mounts, calls `use` with the mountpoint, and takes everything away again, whatever happens, also when programs still
 * have their working directory in it. The tree is saved if that was asked for. Throws CliError.
 */
export async function withTemporaryMount<T>(
  options: TemporaryOptions,
  use: (mountpoint: string, served: Served) => Promise<T>,
): Promise<T> {
  const mountpoint = temporaryDirectory();
  try {
    const served = await serve({ ...options, mountpoint, temporary: true });
    try {
      return await use(mountpoint, served);
    } finally {
      await end(served);
    }
  } finally {
    removeDirectory(mountpoint, options.log);
  }
}

/** Programs that stay have the mount taken away from under them: the command they came with has ended. */
async function end(served: Served): Promise<void> {
  await Promise.race([served.filesystem.unmount(), sleep(GRACE_MS)]);
  await served.finish();
}

/** Mode 0700, in the first folder that takes it. */
function temporaryDirectory(): string {
  const refused: string[] = [];
  for (const folder of temporaryFolders()) {
    try {
      return realPath(mkdtempSync(join(folder, "llmfs-")));
    } catch (error) {
      refused.push(messageOf(error));
    }
  }
  throw new CliError("mountpoint", `no temporary directory can be made (${refused.join("; ")}); set TMPDIR`);
}

function removeDirectory(path: string, log: Log): void {
  try {
    rmdirSync(path);
  } catch (error) {
    log.write("warn", "cli", `the temporary directory stays: ${messageOf(error)}`);
  }
}
