/** Limits the number of parallel requests to a model. */
import { type LanguageModel, LlmError } from "../../llm/llm.ts";
import { Semaphore } from "../../llm/semaphore.ts";

/**
 * Wraps a model so that at most `limit` requests run at a time, in the order in which they came.
 *
 * Put it below the recordings: an answer from a recording, and the writing of a recording, are not requests to the model
 * and must not use a slot.
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
        await options.ready?.();
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
 * How long the slot of a cancelled request stays unused. An interrupt usually cancels several requests: the waiting ones
 * should be gone before one of them gets the slot and costs money.
 */
const CALM_MS = 100;

const NEVER = new AbortController().signal;
