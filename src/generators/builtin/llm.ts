import { type AttributeName, attribute } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { ChatAnswer, ChatMessage, ChatOptions, ChatPhase, ChatRequest, LanguageModel } from "../../llm/llm.ts";
import { LlmError } from "../../llm/llm.ts";
import type { ContentGenerator, FileContent, GeneratorContext } from "../contract.ts";
import { type CleanAnswer, readFileAnswer } from "./clean-answer.ts";
import { findRefusal } from "./refusal.ts";
import { formatReasons, REWRITTEN } from "./rewritten.ts";

export interface LlmOptions {
  readonly model: LanguageModel;
  /** The model for files without a model of their own or of a parent directory. */
  readonly modelName: string;
  /** Turns a file and its context into messages. */
  readonly compose: (path: string, context: LlmContext) => Promise<readonly ChatMessage[]>;
  /** The same at once; undefined if anything has to be waited for. */
  readonly composeAtOnce?: (path: string, context: RecallContext) => readonly ChatMessage[] | undefined;
  /** The message sent after an answer that contains more than the file. */
  readonly askForFileAlone: (path: string) => string;
  /** The message that follows the content of a file that must be written again. */
  readonly askToRewrite: (path: string, rewrite: { readonly instruction: string }) => string;
  /** Default: that of the server, the only value that every model accepts. */
  readonly temperature?: number;
  readonly maxTokens?: number;
}

/** Further context that only this built-in generator gets. */
export interface LlmContext extends GeneratorContext {
  /** As in ChatOptions. */
  readonly onPhase?: (phase: ChatPhase) => void;
  /** As in GenerationRequest. */
  readonly viewer?: number;
  readonly rulePrompt?: string;
  /** As in ComposeContext. */
  readonly leaveOut?: (path: string) => void;
  /** The file is written again. */
  readonly rewrite?: {
    /** The content so far, without secrets. */
    readonly content: string;
    readonly instruction: string;
    /** The instructions of earlier times, oldest first. */
    readonly earlier: readonly string[];
  };
}

/** What the content of a file is recalled with. */
export interface RecallContext
  extends Pick<LlmContext, "file" | "prompts" | "model" | "log" | "rulePrompt" | "viewer"> {
  /** Longer content may be returned by `generate` only. */
  readonly maxBytes: number;
  setting(name: string): string | undefined;
}

export interface LlmGenerator extends ContentGenerator {
  /** The content from an answer that the model can recall. Undefined: call `generate`. Throws as `generate` rejects. */
  recall(path: string, context: RecallContext): FileContent | undefined;
  /** The request for a file. It is the same when the file is written again. */
  requestFor(path: string, context: LlmContext): Promise<ChatRequest>;
}

/** Content from a language model: one plain-text completion, without JSON around the file's text. */
export function createLlmGenerator(options: LlmOptions): LlmGenerator {
  const { model } = options;

  async function requestFor(path: string, context: LlmContext): Promise<ChatRequest> {
    const settings = {
      temperature: await context.setting("temperature"),
      longest: await context.setting("max-tokens"),
    };
    const parameters = parametersOf(path, settings);
    return createRequest(context, await options.compose(path, context), parameters);
  }

  /** Throws FsError if a setting is not a number. */
  function parametersOf(path: string, settings: LlmSettings): Omit<ChatRequest, "model" | "messages"> {
    const temperature = numberIn(path, "temperature", settings.temperature, 0, 2) ?? options.temperature;
    const longest = numberIn(path, "max-tokens", settings.longest, 1, 1e9) ?? options.maxTokens;
    return {
      ...(temperature !== undefined && { temperature }),
      ...(longest !== undefined && { maxTokens: Math.floor(longest) }),
    };
  }

  function createRequest(
    context: Pick<LlmContext, "model">,
    messages: readonly ChatMessage[],
    parameters: Omit<ChatRequest, "model" | "messages">,
  ): ChatRequest {
    return { model: context.model ?? options.modelName, messages, ...parameters };
  }

  /** The content that these answers give; the first one is to the request for the file. */
  function contentOf(
    text: string,
    answers: readonly [ChatAnswer, ...ChatAnswer[]],
    reasons: readonly string[],
    log: GeneratorContext["log"],
  ): FileContent {
    const refusal = findRefusal(text);
    if (refusal === undefined) return { content: text, metadata: describeAnswers(answers, reasons) };
    const warning = `the content reads like a refusal of the model: ${JSON.stringify(refusal)}`;
    log.warn(`${warning}; if it is one, run llmfs regen, perhaps with another prompt or model`);
    return { content: text, metadata: { ...describeAnswers(answers, reasons), warning } };
  }

  return {
    requestFor,
    recall(path, context) {
      if (model.recall === undefined || model.mayRecall?.(path) === false) return undefined;
      const settings = { temperature: context.setting("temperature"), longest: context.setting("max-tokens") };
      const messages = options.composeAtOnce?.(path, context);
      if (messages === undefined) return undefined;
      let reading: CleanAnswer | undefined;
      const answer = model.recall(createRequest(context, messages, parametersOf(path, settings)), {
        label: path,
        accepts({ text, frozen }) {
          reading = frozen === undefined ? readFileAnswer(text, path) : undefined;
          const fits = text.length * UTF8_BYTES < context.maxBytes;
          return fits && reading?.missing === undefined && reading?.unclear !== true;
        },
      });
      if (answer === undefined) return undefined;
      return reading === undefined ? frozenContent(answer) : contentOf(reading.text, [answer], [], context.log);
    },
    async generate(path, context: LlmContext) {
      const own = await requestFor(path, context);
      const { rewrite } = context;
      const request = rewrite === undefined ? own : followUp(own, rewrite.content, options.askToRewrite(path, rewrite));
      const again = context.again === true ? { again: context.again } : {};
      const once = rewrite === undefined ? {} : { unrecorded: true as const };
      const { signal, onPhase } = context;
      const how = { signal, ...again, ...once, ...(onPhase === undefined ? {} : { onPhase }) };
      const answer = await model.complete(request, { ...how, label: path });
      if (answer.frozen !== undefined) return frozenContent(answer);
      const reading = readFileAnswer(answer.text, path);
      if (reading.missing !== undefined) {
        await model.forget?.(request);
        const what = reading.missing === "nothing" ? "an empty answer" : "reasoning but no answer";
        throw new LlmError("empty", `${answer.model} sent ${what} for ${path}; try again, or another model`);
      }
      const better = reading.unclear ? await askAgain(path, request, answer, how, context) : undefined;
      const reasons = rewrite === undefined ? [] : [...rewrite.earlier, rewrite.instruction];
      const answers: readonly [ChatAnswer, ...ChatAnswer[]] = better === undefined ? [answer] : [answer, better.answer];
      return contentOf(better?.text ?? reading.text, answers, reasons, context.log);
    },
  };

  /**
   * Asks the model once to correct an answer with more than the file. The request follows from the recorded answer, so it is
   * found in the recordings too. If there is no better answer (the budget is used up, or an older recording does not have
   * it), the first answer is kept, because it may be right.
   */
  async function askAgain(
    path: string,
    request: ChatRequest,
    first: ChatAnswer,
    how: ChatOptions,
    context: GeneratorContext,
  ): Promise<{ readonly text: string; readonly answer: ChatAnswer } | undefined> {
    const repair = followUp(request, first.text, options.askForFileAlone(path));
    try {
      const answer = await model.complete(repair, { ...how, label: `${REPAIR}${path}` });
      const reading = readFileAnswer(answer.text, path);
      if (reading.missing !== undefined) await model.forget?.(repair);
      else if (!reading.unclear) return { text: reading.text, answer };
      context.log.warn(`${answer.model} answered twice with more than the file; the answer is kept unchanged`);
    } catch (error) {
      if (!(error instanceof LlmError) || error.kind === "cancelled") throw error;
      context.log.warn(
        `the answer contains more than the file, and a corrected one is not available: ${error.message}`,
      );
    }
    return undefined;
  }
}

/** The most bytes that a UTF-16 code unit has in UTF-8. */
const UTF8_BYTES = 3;

interface LlmSettings {
  readonly temperature: string | undefined;
  readonly longest: string | undefined;
}

/** The content of a file that passed a check. */
function frozenContent(answer: ChatAnswer): FileContent {
  return { content: answer.text, metadata: describeAnswers([answer], answer.frozen ?? []) };
}

/** The request that continues a conversation after an answer. */
function followUp(request: ChatRequest, answer: string, message: string): ChatRequest {
  const messages: readonly ChatMessage[] = [
    ...request.messages,
    { role: "assistant", content: answer },
    { role: "user", content: message },
  ];
  return { ...request, messages };
}

/** Metadata of the content. `reasons` says why the file was written again. */
function describeAnswers(
  answers: readonly [ChatAnswer, ...ChatAnswer[]],
  reasons: readonly string[],
): Readonly<Record<string, string | number | boolean>> {
  const [first] = answers;
  return {
    model: first.model,
    ...sumUsage(answers),
    // The key of the first request: the second one follows from its answer.
    ...(first.key && { request: first.key }),
    ...(answers.every(({ recorded }) => recorded === true) && { recorded: true }),
    ...(reasons.length > 0 && { [REWRITTEN]: formatReasons(reasons) }),
  };
}

/** The prefix of the label under which the second request is recorded. No path begins with it. */
const REPAIR = "repair of ";

export interface Repaired {
  readonly label: string;
  readonly request: ChatRequest;
  readonly answer: string;
}

/** Returns the first request for a file and its answer, if a recording is of the second request. */
export function repairWith(label: string, request: ChatRequest): Repaired | undefined {
  const answer = request.messages.at(-2)?.content;
  if (!label.startsWith(REPAIR) || answer === undefined) return undefined;
  return {
    label: label.slice(REPAIR.length),
    request: { ...request, messages: request.messages.slice(0, -2) },
    answer,
  };
}

/** The tokens and dollars of all answers, if they are all known. */
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
