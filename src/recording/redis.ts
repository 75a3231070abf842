/**
 * Recordings on Redis, for a fleet: what one machine records, all others find.
 *
 * Keys: `<prefix>:recording:<key>` holds the text of format.ts, `<prefix>:claim:<key>` the token of whoever is making
 * that answer, with a time to live that its holder keeps renewing.
 */
import { RedisClient } from "bun";
import type { ChatRequest } from "../llm/llm.ts";
import { readAnswerTo, readRecording, writeRecording } from "./format.ts";
import { byLabel } from "./memory.ts";
import type { Claim, Fault, Recording, RecordingStore } from "./recording.ts";

export interface RedisOptions {
  /** What is wrong with a recording that is not used; once for each. */
  readonly warn?: (message: string) => void;
  /** How long a claim lives without being renewed. Default 30 s. */
  readonly claimMs?: number;
  /** The longest that one command may take. Default 5 s. */
  readonly timeoutMs?: number;
}

const DEFAULT_PREFIX = "llmfs";

/** Only the holder may renew or drop a claim: compare and act in one step, on the server. */
const RENEW = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("pexpire", KEYS[1], ARGV[2]) else return 0 end`;
const DROP = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end`;

/** `url` is what Bun's client takes (redis://, rediss://, redis+unix://); `?prefix=NAME` separates stores on one server. */
export function redisStore(url: string, options: RedisOptions = {}): RecordingStore {
  const { warn = () => {}, claimMs = 30_000 } = options;
  const { address, prefix, name } = parse(url);
  const send = connection(address, name, options.timeoutMs ?? 5_000);
  const recordingKey = (key: string) => `${prefix}:recording:${key}`;
  const warned = new Set<string>();

  function read(key: string, text: string, request?: ChatRequest): Recording {
    const recording = request === undefined ? readRecording(text) : readAnswerTo({ key, request }, text);
    if (recording.key !== key) throw new Error("it is kept under the key of another");
    return recording;
  }

  async function keys(): Promise<readonly string[]> {
    const found = new Set<string>();
    const pattern = recordingKey("*");
    let cursor = "0";
    do {
      const reply = await send("SCAN", [cursor, "MATCH", pattern, "COUNT", "1000"]);
      if (!Array.isArray(reply)) throw new Error(`${name} does not answer like Redis`);
      const [next, names]: unknown[] = reply;
      for (const one of Array.isArray(names) ? names : []) found.add(String(one).slice(pattern.length - 1));
      cursor = String(next);
    } while (cursor !== "0");
    return [...found].sort();
  }

  async function all(onFault: (key: string, reason: string) => void): Promise<readonly Recording[]> {
    const found: Recording[] = [];
    for (const key of await keys()) {
      const text = await send("GET", [recordingKey(key)]);
      if (typeof text !== "string") continue;
      try {
        found.push(read(key, text));
      } catch (error) {
        onFault(key, said(error));
      }
    }
    return found.sort(byLabel);
  }

  function complain(key: string, reason: string): void {
    if (warned.has(key)) return;
    warned.add(key);
    warn(`the recording ${recordingKey(key)} on ${name} is not used: ${reason}`);
  }

  return {
    name,
    async get(key, _label, request) {
      const text = await send("GET", [recordingKey(key)]);
      if (typeof text !== "string") return undefined;
      try {
        return read(key, text, request);
      } catch (error) {
        complain(key, said(error));
        return undefined;
      }
    },
    async put(recording) {
      await send("SET", [recordingKey(recording.key), writeRecording(recording)]);
    },
    list: () => all(complain),
    async check() {
      const faults: Fault[] = [];
      await all((key, reason) => faults.push({ name: recordingKey(key), reason }));
      return faults;
    },
    async remove(key) {
      await send("DEL", [recordingKey(key)]);
    },
    async discard(fault) {
      await send("DEL", [fault]);
    },
    async claim(key): Promise<Claim | undefined> {
      const place = `${prefix}:claim:${key}`;
      const token = crypto.randomUUID();
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
function connection(address: string, name: string, timeoutMs: number): Send {
  let client: RedisClient | undefined;

  function drop(failed: RedisClient): void {
    if (client === failed) client = undefined;
    failed.close();
  }

  const send = async (command: string, args: string[]): Promise<unknown> => {
    client ??= new RedisClient(address, { connectionTimeout: timeoutMs, autoReconnect: false });
    const used = client;
    let timer: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
    });
    try {
      return await Promise.race([used.send(command, args), late]);
    } catch (error) {
      drop(used);
      throw new Error(`${name}: ${said(error)}`);
    } finally {
      clearTimeout(timer);
    }
  };
  return Object.assign(send, { close: () => client && drop(client) });
}

function said(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
