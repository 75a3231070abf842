/** What a mount starts from: a snapshot, a directory, a tree laid out from a prompt, or nothing. */
import { realpathSync, statSync } from "node:fs";
import { findMountOnPath } from "../../inside-mount.ts";
import type { StartingTree } from "../../rpc/messages.ts";
import { UserError } from "../errors.ts";
import type { Generation } from "../generation.ts";
import type { Progress } from "../progress.ts";
import { requireAnswer } from "../running/answering.ts";
import { findMount } from "../running/find-mount.ts";
import type { Config } from "../settings/settings.ts";

export interface StartingTreeOptions {
  readonly config: Pick<Config, "from" | "prompt">;
  readonly generation: Pick<Generation, "layOut">;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Rejects with UserError or LlmError. */
export async function findStartingTree(options: StartingTreeOptions): Promise<StartingTree | undefined> {
  const { config, generation, progress, signal } = options;
  if (config.from === undefined) {
    return config.prompt && { text: await generation.layOut(config.prompt.text, progress, signal) };
  }
  const source = await findSource(config.from);
  if ("directory" in source) progress.step(`copying ${config.from}`);
  return source;
}

/** The snapshot or the directory at an absolute path. Rejects with UserError. */
export async function findSource(from: string): Promise<Exclude<StartingTree, { readonly text: Uint8Array }>> {
  const known = findMount(from);
  if (known !== undefined) await requireAnswer(known.mount);
  // Whatever is wrong with another file is reported when it is read as a snapshot.
  if (statIfPossible(from)?.isDirectory() !== true) return { file: from };
  const mount = findMountOnPath(from);
  if (mount === undefined) return { directory: realpathSync(from) };
  const cure =
    "copying it would generate every pending file; save the mount with llmfs save, and start from that snapshot";
  throw new UserError("snapshot", `${from} is in ${mount}: ${cure}`);
}

function statIfPossible(path: string) {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
