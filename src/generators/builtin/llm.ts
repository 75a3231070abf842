import { type AttributeName, attribute } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { ChatAnswer, ChatMessage, ChatOptions, ChatPhase, ChatRequest, LanguageModel } from "../../llm/llm.ts";
import { LlmError } from "../../llm/llm.ts";
import type { ContentGenerator, GeneratorContext } from "../contract.ts";
import { readFileAnswer } from "./clean-answer.ts";

export interface LlmOptions {
  readonly model: LanguageModel;
  /** Asked where no directory above the file names another. */
  readonly modelName: string;
  /** Turns a file and its context into messages. */
  readonly compose: (path: string, context: LlmContext) => Promise<readonly ChatMessage[]>;
  /** What follows an answer that holds more than the file. */
  readonly askForFileAlone: (path: string) => string;
  /** Absent: the server's default, the only one that every model accepts. */
  readonly temperature?: number;
  readonly maxTokens?: number;
}

/** What the engine lets the built-in generator know. */
export interface LlmContext extends GeneratorContext {
  /** As in ChatOptions. */
  readonly onPhase?: (phase: ChatPhase) => void;
  /** As in GenerationRequest. */
  readonly viewer?: number;
}

/** Content from a language model: one plain-text completion, no JSON around the file's body. */
export function createLlmGenerator(options: LlmOptions): ContentGenerator {
  const { model } = options;
  return {
    async generate(path, context: LlmContext) {
      const temperature =
        numberIn(path, "temperature", await context.setting("temperature"), 0, 2) ?? options.temperature;
      const longest = numberIn(path, "max-tokens", await context.setting("max-tokens"), 1, 1e9) ?? options.maxTokens;
      const request = {
        model: context.model ?? options.modelName,
        messages: await options.compose(path, context),
        ...(temperature !== undefined && { temperature }),
        ...(longest !== undefined && { maxTokens: Math.floor(longest) }),
      };
      const again = context.again === true ? { again: context.again } : {};
      const { signal, onPhase } = context;
      const how = { signal, ...again, ...(onPhase === undefined ? {} : { onPhase }) };
      const answer = await model.complete(request, { ...how, label: path });
      const reading = readFileAnswer(answer.text, path);
      if (reading.missing !== undefined) {
        await model.forget?.(request);
        const what = reading.missing === "nothing" ? "an empty answer" : "thoughts, and no answer,";
        throw new LlmError("empty", `${answer.model} sent ${what} for ${path}; try again, or another model`);
      }
      const better = reading.unclear ? await askAgain(path, request, answer, how, context) : undefined;
      const answers = better === undefined ? [answer] : [answer, better.answer];
      return {
        content: better?.text ?? reading.text,
        metadata: {
          model: answer.model,
          ...sumUsage(answers),
          // Of the first: the second follows from its answer.
          ...(answer.key && { request: answer.key }),
          ...(answers.every(({ recorded }) => recorded === true) && { recorded: true }),
        },
      };
    },
  };

  /**
   * Sends back an answer that holds more than the file, once. The request follows from the recorded answer, so that it
   * is found in the recordings too. Where it cannot be answered (a budget is spent, an older recording has none) or is no
   * better, the first answer stays as it is: it may be right, and was all there was before.
   */
  async function askAgain(
    path: string,
    request: ChatRequest,
    first: ChatAnswer,
    how: ChatOptions,
    context: GeneratorContext,
  ): Promise<{ readonly text: string; readonly answer: ChatAnswer } | undefined> {
    const messages = [
      ...request.messages,
      { role: "assistant" as const, content: first.text },
      { role: "user" as const, content: options.askForFileAlone(path) },
    ];
    const repair = { ...request, messages };
    try {
      const answer = await model.complete(repair, { ...how, label: `${REPAIR}${path}` });
      const reading = readFileAnswer(answer.text, path);
      if (reading.missing !== undefined) await model.forget?.(repair);
      else if (!reading.unclear) return { text: reading.text, answer };
      context.log.warn(`${answer.model} put more into its answer than the file, twice; it is kept as it is`);
    } catch (error) {
      if (!(error instanceof LlmError) || error.kind === "cancelled") throw error;
      context.log.warn(`the answer holds more than the file, and cannot be asked for again: ${error.message}`);
    }
    return undefined;
  }
}

/** Under which the second request for a file is recorded. No path begins like that. */
const REPAIR = "repair of ";

export interface Repaired {
  readonly label: string;
  readonly request: ChatRequest;
  readonly answer: string;
}

/** The first request for a file and its answer, where a recording is of the second. */
export function repairWith(label: string, request: ChatRequest): Repaired | undefined {
  const answer = request.messages.at(-2)?.content;
  if (!label.startsWith(REPAIR) || answer === undefined) return undefined;
  return {
    label: label.slice(REPAIR.length),
    request: { ...request, messages: request.messages.slice(0, -2) },
    answer,
  };
}

/** Tokens and dollars of all the answers it took, where all of them are known. */
function sumUsage(answers: readonly ChatAnswer[]): Readonly<Record<string, string | number>> {
  const usages = answers.flatMap(({ usage }) => (usage === undefined ? [] : [usage]));
  const prices = answers.flatMap(({ usd }) => (usd === undefined ? [] : [usd]));
  const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
  return {
    ...(usages.length === answers.length && {
      input_tokens: sum(usages.map(({ inputTokens }) => inputTokens)),
      output_tokens: sum(usages.map(({ outputTokens }) => outputTokens)),
    }),
    ...(prices.length === answers.length && { usd: sum(prices).toFixed(6) }),
  };
}

function numberIn(
  path: string,
  name: AttributeName,
  value: string | undefined,
  least: number,
  most: number,
): number | undefined {
  if (value === undefined || value.trim() === "") return undefined;
  const number = Number(value);
  if (number >= least && number <= most) return number;
  const shown = JSON.stringify(value.slice(0, 40));
  throw new FsError("EIO", `${attribute(name)} is ${shown}; it must be a number from ${least} to ${most}`, { path });
}
