/**
 * Computes the exact requests that generating would send, without sending them, and which of them are recorded.
 *
 * The requests come from the engine itself, with a model that answers from recordings and refuses the rest. So the computed
 * request is the one that would be sent. If a file depends on a file without content or recording, its request contains a
 * placeholder and is marked as not exact.
 */

import { DEFAULT_GENERATOR, ORIGIN } from "../attributes.ts";
import { FsError } from "../errno.ts";
import type { Section } from "../generate/context/prompts.ts";
import { createEngine, type EngineOptions } from "../generate/engine.ts";
import { sightOf } from "../generate/sight.ts";
import { countInputTokens } from "../generate/spending/budget.ts";
import { countTokens } from "../generate/spending/tokens.ts";
import { type ChatRequest, type LanguageModel, LlmError } from "../llm/llm.ts";
import { requestKey } from "../recording/key.ts";
import type { Recording, RecordingStore } from "../recording/recording.ts";
import { findWay, waitsForItself } from "../rpc/cycle.ts";
import type { GenerationRequest } from "../rpc/generation.ts";
import type { TreePort } from "../rpc/tree-port.ts";
import type { OfflineTree } from "./offline-tree.ts";

export interface ForesightOptions
  extends Pick<EngineOptions, "rules" | "contentPrompt" | "depends" | "redact" | "temperature"> {
  /** The model for files without a model of their own or of a parent directory. */
  readonly modelName: string;
  /** The maximum tokens sent for a file: see ContextOptions.tokens. */
  readonly contextTokens?: number;
  /** It must not change in the meantime. */
  readonly tree: Pick<OfflineTree, "port" | "request">;
  /** Absent if there are no recordings. */
  readonly store?: RecordingStore;
}

export interface Foreseen {
  readonly path: string;
  /** The generator of the file. */
  readonly generator: string;
  /** Absent if no model is used, or if the request cannot be built. */
  readonly asks?: Asked;
  /** Why the request cannot be built. */
  readonly failure?: FsError;
}

export interface Asked {
  readonly request: ChatRequest;
  readonly key: string;
  readonly recording?: Recording;
  /** False if it depends on a file that is not generated yet. */
  readonly exact: boolean;
  /** The number of tokens sent. */
  readonly inputTokens: number;
  /** The files that it depends on. Absent if there are none. */
  readonly shown?: Shown;
}

export interface Shown {
  /** The tokens of those whose content is known. They are part of `inputTokens`. */
  readonly tokens: number;
  /** The number of those whose content is not known yet. */
  readonly unknown: number;
  /** The paths of those that are not generated yet. */
  readonly pending: readonly string[];
}

export interface Foresight {
  /** Computes the request of one file. Does not reject. */
  foresee(path: string): Promise<Foreseen>;
  /** The parts of the user message for a file, before secrets are removed. Rejects with FsError. */
  sections(path: string): Promise<readonly Section[]>;
}

/** The placeholder for content that is not generated yet. */
const UNKNOWN = new TextEncoder().encode("(the content of this file, which is generated first)\n");

/** More of a file is not shown. */
const LONGEST = 1024 * 1024;

interface DryRunOutcome {
  readonly foreseen: Foreseen;
  /** Absent if it is not known yet. */
  readonly content?: Uint8Array;
}

export function createForesight(options: ForesightOptions): Foresight {
  const { tree, store, modelName, contextTokens } = options;
  const tokens = contextTokens === undefined ? {} : { contextTokens };
  const outcomes = new Map<string, Promise<DryRunOutcome>>();
  /** By label. */
  const captured = new Map<string, Omit<Asked, "exact" | "inputTokens">>();
  /** Which files wait for which, by path. */
  const waits = new Map<string, Set<string>>();
  /** Files whose request contains a placeholder. */
  const inexact = new Set<string>();
  const byTicket = new Map<number, string>();
  /** The contents that each file reads. Absent ones are not known yet. */
  const contents = new Map<string, (Uint8Array | undefined)[]>();
  const noteContent = (reader: string | undefined, content: Uint8Array | undefined) => {
    if (reader !== undefined) contents.set(reader, [...(contents.get(reader) ?? []), content]);
  };
  const never = new AbortController().signal;

  const model: LanguageModel = {
    async complete(request, { label = "" } = {}) {
      const key = requestKey(request);
      const recording = await store?.get(key, label, request);
      captured.set(label, { request, key, ...(recording && { recording }) });
      if (recording === undefined) throw new LlmError("unrecorded", `${label} is not recorded`);
      return { ...recording.answer, key, recorded: true };
    },
  };

  async function read(from: TreePort, path: string, requester?: number): Promise<Uint8Array> {
    const reader = requester === undefined ? undefined : byTicket.get(requester);
    try {
      const content = await from.read(path, requester);
      noteContent(reader, content);
      return content;
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== "EAGAIN") throw error;
    }
    if (reader !== undefined) refuseCycle(reader, path);
    const { foreseen, content } = await findOutcome(path);
    if (foreseen.failure !== undefined) throw foreseen.failure;
    noteContent(reader, content);
    if (reader !== undefined && (content === undefined || inexact.has(path))) inexact.add(reader);
    return content ?? UNKNOWN;
  }

  function refuseCycle(reader: string, path: string): void {
    const way = findWay(path, reader, (at) => waits.get(at) ?? []);
    if (way !== undefined) throw waitsForItself(way);
    waits.set(reader, (waits.get(reader) ?? new Set()).add(path));
  }

  const interceptReads = (from: TreePort): TreePort => ({
    ...from,
    read: (path, requester) => read(from, path, requester),
    ...(from.viewAs && { viewAs: (uid) => interceptReads(from.viewAs?.(uid) ?? from) }),
  });
  const port = interceptReads(tree.port);
  const engine = createEngine({
    ...options,
    openModel: async () => ({ model, name: modelName, ...tokens }),
    tree: port,
    concurrency: 16,
  });
  const sight = sightOf(port, {
    ...(options.redact !== undefined && { redact: options.redact }),
    ...(options.contextTokens !== undefined && { tokens: options.contextTokens }),
  });

  function findRequest(path: string): GenerationRequest {
    const request = tree.request(path);
    byTicket.set(request.ticket, path);
    return request;
  }

  async function look(path: string): Promise<DryRunOutcome> {
    const request = findRequest(path);
    const { generator } = engine.bind(request).binding;
    if (generator !== DEFAULT_GENERATOR) return { foreseen: { path, generator } };
    const label = request.file.xattrs.get(ORIGIN) ?? request.path;
    let content: Uint8Array | undefined;
    let failure: FsError | undefined;
    try {
      content = (await engine.generate(request, never)).bytes;
    } catch (error) {
      failure = FsError.from(error);
    }
    const capture = captured.get(label);
    if (capture === undefined) return { foreseen: { path, generator, ...(failure && { failure }) } };
    const inputTokens = await countInputTokens(capture.request);
    const shown = await describeShown(path, inputTokens);
    const asks = { ...capture, exact: !inexact.has(path), inputTokens, ...(shown && { shown }) };
    return { foreseen: { path, generator, asks }, ...(content && { content }) };
  }

  async function describeShown(path: string, most: number): Promise<Shown | undefined> {
    const all = contents.get(path);
    if (all === undefined) return undefined;
    let tokens = 0;
    for (const content of all) {
      if (content !== undefined)
        tokens += await countTokens(new TextDecoder().decode(content.subarray(0, LONGEST)), { most });
    }
    const unknown = all.filter((content) => content === undefined).length;
    // What does not fit is reduced.
    return { tokens: Math.min(tokens, most), unknown, pending: [...(waits.get(path) ?? [])] };
  }

  function findOutcome(path: string): Promise<DryRunOutcome> {
    const known = outcomes.get(path);
    if (known !== undefined) return known;
    const found = look(path).catch((error: unknown): DryRunOutcome => {
      const failure = FsError.from(error);
      return { foreseen: { path, generator: "?", failure } };
    });
    outcomes.set(path, found);
    return found;
  }

  return {
    foresee: async (path) => (await findOutcome(path)).foreseen,
    async sections(path) {
      const { request, binding } = engine.bind(findRequest(path));
      if (binding.generator !== DEFAULT_GENERATOR) return [];
      const { ticket, viewer } = request;
      const { tree: seen, context } = sight(viewer);
      return context.sections(path, { ...request, read: (one) => seen.read(one, ticket) });
    },
  };
}
