/**
 * What generating would ask the model, without asking: the exact requests, and which of them recordings answer.
 *
 * The requests come from the engine itself, with a model that answers from recordings and refuses the rest; so what is
 * foreseen is what is sent. A file that depends on one whose content no recording has cannot be foreseen exactly: its
 * request is made with a placeholder, and says so.
 */
import { DEFAULT_GENERATOR, ORIGIN } from "../attributes.ts";
import { FsError } from "../errno.ts";
import type { Section } from "../generate/context/prompts.ts";
import { createEngine, type EngineOptions } from "../generate/engine.ts";
import { sightOf } from "../generate/sight.ts";
import { countInputTokens } from "../generate/spending/budget.ts";
import { type ChatRequest, type LanguageModel, LlmError } from "../llm/llm.ts";
import { requestKey } from "../recording/key.ts";
import type { Recording, RecordingStore } from "../recording/recording.ts";
import type { GenerationRequest } from "../rpc/generation.ts";
import type { TreePort } from "../rpc/tree-port.ts";

export interface ForesightOptions
  extends Pick<EngineOptions, "modelName" | "redact" | "temperature" | "contextTokens"> {
  /** A tree that does not change. Reads of a pending file reject with EAGAIN. */
  readonly tree: TreePort;
  /** What the first reader of a file asks for. */
  request(path: string): GenerationRequest;
  /** What of it goes to the model; undefined: another generator makes the file. Default: what names "llm". */
  readonly toModel?: (request: GenerationRequest) => GenerationRequest | undefined;
  /** Who makes what does not go to the model. Default: whom the file names. */
  readonly maker?: (request: GenerationRequest) => string;
  /** Absent: nothing is recorded. */
  readonly store?: RecordingStore;
}

export interface Foreseen {
  readonly path: string;
  /** The generator that makes it. */
  readonly generator: string;
  /** Absent where no model is asked, or the request cannot be made. */
  readonly asks?: Asked;
  /** Why the request cannot be made. */
  readonly failure?: FsError;
}

export interface Asked {
  readonly request: ChatRequest;
  readonly key: string;
  readonly recording?: Recording;
  /** False: it depends on a content that is known only when that is made. */
  readonly exact: boolean;
  /** Tokens sent. */
  readonly inputTokens: number;
}

export interface Foresight {
  /** Of one file. Does not reject. */
  foresee(path: string): Promise<Foreseen>;
  /** The parts of the user's message for a file, before secrets are taken out. Rejects with FsError. */
  sections(path: string): Promise<readonly Section[]>;
}

/** What stands for a content that nobody knows yet. */
const UNKNOWN = new TextEncoder().encode("(the content of this file, which is generated first)\n");

interface DryRunOutcome {
  readonly foreseen: Foreseen;
  /** Absent: not known before it is made. */
  readonly content?: Uint8Array;
}

export function createForesight(options: ForesightOptions): Foresight {
  const { tree, store } = options;
  const toModel =
    options.toModel ??
    ((request: GenerationRequest) => (request.generator === DEFAULT_GENERATOR ? request : undefined));
  const outcomes = new Map<string, Promise<DryRunOutcome>>();
  /** By label. */
  const captured = new Map<string, Omit<Asked, "exact" | "inputTokens">>();
  /** Who waits for whom, by path. */
  const waits = new Map<string, Set<string>>();
  /** Files in whose request a content is unknown. */
  const inexact = new Set<string>();
  const byTicket = new Map<number, string>();
  const never = new AbortController().signal;

  const model: LanguageModel = {
    async complete(request, { label = "" } = {}) {
      const key = requestKey(request);
      const recording = await store?.get(key, label, request);
      captured.set(label, { request, key, ...(recording && { recording }) });
      if (recording === undefined) throw new LlmError("unrecorded", `${label} is not recorded`);
      return { ...recording.answer, key, findRecorded: true };
    },
  };

  async function read(from: TreePort, path: string, requester?: number): Promise<Uint8Array> {
    const reader = requester === undefined ? undefined : byTicket.get(requester);
    try {
      return await from.read(path, requester);
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== "EAGAIN") throw error;
    }
    if (reader !== undefined) refuseCycle(reader, path);
    const { foreseen, content } = await findOutcome(path);
    if (foreseen.failure !== undefined) throw foreseen.failure;
    if (reader !== undefined && (content === undefined || inexact.has(path))) inexact.add(reader);
    return content ?? UNKNOWN;
  }

  function refuseCycle(reader: string, path: string): void {
    /** For each file that is found, the one that waits for it. Each is looked at once, however many ways lead there. */
    const waiting = new Map([[path, reader]]);
    const found = [path];
    for (let at = found.pop(); at !== undefined && at !== reader; at = found.pop()) {
      for (const next of waits.get(at) ?? []) {
        if (waiting.has(next)) continue;
        waiting.set(next, at);
        found.push(next);
      }
    }
    if (path === reader || waiting.has(reader)) {
      const loop = [reader];
      for (let at = waiting.get(reader); at !== undefined && at !== reader; at = waiting.get(at)) loop.unshift(at);
      throw new FsError("EDEADLK", `files that are made from each other: ${[reader, ...loop].join(" → ")}`);
    }
    waits.set(reader, (waits.get(reader) ?? new Set()).add(path));
  }

  const reading = (from: TreePort): TreePort => ({
    ...from,
    read: (path, requester) => read(from, path, requester),
    ...(from.viewAs && { viewAs: (uid) => reading(from.viewAs?.(uid) ?? from) }),
  });
  const port = reading(tree);
  const engine = createEngine({
    model,
    modelName: options.modelName,
    tree: port,
    concurrency: 16,
    ...(options.redact !== undefined && { redact: options.redact }),
    ...(options.temperature !== undefined && { temperature: options.temperature }),
    ...(options.contextTokens !== undefined && { contextTokens: options.contextTokens }),
  });
  const sight = sightOf(port, {
    ...(options.redact !== undefined && { redact: options.redact }),
    ...(options.contextTokens !== undefined && { tokens: options.contextTokens }),
  });

  function findRequest(path: string): GenerationRequest | undefined {
    const request = options.request(path);
    byTicket.set(request.ticket, path);
    return toModel(request);
  }

  async function look(path: string): Promise<DryRunOutcome> {
    const wanted = options.request(path);
    const generator = options.maker?.(wanted) ?? wanted.generator;
    const request = findRequest(path);
    if (request === undefined) return { foreseen: { path, generator } };
    const label = request.file.xattrs.get(ORIGIN) ?? request.path;
    let content: Uint8Array | undefined;
    let failure: FsError | undefined;
    try {
      content = (await engine.generate({ ...request, generator: DEFAULT_GENERATOR }, never)).bytes;
    } catch (error) {
      failure = error instanceof FsError ? error : new FsError("EIO", String(error), { cause: error });
    }
    const capture = captured.get(label);
    if (capture === undefined) return { foreseen: { path, generator, ...(failure && { failure }) } };
    const asks = { ...capture, exact: !inexact.has(path), inputTokens: await countInputTokens(capture.request) };
    return { foreseen: { path, generator, asks }, ...(content && { content }) };
  }

  function findOutcome(path: string): Promise<DryRunOutcome> {
    const known = outcomes.get(path);
    if (known !== undefined) return known;
    const found = look(path).catch((error: unknown): DryRunOutcome => {
      const failure = error instanceof FsError ? error : new FsError("EIO", String(error), { cause: error });
      return { foreseen: { path, generator: "?", failure } };
    });
    outcomes.set(path, found);
    return found;
  }

  return {
    foresee: async (path) => (await findOutcome(path)).foreseen,
    async sections(path) {
      const request = findRequest(path);
      if (request === undefined) return [];
      const { file, prompts, ticket, viewer } = request;
      const { tree: seen, context } = sight(viewer);
      return context.sections(path, { file, prompts, read: (one) => seen.read(one, ticket) });
    },
  };
}
