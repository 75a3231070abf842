/**
 * What a generator configuration adds to a mount: files created by rules, directories listed by generators, and an engine
 * for all content that does not come from a model.
 */
import { memoize } from "../abort.ts";
import { policyText } from "../attributes.ts";
import { forModel } from "../generate/binding.ts";
import type { LoadedConfig } from "../generators/config/load.ts";
import type { RuleSummary } from "../generators/config/rule-summary.ts";
import type { Log } from "../log.ts";
import type { MountedFilesystem } from "../mount/filesystem.ts";
import type { Generate, GenerationRequest, List, NamedFiles, Plant } from "../rpc/generation.ts";
import type { TreePort } from "../rpc/tree-port.ts";
import { explainProblem } from "./configuration/configure.ts";
import { childEnvironment } from "./settings/settings.ts";

export interface Sources extends AsyncDisposable {
  readonly loaded: LoadedConfig;
  readonly summary: readonly RuleSummary[];
  readonly plants: readonly Plant[];
  readonly named: readonly NamedFiles[];
  readonly list: List;
  /** Generates files whose rule names another generator than the model. All others go to `model`. */
  generate(model: Generate): Generate;
  /** The request for the model, as in `generate`; undefined if a rule names another generator. */
  toModel(request: GenerationRequest): GenerationRequest | undefined;
  /** Gives generators access to the tree, and connects them to the mount. */
  attach(mounted: Pick<MountedFilesystem, "tree" | "guard">): void;
}

/** How many generations may run at a time. They mostly wait for databases, servers and programs. */
const CONCURRENCY = 16;
const DEADLINE_MS = 5 * 60_000;

export interface SourcesOptions {
  readonly mountpoint?: string;
  /** Default: the environment of this process. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** Throws a UserError that names the file and the problem. */
export async function openSources(file: string, log: Log, options: SourcesOptions = {}): Promise<Sources> {
  const { mountpoint, environment = childEnvironment({}) } = options;
  const [{ loadConfig }, { createEngine }, { summarize }] = await Promise.all([
    import("../generators/config/load.ts"),
    import("../generate/engine.ts"),
    import("../generators/config/rule-summary.ts"),
  ]);
  const say = log.tagged("generate");
  const loading = loadConfig(file, {
    environment,
    print: (line) => say.info(line),
    ...(mountpoint !== undefined && { mountpoint }),
  });
  const loaded = await loading.catch(async (error: unknown) => {
    throw await explainProblem(file, error);
  });
  const { rules } = loaded;
  say.info(`${rules.all.length} rules and ${loaded.generators.size} generators from ${file}`);
  const tree = Promise.withResolvers<TreePort>();
  const engine = memoize(async () =>
    createEngine({
      model: { complete: () => Promise.reject(new Error("no model is available here")) },
      modelName: "",
      tree: await tree.promise,
      generators: new Map([...loaded.generators].map(([name, { generator }]) => [name, generator])),
      rules,
      concurrency: CONCURRENCY,
      deadlineMs: DEADLINE_MS,
      log: (level, text) => say[level](text),
    }),
  );

  return {
    loaded,
    summary: summarize(rules),
    plants: loaded.plants,
    named: rules.all.flatMap(({ match, generator, looksUp }) => (looksUp ? [{ match: match.source, generator }] : [])),
    list: async (request, signal, listener) => (await engine()).list(request, signal, listener),
    generate: (model) => async (request, signal, sink) => {
      const { asked, refresh } = forModel(rules, request);
      if (asked === undefined) return (await engine()).generate(request, signal, sink);
      const content = await model(asked, signal, sink);
      return refresh === undefined ? content : { ...content, refresh: policyText(refresh) };
    },
    toModel: (request) => forModel(rules, request).asked,
    attach(mounted) {
      tree.resolve(mounted.tree);
      loaded.groups.watch(mounted.guard);
    },
    async [Symbol.asyncDispose]() {
      await loaded[Symbol.asyncDispose]();
    },
  };
}
