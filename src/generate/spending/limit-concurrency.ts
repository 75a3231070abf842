/** A model that no more than so many ask at a time. */
import { type LanguageModel, LlmError } from "../../llm/llm.ts";
import { Semaphore } from "./semaphore.ts";

/**
 * The same model, `limit` requests at a time; whoever was waiting longest is next.
 *
 * Put it below the recordings: what is recorded, or written down afterwards, is no request to the model, and takes
 * nobody's turn.
 */
export function limitConcurrency(model: LanguageModel, limit: number): LanguageModel {
  const turns = new Semaphore(limit);
  return {
    async complete(request, options = {}) {
      if (turns.full) options.onPhase?.("queued");
      const signal = options.signal ?? NEVER;
      const turn = await turns.take(signal).catch((error: unknown) => {
        throw new LlmError("cancelled", `the request to ${request.model} was cancelled before it was sent`, {
          cause: error,
        });
      });
      try {
        options.onPhase?.("asked");
        return await model.complete(request, options);
      } finally {
        const over = () => turn[Symbol.dispose]();
        if (signal.aborted) setTimeout(over, CALM_MS);
        else over();
      }
    },
  };
}

/**
 * So long nobody takes the turn of a request that was called off. Whoever is interrupted is seldom so alone: the others
 * who wait are to be gone before one of them is asked for in its place, and paid.
 */
const CALM_MS = 100;

const NEVER = new AbortController().signal;
