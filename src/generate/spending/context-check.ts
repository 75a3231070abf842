/** Notices that a server has cut requests to its context, which many local servers do without an error. */
import type { ChatOptions, ChatRequest, LanguageModel } from "../../llm/llm.ts";
import { countTokens } from "./tokens.ts";

/** A lower count is not a cut request: no server has such a short context. Some servers report placeholders. */
const SHORTEST = 64;

/** Ordinary texts have fewer bytes per token, so a request is only counted if the server reports more. */
const USUAL_BYTES = 6;

/** Warns once if the server has counted less than half of the tokens that were sent. `host` is for the message. */
export function checkContext(
  model: LanguageModel,
  { host, warn }: { readonly host: string; readonly warn: (text: string) => void },
): LanguageModel {
  let warned = false;
  return {
    ...model,
    async complete(request, options) {
      const answer = await model.complete(request, options);
      const counted = answer.usage?.inputTokens ?? 0;
      if (warned || counted < SHORTEST || bytesOf(request) < counted * USUAL_BYTES) return answer;
      const text = textOf(request);
      const least = leastTokens(text);
      const sent = counted * 2 < least ? least : await countTokens(text, signalOf(options)).catch(() => 0);
      if (warned || counted * 2 >= sent) return answer;
      warned = true;
      warn(explain(host, counted, sent, options?.label));
      return answer;
    },
  };
}

const signalOf = (options: ChatOptions | undefined) =>
  options?.signal === undefined ? {} : { signal: options.signal };

/**
 * The words and groups of digits, each of which is at least one token in the vocabularies of OpenAI's models. Loading the
 * vocabulary takes as much time as a hundred files, and this is enough if a server has cut the request short.
 */
function leastTokens(text: string): number {
  return text.match(/[\p{L}\p{M}']+|\p{N}{1,3}/gu)?.length ?? 0;
}

/** The length of `textOf`, which is long and is not needed for most answers. */
function bytesOf({ messages }: ChatRequest): number {
  return messages.reduce((sum, { content }) => sum + Buffer.byteLength(content) + 1, -1);
}

function textOf({ messages }: ChatRequest): string {
  return messages.map(({ content }) => content).join("\n");
}

function explain(host: string, counted: number, sent: number, label: string | undefined): string {
  const wanted = Math.max(8192, 2 ** Math.ceil(Math.log2(sent * 2)));
  return (
    `${host} counted ${counted} of about ${sent} tokens sent for ${label ?? "a request"}: it probably cut the request to its ` +
    `context. Give it a longer one (for Ollama, OLLAMA_CONTEXT_LENGTH=${wanted}), or send less for a file with ` +
    `--context-tokens ${Math.max(256, Math.floor(counted / 2))}`
  );
}
