/** What a tree is made of, whether it is mounted or not. */
import type { LoadedConfig } from "../generators/config/load.ts";
import type { Log } from "../log.ts";
import type { FilesystemOptions } from "../mount/filesystem.ts";
import type { Adder, GrowableTree } from "../rpc/growth.ts";
import type { StartingTree } from "../rpc/messages.ts";
import type { Generation } from "./generation.ts";
import { describeLeftOut, growTree } from "./layout/growing.ts";
import { reportLayout } from "./layout/layout-progress.ts";
import type { Progress } from "./progress.ts";
import type { Config } from "./settings/settings.ts";

export interface TreeParts {
  readonly config: Config;
  readonly generation: Generation;
  readonly log: Log;
  readonly progress: Progress;
  /** Cancels the preparation of the tree. Without effect once the tree exists. */
  readonly signal: AbortSignal;
}

/** The options that do not depend on where the tree can be used. `from`: undefined for an empty tree. */
export function treeOptions(
  parts: TreeParts,
  configured: LoadedConfig | undefined,
  from: StartingTree | undefined,
): Omit<FilesystemOptions, "mountpoint"> {
  const { config, generation, log } = parts;
  return {
    size: config.size,
    inodes: config.inodes,
    ...(from === undefined ? {} : { from }),
    ...(config.grow === undefined ? {} : { prepare: (growable) => growBeforeUse(growable, parts) }),
    generate: generation.generate,
    recall: generation.recall,
    ...(configured === undefined
      ? {}
      : { list: generation.list, plants: configured.plants, named: configured.rules.named }),
    onUndone: generation.restoreRecording,
    whenSettled: generation.settle,
    log: (level, tag, text) => log.write(level, tag, text),
    debug: config.debug,
    ...(config.epoch === undefined ? {} : { epoch: config.epoch }),
  };
}

/** Rejects with LlmError or FsError. */
async function growBeforeUse(
  growable: GrowableTree,
  { config, generation, log, progress, signal }: TreeParts,
): Promise<void> {
  const adder = currentAdder();
  const request = { within: "/", prompt: config.grow?.text ?? "", dry: false, adder };
  progress.step("laying out what to add");
  const growth = await growTree(
    growable,
    { ...request, onProgress: reportLayout(progress) },
    { generation, log, signal },
  );
  signal.throwIfAborted();
  for (const line of describeLeftOut(growth)) log.write("warn", "generate", line);
}

/** This process, as the one that adds entries to a tree. */
export function currentAdder(): Adder {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, pid: process.pid };
}
