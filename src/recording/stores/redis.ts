/**
 * Recordings on Redis, for a fleet: what one machine records, all others find.
 *
 * Keys: `<prefix>:recording:<key>` holds the text of record.ts, `<prefix>:claim:<key>` the token of whoever is making
 * that answer and who that is, with a time to live that its holder keeps renewing.
 */

import { RedisClient } from "bun";
import { within } from "../../abort.ts";
import { codeOf } from "../../errno.ts";
import type { ChatRequest } from "../../llm/llm.ts";
import { TooLongError } from "../../text/bounded-read.ts";
import { describeThisProcess, holderIn, LONGEST_TOKEN } from "../holder.ts";
import { Labels } from "../labels.ts";
import { faultOf, LONGEST_RECORDING, readAnswerTo, readRecording, writeRecording } from "../record.ts";
import type { Claim, Fault, Recording, RecordingStore } from "../recording.ts";
import { compareLabels } from "./memory.ts";

export interface RedisOptions {
  /** What is wrong with a recording that is not used; once for each. */
  readonly warn?: (message: string) => void;
  /** How long a claim lives without being renewed. Default 30 s. */
  readonly claimMs?: number;
  /** The longest that one command may take. Default 5 s. */
  readonly timeoutMs?: number;
  /** Says what others are told of this process when they wait for its answer. */
  readonly who?: () => string;
}

/** So many are read at once when all are listed. */
const PARALLEL = 64;
const DEFAULT_PREFIX = "llmfs";

/** Only the holder may renew or drop a claim: compare and act in one step, on the server. */
const RENEW = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("pexpire", KEYS[1], ARGV[2]) else return 0 end`;
const DROP = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end`;

/** `url` is what Bun's client takes (redis://, rediss://, redis+unix://); `?prefix=NAME` separates stores on one server. */
export function createRedisStore(url: string, options: RedisOptions = {}): RecordingStore {
  const { warn = () => {}, claimMs = 30_000, who = describeThisProcess } = options;
  const { address, prefix, name } = parse(url);
  const send = createConnection(address, name, options.timeoutMs ?? 5_000);
  const recordingKey = (key: string) => `${prefix}:recording:${key}`;
  const claimKey = (key: string) => `${prefix}:claim:${key}`;
  /** Keys that are not used, and why. */
  const unusable = new Map<string, string>();
  const labels = new Labels(async () => {
    const found: { label: string; name: string }[] = [];
    await each(({ label, key }) => found.push({ label, name: key }));
    return found;
  });

  function read(key: string, text: string, request?: ChatRequest): Recording {
    const recording = request === undefined ? readRecording(text) : readAnswerTo({ key, request }, text);
    if (recording.key !== key) throw new Error("it is kept under the key of another");
    return recording;
  }

  async function keys(): Promise<readonly string[]> {
    const found = new Set<string>();
    const before = recordingKey("");
    const pattern = `${before.replace(/[\\*?[\]]/g, "\\$&")}*`;
    let cursor = "0";
    do {
      const reply = await send("SCAN", [cursor, "MATCH", pattern, "COUNT", "1000"]);
      if (!Array.isArray(reply)) throw new Error(`${name} does not answer like Redis`);
      const [next, names]: unknown[] = reply;
      for (const one of Array.isArray(names) ? names : []) found.add(String(one).slice(before.length));
      cursor = String(next);
    } while (cursor !== "0");
    return [...found].sort();
  }

  /** Undefined where there is none. Rejects with an Error of `read`, or when it holds something else than text. */
  async function take(key: string, request?: ChatRequest): Promise<Recording | undefined> {
    const text = await send("GETRANGE", [recordingKey(key), "0", String(LONGEST_RECORDING)]);
    if (typeof text !== "string" || text === "") return undefined;
    if (Buffer.byteLength(text) > LONGEST_RECORDING) throw new TooLongError(LONGEST_RECORDING);
    return read(key, text, request);
  }

  async function each(
    onRecording: (recording: Recording) => void,
    onFault: (key: string, error: unknown) => void = () => {},
  ): Promise<void> {
    const one = async (key: string) => {
      try {
        const recording = await take(key);
        if (recording !== undefined) onRecording(recording);
      } catch (error) {
        if (error instanceof RedisUnreachable) throw error;
        onFault(key, error);
      }
    };
    const all = await keys();
    for (let from = 0; from < all.length; from += PARALLEL)
      await Promise.all(all.slice(from, from + PARALLEL).map(one));
  }

  function complain(key: string, error: unknown): void {
    if (unusable.has(key)) return;
    const reason = reasonOf(error);
    unusable.set(key, `${recordingKey(key)} on ${name}: ${reason}`);
    warn(`the recording ${recordingKey(key)} on ${name} is not used: ${reason}`);
  }

  async function takeOrComplain(key: string, request?: ChatRequest): Promise<Recording | undefined> {
    try {
      return await take(key, request);
    } catch (error) {
      if (error instanceof RedisUnreachable) throw error;
      complain(key, error);
      return undefined;
    }
  }

  return {
    name,
    get: (key, _label, request) => takeOrComplain(key, request),
    async put(recording) {
      await send("SET", [recordingKey(recording.key), writeRecording(recording)]);
      unusable.delete(recording.key);
    },
    async list() {
      const found: Recording[] = [];
      await each((recording) => found.push(recording), complain);
      return found.sort(compareLabels);
    },
    async near(label) {
      const found: Recording[] = [];
      for (const key of await labels.near(label)) {
        const recording = await takeOrComplain(key);
        if (recording !== undefined) found.push(recording);
      }
      return found;
    },
    unusable: (key) => unusable.get(key),
    async check() {
      const faults: Fault[] = [];
      await each(
        () => {},
        (key, error) => faults.push(faultOf(recordingKey(key), error)),
      );
      return faults;
    },
    async remove(key) {
      await send("DEL", [recordingKey(key)]);
    },
    async discard(fault) {
      await send("DEL", [fault]);
    },
    async claim(key): Promise<Claim | undefined> {
      const place = claimKey(key);
      const token = `${crypto.randomUUID()} ${who()}`;
      if ((await send("SET", [place, token, "NX", "PX", String(claimMs)])) !== "OK") return undefined;
      const renew = () => send("EVAL", [RENEW, "1", place, token, String(claimMs)]).catch(() => {});
      const timer = setInterval(renew, claimMs / 3);
      return {
        async [Symbol.asyncDispose]() {
          clearInterval(timer);
          // If it cannot be dropped now, it ends by itself.
          await send("EVAL", [DROP, "1", place, token]).catch(() => {});
        },
      };
    },
    async holder(key) {
      const token = await send("GETRANGE", [claimKey(key), "0", String(LONGEST_TOKEN)]);
      return typeof token === "string" ? holderIn(token) : undefined;
    },
    async close() {
      send.close();
    },
  };
}

function parse(url: string): { readonly address: string; readonly prefix: string; readonly name: string } {
  const parsed = new URL(url);
  const prefix = parsed.searchParams.get("prefix") || DEFAULT_PREFIX;
  parsed.search = "";
  const address = parsed.href;
  // The name is for messages: nobody's password belongs there.
  parsed.username = "";
  parsed.password = "";
  return { address, prefix, name: parsed.href.replace(/\/$/, "") };
}

interface Send {
  (command: string, args: string[]): Promise<unknown>;
  close(): void;
}

/**
 * Sends commands, connecting when needed. Bun's client never recovers once it has failed, and retries for half a
 * minute if it is told to reconnect; so it does not reconnect, and after a failure the next command gets a new one.
 */
function createConnection(address: string, name: string, timeoutMs: number): Send {
  let client: RedisClient | undefined;

  function drop(failed: RedisClient): void {
    if (client === failed) client = undefined;
    failed.close();
  }

  const send = async (command: string, args: string[]): Promise<unknown> => {
    client ??= new RedisClient(address, { connectionTimeout: timeoutMs, autoReconnect: false });
    const used = client;
    try {
      const late = () => new Error(`no answer within ${timeoutMs / 1000} s`);
      return await within(timeoutMs, used.send(command, args), late);
    } catch (error) {
      // What the server refuses leaves the connection, and what others asked on it, as it is.
      if (codeOf(error) === "ERR_REDIS_SERVER_ERROR") throw toUserError(name, error);
      drop(used);
      throw new RedisUnreachable(`${name}: ${await explainLoss(address, error)}`);
    }
  };
  return Object.assign(send, { close: () => client && drop(client) });
}

/** The store as a whole cannot be used. Anything else that `send` rejects with is about one key. */
class RedisUnreachable extends Error {}

function toUserError(name: string, error: unknown): Error {
  const message = reasonOf(error);
  if (message.startsWith("WRONGTYPE")) return new Error("it is no text");
  return new RedisUnreachable(`${name}: ${message}`);
}

/** Bun's client says "Connection closed" of every connection that never came to be. */
async function explainLoss(address: string, error: unknown): Promise<string> {
  const { protocol, hostname, port, pathname } = new URL(address);
  const code = codeOf(error);
  if (code === "ERR_REDIS_INVALID_RESPONSE_TYPE" || code === "ERR_REDIS_INVALID_RESPONSE") {
    return "what answers there is no Redis";
  }
  if (reasonOf(error).startsWith("NOAUTH")) return "it wants a password, as in redis://:PASSWORD@HOST";
  if (code !== "ERR_REDIS_CONNECTION_CLOSED") return reasonOf(error);
  const socket = { data() {} };
  const unix = protocol.endsWith("+unix:");
  try {
    const connecting = unix
      ? Bun.connect({ unix: pathname, socket })
      : Bun.connect({ hostname, port: Number(port || "6379"), socket });
    (await connecting).end();
    return "the connection was closed";
  } catch (reason) {
    if (codeOf(reason) === "ECONNREFUSED") return "connection refused: no server listens there";
    if (codeOf(reason) === "ENOTFOUND") return `the name ${hostname} is not known`;
    return unix ? `${pathname} is no socket that a server listens on` : reasonOf(error);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
