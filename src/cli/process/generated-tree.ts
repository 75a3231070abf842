/** Generates files of a tree that is not mounted, and shows the progress. */
import { openGeneration } from "../../app/generation.ts";
import type { Config } from "../../app/settings/settings.ts";
import { withTree } from "../../app/without-mount.ts";
import type { PendingFile } from "../../rpc/messages.ts";
import { createProgress } from "../output/progress.ts";
import { type Warming, warmMount } from "../output/warm-progress.ts";
import { openLog } from "./serve.ts";
import { Interrupted, onSignals } from "./signals.ts";

export interface GeneratedTree {
  /** A snapshot with times. */
  readonly text: Uint8Array;
  readonly result: Warming;
}

/** `select` chooses the pending files to generate. Rejects with Interrupted, or with the error of a part. */
export async function generateTree(
  config: Config,
  select: (files: readonly PendingFile[]) => readonly PendingFile[],
): Promise<GeneratedTree> {
  const progress = createProgress();
  const log = openLog(config, "warn", progress);
  const interrupted = new AbortController();
  using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => interrupted.abort(new Interrupted(name)));
  const { signal } = interrupted;
  try {
    const generation = openGeneration(config, log);
    return await withTree({ config, generation, log, progress, signal }, async (filesystem) => {
      const result = await warmMount(filesystem, { config, generation, progress, signal, select });
      signal.throwIfAborted();
      const text = Buffer.concat(await Array.fromAsync(filesystem.snapshot({ times: true })));
      return { text, result };
    });
  } finally {
    progress.clear();
    await log.close();
  }
}
