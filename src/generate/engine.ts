/**
 * The engine answers generation requests by running generators.
 *
 * It binds each file to its generator, builds the context of the generator, and turns its result into bytes and its failure
 * into an errno. Its slots have the queue, the limits, deadlines and cancellation. It does not know inodes and readers (the
 * filesystem waits, retries and runs one generation per file), or servers and recordings (they are behind the model).
 */
import { abortable, memoize } from "../abort.ts";
import { DEFAULT_GENERATOR, GENERATOR, METADATA, policyText } from "../attributes.ts";
import { FsError } from "../errno.ts";
import { createLlmGenerator, type LlmContext, type LlmGenerator } from "../generators/builtin/llm.ts";
import { parseReasons, REWRITTEN } from "../generators/builtin/rewritten.ts";
import type { Rule, Rules } from "../generators/config/rules.ts";
import type { ContentGenerator, FileContent, GeneratorLog, ListContext } from "../generators/contract.ts";
import { createBuiltInGenerators } from "../generators/index.ts";
import type { ChatMessage, ChatRequest, LanguageModel } from "../llm/llm.ts";
import { Semaphore } from "../llm/semaphore.ts";
import type {
  ContentSink,
  Generate,
  GeneratedContent,
  GenerationRequest,
  List,
  ListingRequest,
  Recall,
  Rewrite,
} from "../rpc/generation.ts";
import type { LogLevel } from "../rpc/messages.ts";
import type { TreeEntry, TreePort } from "../rpc/tree-port.ts";
import { type BindingOptions, type BoundRequest, bindRequest, originOf, settingOf } from "./binding.ts";
import { deliver, isFileContent, isUnchanged, metadataText } from "./content.ts";
import { askForFileAlone, rewritePrompt } from "./context/prompts.ts";
import { redact } from "./context/redact.ts";
import { textOf } from "./context/related.ts";
import { LEFT_OUT, stamp } from "./provenance.ts";
import { createRecall } from "./recall.ts";
import { listDirectory } from "./run-list.ts";
import { sightOf } from "./sight.ts";
import { type SlotPlace, Slots } from "./slots.ts";
import { stableEntry, stableFile } from "./stable-view.ts";
import { toFsError } from "./to-fs-error.ts";

/** The model that generates the files of the default generator. */
export interface EngineModel {
  readonly model: LanguageModel;
  /** The model for files without a model of their own or of a parent directory. */
  readonly name: string;
  /** The maximum tokens sent for a file: see ContextOptions.tokens. */
  readonly contextTokens?: number;
  /** As in OpenedModel. */
  readonly unserved?: true;
}

export interface EngineLimits {
  /** The number of parallel generations, not counting those that wait for another file. */
  readonly concurrency?: number;
  /** The time limit of a generation without one of its own, not counting the wait for a slot. */
  readonly deadlineMs?: number;
}

/** `concurrency` and `deadlineMs` limit what the model generates. Default: 4, 20 minutes. */
export interface EngineOptions extends BindingOptions, EngineLimits {
  /** Called when the first file needs the model, and again if it rejected. */
  readonly openModel: () => Promise<EngineModel>;
  readonly tree: TreePort;
  /** The user's own generators by name. They override built-in ones of the same name, but not the model. */
  readonly generators?: ReadonlyMap<string, ContentGenerator>;
  /** Chooses the generator and its options for a file. Default: the generator that the file names, without options. */
  readonly rules?: Pick<Rules, "rulesBelow" | "bind" | "makes" | "hide">;
  /**
   * The limits for all other generators, which mostly wait for databases, servers and programs. Default: 16, 5 minutes.
   */
  readonly others?: EngineLimits;
  /** The maximum size of generated content in bytes. Default: 256 MiB. */
  readonly maxContentBytes?: number;
  /** Whether to remove likely secrets from requests. Default: true. */
  readonly redact?: boolean;
  readonly temperature?: number;
  readonly log?: (level: LogLevel, text: string) => void;
}

export interface Engine extends AsyncDisposable {
  /** Rejects only with FsError, with EINTR when the signal fires. */
  readonly generate: Generate;
  readonly recall: Recall;
  /** Lists a directory with its generator. Rejects like `generate`. */
  readonly list: List;
  /** Chooses the generator of a file. `request` then contains what rules and settings add. Throws FsError EPERM. */
  bind(request: GenerationRequest): BoundRequest;
  /** The exact request of the generator "llm" for a file, without secrets. Sends nothing and generates nothing. */
  preview(request: GenerationRequest): Promise<readonly ChatMessage[]>;
  /**
   * The exact request of the generator "llm" for a file whose dependencies are generated; undefined if the file has another
   * generator. Rejects like `generate`.
   */
  requestFor(request: GenerationRequest, signal: AbortSignal): Promise<ChatRequest | undefined>;
}

export function createEngine(options: EngineOptions): Engine {
  const { tree, concurrency = 4, deadlineMs = 20 * 60_000, maxContentBytes = 256 * 1024 * 1024 } = options;
  const { concurrency: othersAtOnce = 16, deadlineMs: othersDeadlineMs = 5 * 60_000 } = options.others ?? {};
  const hide = (text: string) => options.rules?.hide(text) ?? text;
  const log = (level: LogLevel, text: string) => options.log?.(level, hide(text));
  const redaction = options.redact === undefined ? {} : { redact: options.redact };
  const sight = sightOf(tree, redaction);
  const composers = new Semaphore(COMPOSED_AT_ONCE);
  function createWriter({ model, name, contextTokens }: EngineModel) {
    const limited = sightOf(tree, { ...redaction, ...(contextTokens !== undefined && { tokens: contextTokens }) });
    async function compose(path: string, contextOfRule: LlmContext): Promise<readonly ChatMessage[]> {
      // Composing does not wait for anything else, so this is never long.
      const composed = limited(contextOfRule.viewer).context.composeAtOnce(path, contextOfRule);
      if (composed !== undefined) return composed;
      using composer = await composers.take();
      contextOfRule.signal.throwIfAborted();
      const read = (other: string) => {
        // This waits for another file to be generated, and that file must be composed too.
        composer[Symbol.dispose]();
        return contextOfRule.read(other);
      };
      return await limited(contextOfRule.viewer).context.compose(path, { ...contextOfRule, read });
    }
    const generator = createLlmGenerator({
      model,
      modelName: name,
      compose,
      composeAtOnce: (path, asked) => limited(asked.viewer).context.composeAtOnce(path, asked),
      askForFileAlone,
      askToRewrite: (path, { instruction }) => rewritePrompt(path, instruction),
      ...(options.temperature !== undefined && { temperature: options.temperature }),
    });
    return { generator, sight: limited };
  }
  let current: { readonly opened: EngineModel; readonly writer: ReturnType<typeof createWriter> } | undefined;
  /** The model may be opened again, if its server could not be used. */
  async function writer() {
    const opened = await options.openModel();
    if (current?.opened !== opened) current = { opened, writer: createWriter(opened) };
    return current.writer;
  }
  /** A failure to open the model fails the file like any other failure of the model. */
  const openWriter = () =>
    writer().catch((error: unknown) => {
      throw toFsError(error, "the model");
    });
  /** Unlike the others, this generator reports the start of its work itself, because that is when the request is sent. */
  const llm: LlmGenerator = {
    generate: async (path, context: LlmContext) => (await openWriter()).generator.generate(path, context),
    requestFor: async (path, context) => (await openWriter()).generator.requestFor(path, context),
    recall: (path, context) =>
      current?.opened.unserved === true ? undefined : current?.writer.generator.recall(path, context),
  };
  const builtIn = createBuiltInGenerators(llm);
  const generators = new Map([...builtIn, ...(options.generators ?? []), [DEFAULT_GENERATOR, llm]]);
  const usesModel = ({ binding }: BoundRequest) => generators.get(binding.generator) === llm;
  const ofModel = new Slots({ concurrency, deadlineMs, hide, log });
  const ofOthers = new Slots({ concurrency: othersAtOnce, deadlineMs: othersDeadlineMs, hide, log });

  /**
   * The files, by inode number, that failed because the model's server could not be reached. They are not paused: the
   * client decides when to look for the server, and a file must not wait longer than that.
   */
  const unreached = new Set<number>();

  const bind = (request: GenerationRequest): BoundRequest => bindRequest(request, options);

  const outlineOf = (seen: TreePort) => async (): Promise<readonly TreeEntry[]> =>
    (await seen.outline()).map(stableEntry);

  function loggerOf(path: string): GeneratorLog {
    const say = (level: LogLevel) => (message: string) => log(level, `${path}: ${message}`);
    return { debug: say("debug"), info: say("info"), warn: say("warn") };
  }

  /** A program that waits for another file releases its slot in the meantime, like a generator that reads a file. */
  function createPlaceSwitch(place: SlotPlace | undefined, ticket: number, pid: number): void {
    tree.setMaker?.(ticket, pid, (over) => {
      place?.waitFor(() => over).catch(() => {});
    });
  }

  function contextFor({ request, binding }: BoundRequest, signal: AbortSignal, place?: SlotPlace): LlmContext {
    const { tree: seen, context } = sight(request.viewer);
    const related = memoize(() => context.related(request.file, request.prompts));
    const waiting = <T>(work: () => Promise<T>): Promise<T> => {
      const wait = () => abortable(signal, work());
      return place === undefined ? wait() : place.waitFor(wait);
    };
    return {
      ...(request.viewer !== undefined && { viewer: request.viewer }),
      ...(request.rulePrompt !== undefined && { rulePrompt: request.rulePrompt }),
      file: stableFile(request.file),
      prompts: request.prompts,
      ...(request.model !== undefined && { model: request.model }),
      options: binding.options,
      params: binding.params,
      ...(binding.match !== undefined && { match: binding.match }),
      ...(request.renews === true && { previous: metadataOf(request) }),
      ...(request.again === true && { again: true }),
      maxBytes: binding.maxBytes ?? maxContentBytes,
      setting: (name) => settingOf(seen, request, name),
      outline: memoize(outlineOf(seen)),
      related,
      list: async (path) => (await waiting(() => seen.list(path, request.ticket))).map(stableEntry),
      read: (path) => {
        const reading = waiting(() => seen.read(path, request.ticket));
        // If a generator does not await a read, its failure must not end the process as an unhandled rejection.
        reading.catch(() => {});
        return reading;
      },
      working: (pid) => createPlaceSwitch(place, request.ticket, pid),
      ...(place && { onPhase: place.onPhase }),
      signal,
      log: loggerOf(request.path),
    };
  }

  function listContext(request: ListingRequest, rule: Rule, signal: AbortSignal, place: SlotPlace): ListContext {
    const { tree: seen } = sight(request.viewer);
    return {
      options: rule.options,
      match: rule.match.source,
      outline: memoize(outlineOf(seen)),
      list: async (path) =>
        (await place.waitFor(() => abortable(signal, seen.list(path, request.ticket)))).map(stableEntry),
      read: (path) => place.waitFor(() => abortable(signal, seen.read(path, request.ticket))),
      working: (pid) => createPlaceSwitch(place, request.ticket, pid),
      signal,
      log: loggerOf(request.path),
    };
  }

  async function run(
    bound: BoundRequest,
    signal: AbortSignal,
    place: SlotPlace,
    sink: ContentSink | undefined,
  ): Promise<GeneratedContent> {
    const { request, binding } = bound;
    const leftOut = new Set<string>();
    const origin = `${request.path}: generator "${binding.generator}"`;
    const generator = requireGenerator(binding.generator, origin);
    if (request.rewrite !== undefined && generator !== llm) {
      throw new FsError("EOPNOTSUPP", `${origin} cannot rewrite a file from an instruction`);
    }
    const rewrite = request.rewrite && (await prepareRewrite(request, request.rewrite));
    const common = contextFor(bound, signal, place);
    const leaveOut = (other: string) => {
      if (!leftOut.has(other)) common.log.warn(`it depends on ${other}, which does not exist and is left out`);
      leftOut.add(other);
    };
    const context: LlmContext = { ...common, leaveOut, ...(rewrite && { rewrite }) };
    if (generator !== llm) place.stages.set("working");
    const result: unknown = await generator.generate(originOf(request), context);
    if (isUnchanged(result)) {
      if (request.renews !== true)
        throw new FsError("EIO", `${origin} returned "unchanged" for a file that has no content`);
      return { bytes: new Uint8Array(0), metadata: new Map(), unchanged: true, ...refreshOf(bound) };
    }
    if (!isFileContent(result)) throw new FsError("EIO", `${origin} returned an object without "content"`);
    const limits = { bytes: binding.maxBytes ?? maxContentBytes };
    const content = await deliver(result.content, origin, limits, signal, sink);
    const about = { ...result.metadata, ...(leftOut.size > 0 && { [LEFT_OUT]: [...leftOut].join("\n") }) };
    return describe(bound, origin, content, about);
  }

  function describe(
    bound: BoundRequest,
    origin: string,
    content: Pick<GeneratedContent, "bytes" | "streamed">,
    about: FileContent["metadata"],
  ): GeneratedContent {
    const metadata = new Map<string, string>();
    const warn = (text: string) => log("warn", `${origin}: ${text}`);
    for (const [key, value] of metadataText(about, warn)) metadata.set(key, hide(value));
    return { ...content, metadata, ...refreshOf(bound) };
  }

  async function prepareRewrite(request: GenerationRequest, { content, instruction }: Rewrite) {
    const text = textOf(content, LONGEST_REWRITTEN);
    if (text === undefined) {
      const limit = `text of at most ${LONGEST_REWRITTEN} bytes`;
      throw new FsError("EFBIG", `${request.path} cannot be written again: its content is not ${limit}`);
    }
    const earlier = parseReasons(request.file.xattrs.get(`${METADATA}${REWRITTEN}`));
    return { content: options.redact === false ? text : await redact(text), instruction, earlier };
  }

  function requireGenerator(name: string, origin: string): ContentGenerator {
    const generator = generators.get(name);
    if (generator !== undefined) return generator;
    const known = [...generators.keys()].sort().join(", ");
    throw new FsError("EIO", `${origin} does not exist; set ${GENERATOR} to one of: ${known}`);
  }

  const recall = createRecall({
    ...{ bind, usesModel, llm, loggerOf, describe, maxBytes: maxContentBytes },
    onRecall: ({ ino }) => unreached.delete(ino),
  });

  return {
    bind,
    recall,
    async generate(request, signal, listener) {
      const bound = bind(request);
      const { generator, timeoutMs } = bound.binding;
      const slots = usesModel(bound) ? ofModel : ofOthers;
      if (slots === ofModel) {
        const first = current === undefined;
        // It takes no time of the generation's deadline.
        await openWriter();
        const recalled = first && !signal.aborted ? recall(request) : undefined;
        if (recalled !== undefined) return recalled;
      }
      const work = slots.run({
        origin: `${request.path}: generator "${generator}"`,
        signal,
        deadlineMs: timeoutMs,
        pauseMs: unreached.has(request.ino) ? 0 : request.pause,
        listener,
        run: (stop, place) => stamp(generator, () => run(bound, stop, place, listener)),
      });
      if (slots !== ofModel) return await work;
      try {
        const content = await work;
        unreached.delete(request.ino);
        return content;
      } catch (error) {
        if (error instanceof FsError && error.code === "EHOSTUNREACH") unreached.add(request.ino);
        else unreached.delete(request.ino);
        throw error;
      }
    },
    list(request, signal, listener) {
      const { path, generator } = request;
      const origin = `${path}: listing by generator "${generator}"`;
      const rules = options.rules?.rulesBelow(path, generator) ?? [];
      return ofOthers.run({
        origin,
        signal,
        deadlineMs: Math.max(0, ...rules.map(({ timeoutMs }) => timeoutMs ?? othersDeadlineMs)) || undefined,
        pauseMs: request.pause,
        listener,
        run(stop, place) {
          place.stages.set("working");
          const about = (rule: Rule) => listContext(request, rule, stop, place);
          return listDirectory(path, requireGenerator(generator, origin), rules, about, (text) =>
            log("warn", `${origin}: ${text}`),
          );
        },
      });
    },
    async requestFor(request, signal) {
      const bound = bind(request);
      if (!usesModel(bound)) return undefined;
      try {
        return await llm.requestFor(originOf(request), contextFor(bound, signal));
      } catch (error) {
        throw toFsError(error, `${request.path}: generator "${bound.binding.generator}"`);
      }
    },
    async preview(request) {
      const bound = bind(request);
      const { tree: seen, context } = (await openWriter()).sight(request.viewer);
      const asked = contextFor(bound, new AbortController().signal);
      const read = async (path: string) => (await seen.readStatic(path, PREVIEWED)) ?? NOT_YET;
      return context.compose(request.path, { ...asked, read });
    },
    async [Symbol.asyncDispose]() {
      for (const [name, generator] of generators) {
        try {
          await generator.dispose?.();
        } catch (error) {
          log("warn", `generator "${name}" failed while it was disposed: ${String(error)}`);
        }
      }
    },
  };
}

/** A low number, so that the first request is sent while the next ones are being composed. */
const COMPOSED_AT_ONCE = 4;

/** The limit for the content of a file that is written again. */
const LONGEST_REWRITTEN = 1024 * 1024;

/** The limit for file contents in a preview, and the placeholder for a file that would be generated first. */
const PREVIEWED = 1024 * 1024;
const NOT_YET = new TextEncoder().encode("(the content of this file, which is generated first)\n");

function refreshOf({ binding: { refresh } }: BoundRequest): Pick<GeneratedContent, "refresh"> {
  return refresh === undefined ? {} : { refresh: policyText(refresh) };
}

function metadataOf({ file }: GenerationRequest): Readonly<Record<string, string>> {
  const metadata = [...file.xattrs].filter(([name]) => name.startsWith(METADATA));
  return Object.fromEntries(metadata.map(([name, value]) => [name.slice(METADATA.length), value]));
}
