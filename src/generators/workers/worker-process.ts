/**
 * A helper process from the view of its parent: calls, their streams of pieces, and its end.
 *
 * Anything a helper does (crash, exit, loop forever) results only in rejected calls here. It dies with its parent.
 */

import { setImmediate } from "node:timers/promises";
import type { Subprocess } from "bun";
import { codeOf, type ErrnoName } from "../../errno.ts";
import { residentPagesOf } from "../../procfs.ts";
import { ROLE, selfCommand } from "../../self.ts";
import type { GeneratorLog } from "../contract.ts";
import { IdleTimer } from "../idle.ts";
import { readTalk } from "../talk.ts";
import {
  type FailureMessage,
  type FromHelper,
  PIECE_BYTES,
  type Question,
  type Task,
  type ToHelper,
} from "./messages.ts";
import type { ProcessGroups } from "./process-groups.ts";

/** The helper ended while it had work. `blame`: no other call was running in it. */
export class HelperDied extends Error {
  override readonly name = "HelperDied";
  readonly blame: boolean;
  readonly code: ErrnoName;

  constructor(message: string, blame: boolean, code: ErrnoName = "EIO") {
    super(message);
    this.blame = blame;
    this.code = code;
  }
}

export interface HelperOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** It leads one of these: whatever the code starts ends with it. */
  readonly groups: ProcessGroups;
  /** Called with the output of the code, line by line. */
  readonly print: (line: string) => void;
  /** Its working directory; by default, one that keeps no directory of the user busy. */
  readonly cwd?: string;
  /** How long a helper may be idle before it is ended; another one is started when needed. */
  readonly idleMs?: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly log?: GeneratorLog;
  /** The data that the task works on, if it is large: it is sent piece by piece. */
  readonly input?: Uint8Array;
  /** Answers the requests of the task. */
  readonly answer?: (question: Question, argument: string) => Promise<unknown>;
}

export interface TaskResult {
  readonly value: unknown;
  /** What follows the result. Ending the iteration early cancels the task. */
  readonly pieces: AsyncIterable<Uint8Array>;
  /** Resolves when the task has ended, in whatever way. */
  readonly ended: Promise<void>;
}

/**
 * As long as a helper exists, Bun wakes the main thread every second to check whether its socket has timed out. A
 * helper with our own code keeps nothing between calls, so starting another one costs only the start.
 */
const IDLE_MS = 10_000;

/** Linux's smallest page size: with larger pages, the result is too low. */
const PAGE = 4096;

/** How long a helper may be silent after a call was cancelled before it counts as looping. */
const PATIENCE_MS = 1000;

interface HelperCall {
  readonly options: CallOptions;
  readonly result: PromiseWithResolvers<unknown>;
  readonly queue: Uint8Array[];
  readonly over: PromiseWithResolvers<void>;
  ended: boolean;
  failure: Error | undefined;
  wake: () => void;
}

export class Helper {
  readonly #process: Subprocess<"ignore", "pipe", "pipe">;
  readonly #calls = new Map<number, HelperCall>();
  readonly #print: (line: string) => void;
  readonly #idle: IdleTimer;
  #next = 1;
  #patience: Timer | undefined;
  /** Why we killed it, if we did. */
  #reason: string | undefined;
  #code: ErrnoName = "EIO";
  alive = true;

  /** `idle` is called after it has been idle for a while: dispose of it then. */
  constructor(options: HelperOptions, idle: () => void) {
    this.#print = options.print;
    this.#idle = new IdleTimer(options.idleMs ?? IDLE_MS, idle);
    this.#process = Bun.spawn({
      cmd: [...selfCommand(), ROLE.helper],
      // Without a home directory, Bun would cache transpiled files in a folder that others may write to.
      env: { ...options.environment, BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0" },
      cwd: options.cwd ?? "/",
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
      // Read on demand: otherwise all output of the code would be in memory at once.
      lazy: true,
      serialization: "advanced",
      // The helper is this same program and sends nothing else.
      ipc: (message: unknown) => this.#take(message as FromHelper),
      onExit: (_, code, signal) =>
        this.#onExit(signal === null ? `ended with status ${code}` : `was ended by ${signal}`),
    });
    options.groups.add(this.#process);
    this.#process.unref();
    for (const stream of [this.#process.stdout, this.#process.stderr]) void readTalk(stream, options.print);
  }

  /** Its current memory in bytes; 0 if it is gone. */
  memory(): number {
    return residentPagesOf(this.#process.pid) * PAGE;
  }

  /** The number of calls in progress. */
  get load(): number {
    return this.#calls.size;
  }

  /** Rejects with HelperDied, or an Error made of what the task threw. */
  async call(task: Task, options: CallOptions = {}): Promise<TaskResult> {
    const call = this.#next++;
    const one: HelperCall = {
      options,
      result: Promise.withResolvers(),
      queue: [],
      over: Promise.withResolvers(),
      ended: false,
      failure: undefined,
      wake: () => {},
    };
    one.result.promise.catch(() => {});
    if (!this.alive) throw new HelperDied("the helper process is gone", false);
    this.#calls.set(call, one);
    this.#idle.begin();
    const abort = () => this.#callOff(call);
    options.signal?.addEventListener("abort", abort, { once: true });
    this.#send({ type: "call", call, task });
    if (options.signal?.aborted === true) abort();
    if (options.input !== undefined) void this.#feed(call, options.input);
    try {
      const value = await one.result.promise;
      return { value, pieces: this.#streamPieces(call, one, abort), ended: one.over.promise };
    } catch (error) {
      options.signal?.removeEventListener("abort", abort);
      throw error;
    }
  }

  async #feed(call: number, input: Uint8Array): Promise<void> {
    for (let at = 0; at < input.length && this.#calls.has(call); at += PIECE_BYTES) {
      this.#send({ type: "input", call, bytes: input.slice(at, at + PIECE_BYTES) });
      await setImmediate();
    }
    this.#send({ type: "input", call, bytes: new Uint8Array(0) });
  }

  /** `code` is the errno for calls that this interrupts. */
  kill(reason: string, code: ErrnoName = "EIO"): void {
    if (!this.alive) return;
    this.alive = false;
    this.#reason = reason;
    this.#code = code;
    this.#process.kill("SIGKILL");
  }

  /** Ends it gracefully: its generators get a short time to be disposed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.alive) return;
    this.#idle.stop();
    const late = setTimeout(() => this.kill("it did not end"), PATIENCE_MS);
    await this.call({ task: "dispose" }).catch(() => {});
    this.#process.disconnect();
    await this.#process.exited;
    clearTimeout(late);
  }

  async *#streamPieces(call: number, one: HelperCall, abort: () => void): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const piece = one.queue.shift();
        if (piece !== undefined) {
          this.#send({ type: "taken", call });
          yield piece;
        } else if (one.failure !== undefined) throw one.failure;
        else if (one.ended) return;
        else {
          await new Promise<void>((resolve) => {
            one.wake = resolve;
          });
        }
      }
    } finally {
      one.options.signal?.removeEventListener("abort", abort);
      if (!one.ended && one.failure === undefined) this.#callOff(call);
    }
  }

  #callOff(call: number): void {
    if (!this.#calls.has(call) || !this.alive) return;
    this.#send({ type: "abort", call });
    this.#send({ type: "ping" });
    this.#patience ??= setTimeout(() => this.kill("it no longer answered"), PATIENCE_MS);
  }

  #send(message: ToHelper): void {
    try {
      if (this.alive) this.#process.send(message);
    } catch {
      // The channel is closed: the process is about to be gone, and its end settles every call.
    }
  }

  #take(message: FromHelper): void {
    if (message.type === "pong") {
      clearTimeout(this.#patience);
      this.#patience = undefined;
      return;
    }
    if (message.type === "print") return this.#print(message.text);
    const one = this.#calls.get(message.call);
    if (one === undefined) return;
    switch (message.type) {
      case "result":
        return one.result.resolve(message.value);
      case "piece":
        one.queue.push(message.bytes);
        return one.wake();
      case "end":
        this.#calls.delete(message.call);
        this.#idle.end();
        one.ended = true;
        one.over.resolve();
        return one.wake();
      case "failed":
        this.#calls.delete(message.call);
        this.#idle.end();
        return this.#fail(one, errorOf(message));
      case "log":
        return one.options.log?.[message.level](message.text);
      case "ask":
        return void this.#answer(one, message);
    }
  }

  async #answer(one: HelperCall, { ask, question, argument }: Extract<FromHelper, { type: "ask" }>): Promise<void> {
    try {
      const value = await one.options.answer?.(question, argument);
      if (!(value instanceof Uint8Array) || value.length <= PIECE_BYTES)
        return this.#send({ type: "answer", ask, value });
      for (let at = 0; at < value.length; at += PIECE_BYTES) {
        this.#send({ type: "part", ask, bytes: value.slice(at, at + PIECE_BYTES) });
        await setImmediate();
      }
      this.#send({ type: "answer", ask, value: undefined });
    } catch (error) {
      const { code, message } = failureOf(error);
      this.#send({ type: "refusal", ask, code, message });
    }
  }

  #onExit(how: string): void {
    this.alive = false;
    this.#idle.stop();
    clearTimeout(this.#patience);
    const why = this.#reason === undefined ? `its process ${how}` : `its process was stopped: ${this.#reason}`;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const one of calls) this.#fail(one, new HelperDied(why, calls.length === 1, this.#code));
  }

  #fail(one: HelperCall, error: Error): void {
    one.failure = error;
    one.over.resolve();
    one.result.reject(error);
    one.wake();
  }
}

/** The name, code, message and stack of whatever was thrown. */
export function failureOf(error: unknown): FailureMessage {
  if (!(error instanceof Error)) return { name: "Error", code: "", message: truncate(inspect(error)), stack: "" };
  const code = codeOf(error) ?? "";
  return { name: truncate(error.name), code, message: truncate(error.message), stack: truncate(error.stack ?? "") };
}

/** Nobody reads more of a message, and it is sent in one piece. */
const LONGEST_MESSAGE = 16 * 1024;

function truncate(text: string): string {
  return text.length <= LONGEST_MESSAGE ? text : `${text.slice(0, LONGEST_MESSAGE)}…`;
}

function inspect(value: unknown): string {
  return typeof value === "string" ? value : Bun.inspect(value, { depth: 2 });
}

/** Restores the error. Its name and code choose the errno, as in generate/to-fs-error.ts. */
function errorOf({ name, code, message, stack }: FailureMessage): Error {
  const error = new Error(message);
  error.name = name;
  // The place where it was created here means nothing to anybody.
  error.stack = stack === "" ? message : stack;
  return Object.assign(error, code === "" ? {} : { code });
}
