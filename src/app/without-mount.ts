/**
 * A tree whose files are generated as in a mount, where nothing is mounted: for snapshots, `run --no-mount`, and
 * `generators test`. It runs on the filesystem thread, which then has no kernel. For a tree in which nothing is generated,
 * see OfflineTree.
 */
import { abortable, memoize } from "../abort.ts";
import { DEFAULT_GENERATOR, METADATA } from "../attributes.ts";
import { FsError } from "../errno.ts";
import type { LoadedConfig } from "../generators/config/load.ts";
import type { MountedFilesystem } from "../mount/filesystem.ts";
import { type GeneratedContent, type GenerationRequest, NO_TICKET } from "../rpc/generation.ts";
import type { LogLevel } from "../rpc/messages.ts";
import type { TreePort } from "../rpc/tree-port.ts";
import { openEngine } from "./configured-generators.ts";
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

export interface GeneratorTestOptions {
  /** Cancels. */
  readonly signal: AbortSignal;
  readonly log: (level: LogLevel, text: string) => void;
}

/**
 * Generates one file by its rule, in a tree that has only what rules create. No model is available. Rejects with FsError, or
 * with the signal's reason.
 */
export async function testGenerator(
  configured: LoadedConfig,
  path: string,
  { signal, log }: GeneratorTestOptions,
): Promise<GeneratedContent> {
  const { startFilesystem } = await import("../mount/filesystem.ts");
  const tree = Promise.withResolvers<TreePort>();
  const engine = memoize(async () =>
    openEngine(configured, { openModel: refuseModel, tree: explainMissing(await tree.promise), log }),
  );
  await using filesystem = await startFilesystem({
    mountpoint: "/",
    noMount: true,
    plants: configured.plants,
    named: configured.rules.named,
    generate: async (...request) => (await engine()).generate(...request),
    list: async (...request) => (await engine()).list(...request),
    log: (level, _, text) => (level === "error" ? log(level, text) : undefined),
    signal,
  });
  tree.resolve(filesystem.tree);
  const { state } = await filesystem.tree.stat(path).catch(() => ({ state: undefined }));
  // A file need not exist: whatever a rule matches can be tested.
  if (state !== "pending") return await (await engine()).generate(createRequest(path), signal);
  const bytes = await abortable(signal, filesystem.tree.read(path));
  const { xattrs } = await filesystem.tree.stat(path);
  const metadata = [...xattrs].filter(([name]) => name.startsWith(METADATA));
  return { bytes, metadata: new Map(metadata.map(([name, value]) => [name.slice(METADATA.length), value])) };
}

const refuseModel = () => Promise.reject(new Error("a model is available only in a mount"));

function explainMissing(tree: TreePort): TreePort {
  const read: TreePort["read"] = (path, requester) =>
    tree.read(path, requester).catch((error: unknown) => {
      if (!(error instanceof FsError) || error.code !== "ENOENT") throw error;
      throw new FsError("ENOENT", "no rule creates this file, and there is no mount that could have it", { path });
    });
  return { ...tree, read };
}

function createRequest(path: string): GenerationRequest {
  const file = { path, type: "file", state: "pending", mode: 0o644, uid: 0, gid: 0, xattrs: new Map() } as const;
  return { ticket: NO_TICKET, ino: 0, path, generator: DEFAULT_GENERATOR, file, prompts: [], pause: 0 };
}
