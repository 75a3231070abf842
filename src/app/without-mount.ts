/** A tree whose files are generated as in a mount, where nothing is mounted: for snapshots, and for `run --no-mount`. */
import type { MountedFilesystem } from "../mount/filesystem.ts";
import { findStartingTree } from "./layout/starting-tree.ts";
import { type TreeParts, treeOptions } from "./tree-options.ts";

/**
 * The tree of the configuration: a snapshot, a directory or a prompt, with the files of rules. `use` may generate files.
 * Rejects with the error of a part, or with the signal's reason.
 */
export async function withTree<T>(options: TreeParts, use: (filesystem: MountedFilesystem) => Promise<T>): Promise<T> {
  const { config, generation, log, signal } = options;
  await using _generation = generation;
  const configured = await generation.loadRules();
  if (config.from !== undefined) await generation.checkPrices();
  const from = await findStartingTree(options);
  signal.throwIfAborted();
  const { startFilesystem } = await import("../mount/filesystem.ts");
  await using filesystem = await startFilesystem({
    ...treeOptions(options, configured, from),
    mountpoint: "/",
    noMount: true,
  });
  generation.attach(filesystem, "");
  const result = await use(filesystem);
  const unsettled = await generation.settleRecordings();
  for (const problem of unsettled) log.write("warn", "recording", problem);
  return result;
}
