/**
 * Assembles everything that generates content from the configuration: provider, model, recordings, rules and engine.
 *
 * There is one engine, made here. Each part is loaded when it is first needed: a mount without a prompt does not look for a
 * server or load a client.
 */

import { statSync } from "node:fs";
import { memoize, memoizeSuccess } from "../abort.ts";
import { FsError, messageOf } from "../errno.ts";
import { type BoundFile, orderFiles } from "../generate/binding.ts";
import type { Engine, EngineModel } from "../generate/engine.ts";
import type { ConfirmStep } from "../generate/spending/budget.ts";
import { type Usage, UsageCounter } from "../generate/spending/usage-counter.ts";
import type { LoadedConfig } from "../generators/config/load.ts";
import type { RuleSummary } from "../generators/config/rule-summary.ts";
import type { Log } from "../log.ts";
import type { MountedFilesystem } from "../mount/filesystem.ts";
import type { StoreStatus } from "../recording/metrics.ts";
import type { RecordingStore } from "../recording/recording.ts";
import type { Generate, List, Recall } from "../rpc/generation.ts";
import type { TreePort } from "../rpc/tree-port.ts";
import { loadGenerators, openEngine } from "./configured-generators.ts";
import { type Grower, layOutMore } from "./layout/growing.ts";
import { type OpenedModel, openModel, withoutPriceIn } from "./model/open-model.ts";
import { type OpenedRecordings, openRecordings } from "./model/open-recordings.ts";
import { type About, describeConfig, formatAbout, withoutPassword } from "./mount-info.ts";
import type { Progress } from "./progress.ts";
import type { Config } from "./settings/settings.ts";

export interface Generation extends Grower, AsyncDisposable {
  /** The requests to the model so far, and their cost. */
  readonly usage: Usage;
  /** What files are generated with; the model and its server are those in use, once they are chosen. */
  readonly about: About;
  /** Warns if --max-usd cannot be enforced, as far as that is known before the first request. */
  checkPrices(): Promise<void>;
  /** Turns a prompt into a snapshot. Rejects with LlmError. */
  layOut(prompt: string, progress: Progress, signal: AbortSignal): Promise<Uint8Array>;
  /** The body of the first request that `layOut` sends. Sends nothing to the model. Rejects with LlmError. */
  showLayoutRequest(prompt: string): Promise<Readonly<Record<string, unknown>>>;
  /**
   * Loads the rules and generators of the configuration. Returns undefined without a configuration. Call it once, before `attach`. Rejects
   * with UserError.
   */
  loadRules(mountpoint?: string): Promise<LoadedConfig | undefined>;
  /** Generates the content of a file. Call `attach` first. */
  readonly generate: Generate;
  readonly recall: Recall;
  /** Lists a directory with its generator. Call `attach` first. */
  readonly list: List;
  /** The files with all that they depend on. */
  addDependencies<T extends BoundFile>(files: readonly T[]): readonly T[];
  /** Records the previous answer to this request again, because the file has its previous content again. */
  restoreRecording(request: string): void;
  /** What files are generated with. Rejects as `generate` does. */
  parts(): Promise<GenerationParts>;
  /** Allows as much again as --confirm-over: see Budget.allow. */
  allow(): Promise<ConfirmStep | undefined>;
  /** Resolves when the usage includes all cancelled requests, and what was recorded is on the disk. */
  settle(): Promise<void>;
  /**
   * At the end: writes all remaining answers to the recordings. Returns the problems, as text: see
   * RecordingStore.settle. Never rejects.
   */
  settleRecordings(): Promise<readonly string[]>;
  /** Loads the modules for generating files, while something else is being waited for. */
  load(): void;
  /** Gives generators access to the tree, and publishes usage and rules through the mount. */
  attach(mounted: Pick<MountedFilesystem, "tree" | "publish" | "beganPending" | "guard">, mountpoint: string): void;
}

export interface GenerationParts extends EngineModel {
  readonly engine: Engine;
}

/** The outline is prepared in advance for snapshots up to this size. */
const PREPARED_BYTES = 16 << 20;

/** The tree of a larger snapshot does not fit into a request as a whole, so tokens must be counted. */
const COUNTED_BYTES = 64 << 10;

/** How long to wait after the mount is ready before loading the parts, so that waiting programs go first. */
const PREPARE_AFTER_MS = 20;

/** `recordings` replaces the folder in the configuration. */
export function openGeneration(config: Config, log: Log, recordings?: RecordingStore): Generation {
  const say = log.withTag("generate");
  const tree = Promise.withResolvers<TreePort>();
  let about = describeConfig(config);
  let publish: MountedFilesystem["publish"] | undefined;
  let mountedAt: string | undefined;
  const tellUsage = () => publish?.("usage.json", () => `${JSON.stringify(tally.usage, null, 2)}\n`);
  const tell = () => {
    tellUsage();
    publish?.("config.json", () => formatAbout(about));
    tellStore();
  };
  // Published before the content is returned, so that the usage includes every file that a program has read.
  const tally = new UsageCounter(tellUsage);
  let opening: OpenedRecordings | undefined;
  let storeStatus: StoreStatus | undefined;
  const tellStore = (status = storeStatus) => {
    storeStatus = status;
    if (status !== undefined) publish?.("recordings", () => JSON.stringify(storeStatus));
  };
  /** Neither a failure nor a model without a server is kept for long: the server may be available the next time. */
  const model = memoizeSuccess(async () => {
    opening ??= await openRecordings(config, log, { recordings, mountpoint: () => mountedAt, publish: tellStore });
    const opened = await openModel(config, log, opening, tally, { warn: warnOnce, mountpoint: () => mountedAt });
    about = {
      ...about,
      model: opened.name,
      ...(opened.server === undefined ? {} : { server: withoutPassword(opened.server) }),
      ...(opened.contextTokens === undefined ? {} : { contextTokens: opened.contextTokens }),
    };
    tell();
    return { ...opened, model: tally.count(opened.model) };
  }, keepMs);
  let rules: { readonly loaded: LoadedConfig; readonly summary: readonly RuleSummary[] } | undefined;
  const engine = memoize(async (): Promise<Engine> => {
    const port = await tree.promise;
    built = await openEngine(rules?.loaded, {
      openModel: model,
      tree: port,
      contentPrompt: guidance,
      depends: config.depends,
      ...(config.concurrency === undefined ? {} : { concurrency: config.concurrency }),
      log: (level, text) => say[level](text),
    });
    return built;
  });
  /** The engine, once it is there. */
  let built: Engine | undefined;
  const warned = new Set<string>();
  function warnOnce(text: string): void {
    if (!warned.has(text)) log.write("warn", "llm", text);
    warned.add(text);
  }
  /** Undefined after a layout, because the tree then contains this prompt itself. */
  let guidance = config.contentPrompt;

  return {
    get usage() {
      return tally.usage;
    },
    get about() {
      return about;
    },
    async checkPrices() {
      const unpriced = config.limits.usd === undefined ? undefined : await withoutPriceIn(config);
      if (unpriced !== undefined) warnOnce(unpriced);
    },
    async layOut(prompt, progress, signal) {
      if (config.mode !== "replay") progress.step("looking for a model");
      const [{ layOutTree }, asked] = await Promise.all([import("./layout/tree-layout.ts"), model()]);
      const guide = guidance;
      const snapshot = await layOutTree({ prompt, guide, ...asked, config, progress, signal, log });
      guidance = undefined;
      const { contentPrompt: _, ...others } = about;
      about = others;
      return snapshot;
    },
    async showLayoutRequest(prompt) {
      const [{ showLayoutRequest }, asked] = await Promise.all([import("./layout/tree-layout.ts"), model()]);
      return showLayoutRequest(prompt, config, asked);
    },
    grow: async (request, signal) => layOutMore(request, { ...(await model()), config, signal }),
    async loadRules(mountpoint) {
      if (config.configuration === undefined) return undefined;
      const print = (line: string) => say.info(line);
      const options = { print, ...(mountpoint !== undefined && { mountpoint }) };
      const [loaded, { summarize }] = await Promise.all([
        loadGenerators(config.configuration, options),
        import("../generators/config/rule-summary.ts"),
      ]);
      const { generators, rules: found } = loaded;
      say.info(`${found.all.length} rules and ${generators.size} generators from ${loaded.file}`);
      rules = { loaded, summary: summarize(found) };
      return loaded;
    },
    generate: async (request, signal, sink) => (await engine()).generate(request, signal, sink),
    recall: (request) => built?.recall(request),
    list: async (request, signal, listener) => (await engine()).list(request, signal, listener),
    addDependencies: (files) => orderFiles(files, config.depends, rules?.loaded.rules),
    async parts() {
      const [built, opened] = await Promise.all([engine(), model().catch(rethrowAsFsError)]);
      return { ...opened, engine: built };
    },
    restoreRecording(request) {
      model()
        .then((opened) => opened.model.restore?.(request))
        .catch(() => {});
    },
    async allow() {
      const step = (await model()).allow?.();
      tellUsage();
      return step;
    },
    async settle() {
      await tally.settle();
      await opening?.store?.flush?.().catch((error: unknown) => log.write("warn", "recording", messageOf(error)));
    },
    async settleRecordings() {
      try {
        return (await opening?.store?.settle?.()) ?? [];
      } catch (error) {
        return [messageOf(error)];
      }
    },
    load() {
      load(config).catch(() => {});
    },
    attach(mounted, mountpoint) {
      mountedAt = mountpoint;
      tree.resolve(mounted.tree);
      publish = mounted.publish;
      if (rules !== undefined) {
        about = { ...about, rules: rules.summary };
        rules.loaded.groups.watch(mounted.guard);
      }
      tell();
      if (mounted.beganPending)
        setTimeout(() => prepare(config, mounted.tree).catch(() => {}), PREPARE_AFTER_MS).unref();
    },
    async [Symbol.asyncDispose]() {
      await rules?.loaded[Symbol.asyncDispose]();
      await opening?.store?.close?.();
    },
  };
}

function keepMs({ unserved }: Pick<OpenedModel, "unserved">): number {
  return unserved ? UNSERVED_MS : Number.POSITIVE_INFINITY;
}

/** How long a model without a server is kept. */
const UNSERVED_MS = 2000;

/** Loads the modules for generating files, so that the first reader does not wait for that. Sends no request. */
async function load(config: Config): Promise<void> {
  const [{ prepareRedaction }, { prepareClient }, { loadTokenCounter }] = await Promise.all([
    import("../generate/context/redact.ts"),
    import("../llm/openai.ts"),
    import("../generate/spending/tokens.ts"),
    import("../generate/context/context.ts"),
    import("../generate/engine.ts"),
    import("../recording/recorded-model.ts"),
    import("../recording/stores/store.ts"),
  ]);
  await prepareRedaction();
  if (config.mode !== "replay") {
    await Promise.all([
      prepareClient(),
      import("../llm/provider.ts"),
      import("../generate/spending/budget.ts"),
      import("../generate/spending/limit-concurrency.ts"),
      import("../llm/prices.ts"),
    ]);
  }
  if (snapshotBytes(config) > COUNTED_BYTES) await loadTokenCounter();
}

/** Like `load`, and also prepares the outline for the first requests. */
async function prepare(config: Config, tree: TreePort): Promise<void> {
  await load(config);
  // The outline of a very large tree takes long, and may never be needed.
  if (snapshotBytes(config) >= PREPARED_BYTES) return;
  const { createContextMaker } = await import("../generate/context/context.ts");
  await createContextMaker(tree, config.contextTokens === undefined ? {} : { tokens: config.contextTokens }).prepare();
}

function snapshotBytes({ from }: Config): number {
  return from === undefined ? 0 : (statSync(from, { throwIfNoEntry: false })?.size ?? 0);
}

/** A failure to open the model fails the file like any other failure of the model. */
async function rethrowAsFsError(error: unknown): Promise<never> {
  if (error instanceof FsError) throw error;
  const { toFsError } = await import("../generate/to-fs-error.ts");
  throw toFsError(error, "the model");
}
