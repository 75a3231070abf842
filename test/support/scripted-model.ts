/** A language model that follows a script and remembers its requests. */
import type { EngineModel } from "../../src/generate/engine.ts";
import type { ChatAnswer, ChatOptions, ChatRequest, LanguageModel } from "../../src/llm/llm.ts";
import { LlmError } from "../../src/llm/llm.ts";

/** For EngineOptions.openModel. */
export function opened(model: LanguageModel, name = "m"): () => Promise<EngineModel> {
  return async () => ({ model, name });
}

/** A text to answer with, an error to reject with, or a function that decides. */
export type ScriptedAnswer =
  | string
  | Error
  | ((request: ChatRequest, options: ChatOptions) => string | Promise<string>);

export interface ScriptedModel extends LanguageModel {
  /** All requests, oldest first. */
  readonly requests: ChatRequest[];
  readonly labels: (string | undefined)[];
  /** The number of requests in progress, and the maximum so far. */
  readonly load: { now: number; most: number };
  /** Appends answers to the queue; when it is empty, the last one repeats. */
  enqueue(...answers: ScriptedAnswer[]): void;
}

export function scriptedModel(...answers: ScriptedAnswer[]): ScriptedModel {
  const queue = [...answers];
  const requests: ChatRequest[] = [];
  const labels: (string | undefined)[] = [];
  const load = { now: 0, most: 0 };

  async function answer(request: ChatRequest, options: ChatOptions): Promise<ChatAnswer> {
    const next = queue.length > 1 ? queue.shift() : queue[0];
    if (next === undefined) throw new LlmError("server", "the script is empty");
    if (next instanceof Error) throw next;
    const text = typeof next === "string" ? next : await untilAborted(next(request, options), options.signal);
    options.onText?.(text);
    return { text, model: request.model, usage: { inputTokens: 11, outputTokens: 7 } };
  }

  return {
    requests,
    labels,
    load,
    enqueue: (...more) => void queue.push(...more),
    async complete(request, options = {}) {
      if (options.signal?.aborted) throw new LlmError("cancelled", "cancelled before it began");
      requests.push(request);
      labels.push(options.label);
      load.now += 1;
      load.most = Math.max(load.most, load.now);
      try {
        return await answer(request, options);
      } finally {
        load.now -= 1;
      }
    },
  };
}

function untilAborted<T>(work: T | Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(new LlmError("cancelled", "cancelled")), { once: true });
    Promise.resolve(work).then(resolve, reject);
  });
}
