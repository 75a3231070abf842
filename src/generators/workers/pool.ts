/**
 * Helper processes for calls that block: one call at a time in each. If a call is cancelled its process is ended,
 * because nothing else can stop it. A process that is idle for a while is ended too.
 */
import { FsError } from "../../errno.ts";
import type { Task } from "./messages.ts";
import { Helper, type HelperOptions, type TaskResult } from "./worker-process.ts";

const MOST = 4;

export interface CallLimits {
  /** Bytes that the call may use in addition to the baseline of every such process. */
  readonly memory: number;
  /** The data that the task works on. */
  readonly input?: Uint8Array;
}

/** The baseline memory of a helper, generously. */
const OWN_MEMORY = 256 * 1024 * 1024;
/** How often its memory is checked. */
const LOOK_MS = 100;

export class HelperPool implements AsyncDisposable {
  readonly #options: HelperOptions;
  readonly #idle: Helper[] = [];
  readonly #ending = new Set<Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  #disposed = false;

  constructor(options: HelperOptions) {
    this.#options = options;
  }

  /** The process is free again when the pieces have ended, or nobody wants more of them. */
  async call(task: Task, signal: AbortSignal, { memory, input }: CallLimits): Promise<TaskResult> {
    const helper = await this.#take(signal);
    const abort = () => helper.kill("nobody is waiting for it");
    signal.addEventListener("abort", abort, { once: true });
    const watch = setInterval(() => {
      if (helper.memory() > memory + OWN_MEMORY)
        helper.kill("it used more memory than content of that size needs", "EFBIG");
    }, LOOK_MS);
    const free = () => {
      clearInterval(watch);
      signal.removeEventListener("abort", abort);
      this.#give(helper);
    };
    try {
      signal.throwIfAborted();
      const { value, pieces, ended } = await helper.call(task, input === undefined ? {} : { input });
      return { value, ended, pieces: streamUntil(pieces, signal, helper, free) };
    } catch (error) {
      free();
      throw signal.aborted ? signal.reason : error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    for (const helper of this.#idle.splice(0)) this.#end(helper);
    await Promise.all(this.#ending);
  }

  async #take(signal: AbortSignal): Promise<Helper> {
    while (this.#busy >= MOST) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      // A slot that came too late goes to the next call.
      if (signal.aborted) this.#waiting.shift()?.();
      signal.throwIfAborted();
    }
    if (this.#disposed) throw new FsError("ECANCELED", "the generators are disposed of");
    let helper = this.#idle.pop();
    while (helper !== undefined && !helper.alive) helper = this.#idle.pop();
    helper ??= this.#start();
    this.#busy += 1;
    return helper;
  }

  #start(): Helper {
    const helper = new Helper(this.#options, () => {
      const at = this.#idle.indexOf(helper);
      if (at >= 0) this.#idle.splice(at, 1);
      this.#end(helper);
    });
    return helper;
  }

  #end(helper: Helper): void {
    const ended = helper[Symbol.asyncDispose]();
    this.#ending.add(ended);
    void ended.finally(() => this.#ending.delete(ended));
  }

  #give(helper: Helper): void {
    this.#busy -= 1;
    if (this.#disposed) this.#end(helper);
    else if (helper.alive) this.#idle.push(helper);
    this.#waiting.shift()?.();
  }
}

async function* streamUntil(pieces: AsyncIterable<Uint8Array>, signal: AbortSignal, helper: Helper, free: () => void) {
  try {
    yield* pieces;
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    // A query that has not ended would continue for nobody.
    if (helper.load > 0) helper.kill("nobody wants the rest");
    free();
  }
}
