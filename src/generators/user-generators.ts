/** The user's own generators: objects that implement the contract here and run the code in a helper process. */

import { formatTimeSpan } from "../text/duration.ts";
import type { ContentGenerator, GeneratorContext, ListContext, ListedEntry } from "./contract.ts";
import type { ConfigurationFile } from "./trusted-content.ts";
import type { Description, GeneratedHead, OwnGenerator, PlainContext, Question, Task } from "./workers/messages.ts";
import { SharedHelper } from "./workers/shared.ts";
import type { CallOptions, Helper, HelperOptions } from "./workers/worker-process.ts";

/** A file that takes longer to load is considered to hang. */
const LOADING_MS = 30_000;
/** Longer than usual, because a new helper must load the file again and loses the state of its code. */
const IDLE_MS = 60_000;

export class OwnCode implements AsyncDisposable {
  readonly #configuration: ConfigurationFile;
  readonly #helper: SharedHelper;
  #description: Description | undefined;

  constructor(configuration: ConfigurationFile, options: HelperOptions) {
    this.#configuration = configuration;
    this.#helper = new SharedHelper({ idleMs: IDLE_MS, ...options }, (helper) => this.#load(helper));
  }

  /** Runs the file. Rejects with the error that it threw. */
  async describe(): Promise<Description> {
    await this.#helper.ready();
    if (this.#description === undefined) throw new Error(`${this.#configuration.file} did not describe its generators`);
    return this.#description;
  }

  createGenerator(name: string, about: OwnGenerator): ContentGenerator {
    const origin = `generator "${name}"`;
    return {
      match: about.match,
      generate: async (path, context) => {
        const task: Task = { task: "generate", generator: name, path, context: toPlainContext(context) };
        const { value, pieces } = await this.#helper.run(task, origin, answerQuestions(context));
        const { unchanged, metadata } = value as GeneratedHead; // as `generate` in helper/tasks.ts tells it
        if (unchanged) return { unchanged };
        return { content: pieces, ...(metadata !== undefined && { metadata }) };
      },
      ...(about.validates && {
        validate: (options) => this.#validate(name, options),
      }),
      ...(about.lists && {
        list: async (path, context) => {
          const task: Task = { task: "list", generator: name, path, context: toPlainContext(context) };
          const { value } = await this.#helper.run(task, origin, answerQuestions(context));
          return value as readonly ListedEntry[]; // as `list` in helper/tasks.ts returns it
        },
      }),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#helper[Symbol.asyncDispose]();
  }

  async #load(helper: Helper): Promise<void> {
    const late = setTimeout(
      () => helper.kill(`${this.#configuration.file} took longer than ${formatTimeSpan(LOADING_MS)}`),
      LOADING_MS,
    );
    try {
      const { file, digest } = this.#configuration;
      const { value } = await helper.call({ task: "load", configuration: { file, ...(digest && { digest }) } });
      // The helper is this same program: the value is what `load` in workers/tasks.ts returns.
      this.#description = value as Description;
    } catch (error) {
      helper.kill("its file cannot be loaded");
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** At startup no other call is running, so a validation that hangs may end the process. */
  async #validate(generator: string, options: Readonly<Record<string, unknown>>): Promise<void> {
    const helper = await this.#helper.ready();
    const late = setTimeout(() => helper.kill(`validate took longer than ${formatTimeSpan(LOADING_MS)}`), LOADING_MS);
    try {
      await helper.call({ task: "validate", generator, options });
    } finally {
      clearTimeout(late);
    }
  }
}

function toPlainContext(context: Partial<GeneratorContext> & ListContext): PlainContext {
  const { file, prompts = [], model, options, params = {}, match, again, previous, maxBytes } = context;
  return {
    ...(file !== undefined && { file }),
    prompts,
    ...(model !== undefined && { model }),
    options,
    params,
    ...(match !== undefined && { match }),
    ...(again !== undefined && { again }),
    ...(previous !== undefined && { previous }),
    ...(maxBytes !== undefined && { maxBytes }),
  };
}

/** Answers the questions of a task. */
export function answerQuestions(context: Partial<GeneratorContext> & ListContext): CallOptions {
  const answer = async (question: Question, argument: string): Promise<unknown> => {
    switch (question) {
      case "outline":
        return context.outline();
      case "list":
        return context.list(argument);
      case "read":
        return context.read(argument);
      case "related":
        return context.related?.();
      case "setting":
        return context.setting?.(argument);
      case "working":
        return context.working?.(Number(argument));
    }
  };
  return { signal: context.signal, log: context.log, answer };
}
