/**
 * One helper process for many calls at a time. Code that waits lets others continue in between.
 *
 * A helper that dies takes all its calls with it. A call that was alone in it is to blame and fails; the others are
 * retried once, one after the other, so that the guilty one is alone if it does it again. An idle helper is ended after
 * a while, and the next call starts another one.
 */
import { FsError } from "../../errno.ts";
import type { Task } from "./messages.ts";
import { type CallOptions, Helper, HelperDied, type HelperOptions, type TaskResult } from "./worker-process.ts";

export class SharedHelper implements AsyncDisposable {
  readonly #options: HelperOptions;
  readonly #prepare: (helper: Helper) => Promise<unknown>;
  #helper: Promise<Helper> | undefined;
  readonly #ending = new Set<Promise<void>>();
  #suspects: Promise<unknown> = Promise.resolve();
  #disposed = false;

  /** Each helper runs `prepare` first. If it rejects, so do the calls that wait for it, and it is tried again. */
  constructor(options: HelperOptions, prepare: (helper: Helper) => Promise<unknown> = async () => {}) {
    this.#options = options;
    this.#prepare = prepare;
  }

  /**
   * Rejects with FsError, or an Error made of what the task threw. `origin` names the code to blame for the helper's
   * end.
   */
  async run(task: Task, origin: string, options: CallOptions): Promise<TaskResult> {
    try {
      return retryStream(await (await this.ready()).call(task, options), (again) =>
        this.#runAgain(again, task, origin, options),
      );
    } catch (error) {
      return this.#runAgain(error, task, origin, options);
    }
  }

  /** A prepared helper: a new one if the last one is gone. */
  async ready(): Promise<Helper> {
    const known = this.#helper;
    const helper = await known?.catch(() => undefined);
    if (this.#disposed) throw new FsError("ECANCELED", "the generators are disposed of");
    if (helper?.alive === true) return helper;
    // The first caller starts another one, and the others wait for the same one.
    const next = this.#helper === known ? undefined : this.#helper;
    this.#helper = next ?? this.#start();
    return this.#helper;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    const helper = await this.#helper?.catch(() => undefined);
    await Promise.all([...this.#ending, helper?.[Symbol.asyncDispose]()]);
  }

  async #start(): Promise<Helper> {
    const helper = new Helper(this.#options, () => this.#end(helper));
    await this.#prepare(helper);
    return helper;
  }

  /** Later calls get another helper. */
  #end(helper: Helper): void {
    this.#helper = undefined;
    const ended = helper[Symbol.asyncDispose]();
    this.#ending.add(ended);
    void ended.finally(() => this.#ending.delete(ended));
  }

  async #runAgain(error: unknown, task: Task, origin: string, options: CallOptions): Promise<TaskResult> {
    options.signal?.throwIfAborted();
    if (!(error instanceof HelperDied)) throw error;
    if (error.blame) throw createDeathError(origin, error);
    const turn = this.#suspects.then(async () => (await this.ready()).call(task, options));
    this.#suspects = turn.then(
      ({ ended }) => ended,
      () => {},
    );
    try {
      const { value, pieces, ended } = await turn;
      return { value, ended, pieces: blameStream(pieces, origin) };
    } catch (second) {
      throw blame(second, origin);
    }
  }
}

async function* blameStream(pieces: AsyncIterable<Uint8Array>, origin: string) {
  try {
    yield* pieces;
  } catch (error) {
    throw blame(error, origin);
  }
}

function blame(error: unknown, origin: string): unknown {
  return error instanceof HelperDied ? createDeathError(origin, error) : error;
}

function createDeathError(origin: string, error: HelperDied): FsError {
  return new FsError("EIO", `${origin}: ${error.message}`, { cause: error });
}

/** A stream that breaks because the helper died is restarted, if nobody has received any of it yet. */
function retryStream(result: TaskResult, again: (error: unknown) => Promise<TaskResult>): TaskResult {
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
