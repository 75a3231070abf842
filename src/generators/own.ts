/**
 * The user's own generators: objects that keep the contract here and have the code run in a helper process.
 *
 * A helper that dies takes all its calls with it. What was alone in it is to blame and fails; the others are tried once
 * more, one after the other, so that the guilty one is alone when it strikes again. A helper with nothing to do for a
 * while is ended, and the next call starts another one.
 */
import { FsError } from "../errno.ts";
import type { ContentGenerator, GeneratorContext, ListContext, ListedEntry } from "./generator.ts";
import { type CallOptions, Helper, HelperDied, type HelperOptions, type Result } from "./helper/helper.ts";
import type { Description, GeneratedHead, OwnGenerator, PlainContext, Question, Task } from "./helper/messages.ts";

/** No file takes as long to be loaded, unless it hangs. */
const LOADING_MS = 30_000;

export class OwnCode implements AsyncDisposable {
  readonly #file: string;
  readonly #options: HelperOptions;
  #helper: Promise<Helper> | undefined;
  readonly #ending = new Set<Promise<void>>();
  #suspects: Promise<unknown> = Promise.resolve();
  #disposed = false;

  constructor(file: string, options: HelperOptions) {
    this.#file = file;
    this.#options = options;
  }

  /** Runs the file. Rejects with what it threw. */
  async describe(): Promise<Description> {
    const { helper, description } = await this.#load();
    this.#helper = Promise.resolve(helper);
    return description;
  }

  generator(name: string, about: OwnGenerator): ContentGenerator {
    const origin = `generator "${name}"`;
    return {
      match: about.match,
      generate: async (path, context) => {
        const task: Task = { task: "generate", generator: name, path, context: plainContext(context) };
        const { value, pieces } = await this.#run(task, origin, questions(context));
        const { unchanged, metadata } = value as GeneratedHead; // as `generate` in helper/tasks.ts tells it
        if (unchanged) return { unchanged };
        return { content: pieces, ...(metadata !== undefined && { metadata }) };
      },
      ...(about.validates && {
        validate: (options) => this.#validate(name, options),
      }),
      ...(about.lists && {
        list: async (path, context) => {
          const task: Task = { task: "list", generator: name, path, context: plainContext(context) };
          const { value } = await this.#run(task, origin, questions(context));
          return value as readonly ListedEntry[]; // as `list` in helper/tasks.ts returns it
        },
      }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    const helper = await this.#helper?.catch(() => undefined);
    await Promise.all([...this.#ending, helper?.[Symbol.asyncDispose]()]);
  }

  async #run(task: Task, origin: string, options: CallOptions): Promise<Result> {
    try {
      return whole(await (await this.#ready()).call(task, options), (again) =>
        this.#again(again, task, origin, options),
      );
    } catch (error) {
      return this.#again(error, task, origin, options);
    }
  }

  async #again(error: unknown, task: Task, origin: string, options: CallOptions): Promise<Result> {
    options.signal?.throwIfAborted();
    if (!(error instanceof HelperDied)) throw error;
    if (error.blame) throw died(origin, error);
    const turn = this.#suspects.then(async () => (await this.#ready()).call(task, options));
    this.#suspects = turn.then(
      ({ ended }) => ended,
      () => {},
    );
    try {
      const { value, pieces, ended } = await turn;
      return { value, ended, pieces: blamed(pieces, origin) };
    } catch (second) {
      throw blame(second, origin);
    }
  }

  /** The helper with the file loaded: another one if the last is gone. */
  async #ready(): Promise<Helper> {
    const known = this.#helper;
    const helper = await known?.catch(() => undefined);
    if (this.#disposed) throw new FsError("ECANCELED", "the generators are disposed of");
    if (helper?.alive === true) return helper;
    // Whoever comes first starts another, and the others wait for the same one.
    const next = this.#helper === known ? undefined : this.#helper;
    this.#helper = next ?? this.#load().then((loaded) => loaded.helper);
    return this.#helper;
  }

  /** Calls that come from here on find another one. */
  #end(helper: Helper): void {
    this.#helper = undefined;
    const ended = helper[Symbol.asyncDispose]();
    this.#ending.add(ended);
    void ended.finally(() => this.#ending.delete(ended));
  }

  async #load(): Promise<{ readonly helper: Helper; readonly description: Description }> {
    const helper = new Helper(this.#options, () => this.#end(helper));
    const late = setTimeout(() => helper.kill(`${this.#file} took longer than ${LOADING_MS / 1000} s`), LOADING_MS);
    try {
      const { value } = await helper.call({ task: "load", file: this.#file });
      // The helper is this same program: the value is what `load` in helper/tasks.ts returns.
      return { helper, description: value as Description };
    } catch (error) {
      helper.kill("its file cannot be loaded");
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** At start-up nobody else waits for anything, and one that hangs ends the process. */
  async #validate(generator: string, options: Readonly<Record<string, unknown>>): Promise<void> {
    const helper = await this.#ready();
    const late = setTimeout(() => helper.kill(`validate took longer than ${LOADING_MS / 1000} s`), LOADING_MS);
    try {
      await helper.call({ task: "validate", generator, options });
    } finally {
      clearTimeout(late);
    }
  }
}

async function* blamed(pieces: AsyncIterable<Uint8Array>, origin: string) {
  try {
    yield* pieces;
  } catch (error) {
    throw blame(error, origin);
  }
}

function blame(error: unknown, origin: string): unknown {
  return error instanceof HelperDied ? died(origin, error) : error;
}

function died(origin: string, error: HelperDied): FsError {
  return new FsError("EIO", `${origin}: ${error.message}`, { cause: error });
}

/** A stream that breaks off because the helper died is begun again, if nobody has seen anything of it yet. */
function whole(result: Result, again: (error: unknown) => Promise<Result>): Result {
  async function* pieces() {
    let seen = false;
    try {
      for await (const piece of result.pieces) {
        seen = true;
        yield piece;
      }
    } catch (error) {
      if (seen && error instanceof HelperDied) throw new FsError("EIO", error.message, { cause: error });
      yield* (await again(error)).pieces;
    }
  }
  return { ...result, pieces: pieces() };
}

function plainContext(context: Partial<GeneratorContext> & ListContext): PlainContext {
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

function questions(context: Partial<GeneratorContext> & ListContext): CallOptions {
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
