import { FsError } from "../errno.ts";
import type { ChatMessage, ChatPhase, LanguageModel } from "../llm/llm.ts";
import { LlmError } from "../llm/llm.ts";
import { fileText, saysNothing } from "./answer.ts";
import type { ContentGenerator, GeneratorContext } from "./generator.ts";

export interface LlmOptions {
  readonly model: LanguageModel;
  /** Asked where no directory above the file names another. */
  readonly modelName: string;
  /** Turns a file and its context into messages. */
  readonly compose: (path: string, context: GeneratorContext) => Promise<readonly ChatMessage[]>;
  /** Absent: the server's default, the only one that every model accepts. */
  readonly temperature?: number;
  readonly maxTokens?: number;
}

/** What the engine lets the built-in generator know. */
export interface LlmContext extends GeneratorContext {
  /** As in ChatOptions. */
  readonly onPhase?: (phase: ChatPhase) => void;
}

/** Content from a language model: one plain-text completion, no JSON around the file's body. */
export function llmGenerator(options: LlmOptions): ContentGenerator {
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
      const told = onPhase === undefined ? {} : { onPhase };
      const answer = await options.model.complete(request, { signal, label: path, ...again, ...told });
      if (saysNothing(answer.text)) {
        await options.model.forget?.(request);
        const what = answer.text.trim() === "" ? "an empty answer" : "thoughts, and no answer,";
        throw new LlmError("empty", `${answer.model} sent ${what} for ${path}; try again, or another model`);
      }
      return {
        content: fileText(answer.text, path),
        metadata: {
          model: answer.model,
          ...(answer.usage && { input_tokens: answer.usage.inputTokens, output_tokens: answer.usage.outputTokens }),
          ...(answer.usd !== undefined && { usd: answer.usd.toFixed(6) }),
          ...(answer.key && { request: answer.key }),
          ...(answer.recorded && { recorded: true }),
        },
      };
    },
  };
}

function numberIn(
  path: string,
  name: string,
  value: string | undefined,
  least: number,
  most: number,
): number | undefined {
  if (value === undefined || value.trim() === "") return undefined;
  const number = Number(value);
  if (number >= least && number <= most) return number;
  const shown = JSON.stringify(value.slice(0, 40));
  throw new FsError("EIO", `${path}: user.llmfs.${name} is ${shown}; it must be a number from ${least} to ${most}`);
}
