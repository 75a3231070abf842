/** The helper process: receives calls, runs them, and ends when there is nobody left to answer. */
import { writeFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { FsError, isErrnoName } from "../../errno.ts";
import { dieWithParent } from "../../libc.ts";
import { Allowance } from "../talk.ts";
import { type FromHelper, PIECE_BYTES, type Question, type Task, type ToHelper, WINDOW } from "./messages.ts";
import { failureOf } from "./worker-process.ts";

/** What a task may do in addition to returning its result. */
export interface Conversation {
  readonly signal: AbortSignal;
  log(level: "debug" | "info" | "warn", text: string): void;
  ask(question: Question, argument: string): Promise<unknown>;
  /** The data that the task works on. */
  input(): Promise<Uint8Array>;
  /** Sends the result before the pieces. */
  result(value: unknown): void;
  /** Sends a piece when there is room for it. */
  piece(bytes: Uint8Array): Promise<void>;
}

/** Runs a task; its return value is the result, unless it has sent one already. */
export type Run = (task: Task, conversation: Conversation) => Promise<unknown>;

/** A longer log message of a generator is truncated. */
const LONGEST_LOGGED = 8192;

type Level = "debug" | "info" | "warn";

interface RunningTask {
  readonly stop: AbortController;
  readonly input: Uint8Array[];
  readonly fed: PromiseWithResolvers<void>;
  room: number;
  wake: () => void;
}

/** Resolves when the parent process is gone, or closed the channel. */
export function runHelper(run: Run): Promise<void> {
  const running = new Map<number, RunningTask>();
  const asked = new Map<number, PromiseWithResolvers<unknown>>();
  const parts = new Map<number, Uint8Array[]>();
  let nextAsk = 1;
  const send = (message: FromHelper) => {
    if (process.connected) process.send?.(message);
  };
  tryQuietly(dieWithParent);
  // If memory runs out, the kernel should kill this process, not the one that holds the files.
  tryQuietly(() => writeFileSync("/proc/self/oom_score_adj", "900"));

  async function take(call: number, task: Task): Promise<void> {
    const stop = new AbortController();
    const one: RunningTask = { stop, input: [], fed: Promise.withResolvers(), room: WINDOW, wake: () => {} };
    running.set(call, one);
    let told = false;
    const allowance = new Allowance();
    const say = (level: Level, text: string) => {
      const short = text.slice(0, LONGEST_LOGGED);
      if (!allowance.takes(short)) return;
      const dropped = allowance.report();
      if (dropped !== undefined) send({ type: "log", call, level: "info", text: dropped });
      send({ type: "log", call, level, text: short });
    };
    const result = (value: unknown) => {
      told = true;
      send({ type: "result", call, value });
    };
    try {
      const value = await run(task, {
        signal: stop.signal,
        log: say,
        async input() {
          await one.fed.promise;
          return Buffer.concat(one.input.splice(0));
        },
        ask(question, argument) {
          const ask = nextAsk++;
          const answer = Promise.withResolvers<unknown>();
          asked.set(ask, answer);
          send({ type: "ask", call, ask, question, argument });
          return answer.promise;
        },
        result,
        async piece(bytes) {
          for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
            while (one.room === 0) {
              stop.signal.throwIfAborted();
              await new Promise<void>((resolve) => {
                one.wake = resolve;
              });
            }
            stop.signal.throwIfAborted();
            one.room -= 1;
            send({ type: "piece", call, bytes: bytes.slice(at, at + PIECE_BYTES) });
            await setImmediate();
          }
        },
      });
      if (!told) result(value);
      send({ type: "end", call });
    } catch (error) {
      send({ type: "failed", call, ...failureOf(error) });
    } finally {
      const dropped = allowance.report();
      if (dropped !== undefined) send({ type: "log", call, level: "info", text: dropped });
      running.delete(call);
    }
  }

  return new Promise((resolve) => {
    process.on("disconnect", () => resolve());
    // An unhandled rejection in a user's code must not end everybody's generators.
    process.on("unhandledRejection", (error) =>
      send({ type: "print", text: `unhandled rejection: ${failureOf(error).message}` }),
    );
    // The parent is this same program and sends nothing else.
    process.on("message", (received) => {
      const message = received as ToHelper;
      switch (message.type) {
        case "call":
          return void take(message.call, message.task);
        case "abort": {
          const one = running.get(message.call);
          one?.stop.abort(new FsError("EINTR", "nobody is waiting for it"));
          return one?.wake();
        }
        case "input": {
          const one = running.get(message.call);
          if (message.bytes.length > 0) one?.input.push(message.bytes);
          else one?.fed.resolve();
          return;
        }
        case "taken": {
          const one = running.get(message.call);
          if (one !== undefined) one.room += 1;
          return one?.wake();
        }
        case "part": {
          const known = parts.get(message.ask) ?? [];
          known.push(message.bytes);
          return void parts.set(message.ask, known);
        }
        case "answer": {
          const long = parts.get(message.ask);
          parts.delete(message.ask);
          asked.get(message.ask)?.resolve(long === undefined ? message.value : new Uint8Array(Buffer.concat(long)));
          return void asked.delete(message.ask);
        }
        case "refusal":
          asked
            .get(message.ask)
            ?.reject(new FsError(isErrnoName(message.code) ? message.code : "EIO", message.message));
          return void asked.delete(message.ask);
        case "ping":
          return send({ type: "pong" });
      }
    });
  });
}

function tryQuietly(work: () => void): void {
  try {
    work();
  } catch {
    // Not allowed here.
  }
}
