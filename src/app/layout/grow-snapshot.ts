/** Grows a snapshot, or a copy of a directory, without a mount. */
import { FsError } from "../../errno.ts";
import type { Log } from "../../log.ts";
import { OfflineTree } from "../../offline/offline-tree.ts";
import type { Growth } from "../../rpc/growth.ts";
import { UserError } from "../errors.ts";
import type { Generation } from "../generation.ts";
import type { Progress } from "../progress.ts";
import type { Config } from "../settings/settings.ts";
import { reportLayout } from "./layout-progress.ts";
import { findSource } from "./starting-tree.ts";

export interface GrownSnapshot {
  readonly growth: Growth;
  /** The whole tree, in pieces. */
  readonly pieces: AsyncIterable<Uint8Array>;
}

export interface SnapshotGrowthOptions {
  readonly from: string;
  /** The directory that gets the files; "/" for any place in the tree. */
  readonly within: string;
  readonly prompt: string;
  readonly dry: boolean;
  readonly config: Pick<Config, "size" | "inodes">;
  readonly generation: Pick<Generation, "grow">;
  readonly log: Log;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Rejects with UserError, LlmError, or an error of the snapshot or the directory. */
export async function growSnapshot(options: SnapshotGrowthOptions): Promise<GrownSnapshot> {
  const { from, within, prompt, dry, config, generation, log, progress, signal } = options;
  const source = await findSource(from);
  progress.step(`reading ${from}`);
  const warn = (message: string) => log.write("warn", "snapshot", message);
  const space = { bytes: config.size, inodes: config.inodes };
  const tree = new OfflineTree(source, { warn, space, rewrites: true });
  progress.step("laying out what to add");
  try {
    const request = { tree: tree.port, within, prompt, onProgress: reportLayout(progress) };
    const planned = await generation.grow(request, signal);
    if (!dry) tree.add(planned.entries);
    return { growth: { ...planned, added: !dry }, pieces: tree.snapshot() };
  } catch (error) {
    if (error instanceof FsError) throw new UserError("input", error.message, { cause: error });
    throw error;
  }
}
