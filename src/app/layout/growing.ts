/** Adds files that a model lays out to a tree: before it is mounted, while it is, or in a snapshot. */
import { FsError } from "../../errno.ts";
import type { StructureProgress } from "../../generate/structure/structure.ts";
import type { LanguageModel } from "../../llm/llm.ts";
import type { Log } from "../../log.ts";
import type { Adder, GrowableTree, Growth } from "../../rpc/growth.ts";
import type { MountCommand } from "../../rpc/messages.ts";
import type { TreePort } from "../../rpc/tree-port.ts";
import type { Config } from "../settings/settings.ts";
import { shareContext } from "./context-share.ts";
import { keepFailedAnswer } from "./failed-answer.ts";
import { layoutRequestOptions } from "./request-options.ts";

export interface GrowRequest {
  readonly tree: Pick<TreePort, "outline" | "stat" | "readStatic">;
  /** The directory that gets the files; "/" for any place in the tree. */
  readonly within: string;
  readonly prompt: string;
  readonly onProgress?: (progress: StructureProgress) => void;
}

export interface Grower {
  /** Has more files laid out for a tree. Does not add them. Rejects with LlmError or FsError. */
  grow(request: GrowRequest, signal: AbortSignal): Promise<Omit<Growth, "added">>;
}

export interface GrowModel {
  readonly model: LanguageModel;
  readonly name: string;
  readonly contextLength?: number;
  readonly config: Pick<Config, "layoutTokens" | "depends" | "concurrency" | "contextTokens">;
  readonly signal: AbortSignal;
}

export async function layOutMore(request: GrowRequest, asked: GrowModel): Promise<Omit<Growth, "added">> {
  const { layOutGrowth } = await import("../../generate/growth/growth.ts");
  const { model, config, signal } = asked;
  const tokens = config.contextTokens ?? shareContext(asked.contextLength).contextTokens;
  return layOutGrowth({
    ...request,
    model,
    ...layoutRequestOptions(config, asked),
    signal,
    ...(config.concurrency === undefined ? {} : { concurrency: config.concurrency }),
    ...(tokens === undefined ? {} : { tokens }),
  }).catch((error: unknown) => {
    throw keepFailedAnswer(error);
  });
}

/**
 * Has files laid out and adds them: all, or none if it fails or is cancelled before the layout is complete. Rejects with
 * LlmError or FsError.
 */
export async function growTree(
  growable: GrowableTree,
  request: Omit<GrowRequest, "tree"> & { readonly dry: boolean; readonly adder: Adder },
  { generation, log, signal }: { readonly generation: Grower; readonly log: Log; readonly signal: AbortSignal },
): Promise<Growth> {
  const { dry, adder, ...asked } = request;
  const planned = await generation.grow({ ...asked, tree: growable.tree }, signal);
  if (dry) return { ...planned, added: false };
  signal.throwIfAborted();
  const { count, clashes } = await growable.add(planned.entries, adder);
  const { model, inputTokens, outputTokens } = planned;
  log.withTag("generate").info(`${count} entries added by ${model}; ${inputTokens} + ${outputTokens} tokens`);
  if (clashes.length === 0) return { ...planned, added: true };
  // Somebody made them while the model was at work.
  const taken = new Set(clashes);
  const entries = planned.entries.filter(({ path }) => !taken.has(path));
  return { ...planned, entries, added: true, clashes: [...planned.clashes, ...clashes] };
}

/** Answers a request to grow a mount. Rejects with FsError. */
export async function growMount(
  { path, prompt, dry, adder }: Extract<MountCommand, { readonly op: "grow" }>,
  growable: GrowableTree,
  options: { readonly generation: Grower; readonly log: Log; readonly signal: AbortSignal },
): Promise<Growth> {
  try {
    return await growTree(growable, { within: path, prompt, dry, adder }, options);
  } catch (error) {
    if (options.signal.aborted) throw new FsError("EINTR", "cancelled; nothing was added");
    const { toFsError } = await import("../../generate/to-fs-error.ts");
    throw toFsError(error, "laying out the files");
  }
}

/** A sentence for each part of the proposal that was left out. */
export function describeLeftOut({ clashes, leftOut }: Pick<Growth, "clashes" | "leftOut">): readonly string[] {
  return [...clashes.map((path) => `${path} exists already, and was left as it is`), ...leftOut];
}
