/** A tree whose files are generated as in a mount, where nothing is mounted: for snapshots, and for `run --no-mount`. */
import type { Log } from "../log.ts";
import type { MountedFilesystem } from "../mount/filesystem.ts";
import { openSources } from "./configured-generators.ts";
import type { Generation } from "./generation.ts";
import { findStartingTree } from "./layout/starting-tree.ts";
import { growBeforeMount } from "./mount.ts";
import type { Progress } from "./progress.ts";
import type { Config } from "./settings/settings.ts";

export interface WithoutMountOptions {
  readonly config: Config;
  readonly generation: Generation;
  readonly log: Log;
  readonly progress: Progress;
  /** Cancels until the tree is there. */
  readonly signal: AbortSignal;
}

/**
 * The tree of the configuration: a snapshot, a directory or a prompt, with the files of rules. `use` may generate files.
 * Rejects with the error of a part, or with the signal's reason.
 */
export async function withTree<T>(
  options: WithoutMountOptions,
  use: (filesystem: MountedFilesystem) => Promise<T>,
): Promise<T> {
  const { config, generation, log, signal } = options;
  await using _generation = generation;
  await using sources = config.configFile === undefined ? undefined : await openSources(config.configFile, log);
  if (config.from !== undefined) await generation.checkPrices();
  const from = await findStartingTree(options);
  signal.throwIfAborted();
  const { startFilesystem } = await import("../mount/filesystem.ts");
  await using filesystem = await startFilesystem({
    mountpoint: "/",
    noMount: true,
    ...(config.grow === undefined ? {} : { prepare: (growable) => growBeforeMount(growable, options) }),
    size: config.size,
    inodes: config.inodes,
    ...(from === undefined ? {} : { from }),
    generate: sources?.generate(generation.generate) ?? generation.generate,
    ...(sources === undefined ? {} : { list: sources.list, plants: sources.plants, named: sources.named }),
    onUndone: generation.restoreRecording,
    whenSettled: generation.settled,
    log: (level, tag, text) => log.write(level, tag, text),
    debug: config.debug,
    ...(config.epoch === undefined ? {} : { epoch: config.epoch }),
  });
  generation.attach(filesystem, "", sources?.summary);
  sources?.attach(filesystem);
  const result = await use(filesystem);
  const unsettled = await generation.settleRecordings();
  for (const problem of unsettled) log.write("warn", "recording", problem);
  return result;
}
