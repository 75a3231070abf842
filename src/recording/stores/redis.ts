/**
 * Recordings on Redis, for a fleet: an answer that one machine records is found by all others.
 *
 * Keys: `<prefix>:recording:<key>` holds the text of record.ts; `<prefix>:claim:<key>` holds the token and the
 * description of the process that is generating that answer, with a time to live that the process keeps renewing.
 */

import { RedisClient } from "bun";
import { within } from "../../abort.ts";
import { codeOf, messageOf } from "../../errno.ts";
import { TooLongError } from "../../text/bounded-read.ts";
import { describeThisProcess, holderIn, LONGEST_TOKEN } from "../holder.ts";
import { LONGEST_RECORDING } from "../record.ts";
import type { Claim, RecordingStore } from "../recording.ts";
import { createRemoteStore, type RemoteObjects, type RemoteOptions, Unreachable } from "./remote.ts";

/** The number of parallel reads when everything is listed. */
const PARALLEL = 64;
const DEFAULT_PREFIX = "llmfs";

/** Only the holder may renew or drop a claim: the server compares and acts in one step. */
const RENEW = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("pexpire", KEYS[1], ARGV[2]) else return 0 end`;
const DROP = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end`;

/**
 * `url` is a URL for Bun's client (redis://, rediss://, redis+unix://); `?prefix=NAME` separates stores on one server.
 */
export function createRedisStore(url: string, options: RemoteOptions = {}): RecordingStore {
  const { claimMs = 30_000, who = describeThisProcess } = options;
  const { address, prefix, name } = parse(url);
  const send = createConnection(address, name, options.timeoutMs ?? 5_000);
  const nameOf = (key: string) => `${prefix}:recording:${key}`;
  const claimOf = (key: string) => `${prefix}:claim:${key}`;
  const objects: RemoteObjects = {
    name,
    parallel: PARALLEL,
    nameOf,
    async read(object) {
      const text = await send("GETRANGE", [object, "0", String(LONGEST_RECORDING)]);
      if (typeof text !== "string" || text === "") return undefined;
      if (Buffer.byteLength(text) > LONGEST_RECORDING) throw new TooLongError(LONGEST_RECORDING);
      return text;
    },
    async write(object, text) {
      await send("SET", [object, text]);
    },
    async remove(object) {
      await send("DEL", [object]);
    },
    async list() {
      const found = new Set<string>();
      const pattern = `${nameOf("").replace(/[\\*?[\]]/g, "\\$&")}*`;
      let cursor = "0";
      do {
        const reply = await send("SCAN", [cursor, "MATCH", pattern, "COUNT", "1000"]);
        if (!Array.isArray(reply)) throw new Error(`${name} is not a Redis server`);
        const [next, names]: unknown[] = reply;
        for (const one of Array.isArray(names) ? names : []) found.add(String(one));
        cursor = String(next);
      } while (cursor !== "0");
      return [...found].sort().map((one) => ({ name: one }));
    },
    async claim(key): Promise<Claim | undefined> {
      const place = claimOf(key);
      const token = `${crypto.randomUUID()} ${who()}`;
      if ((await send("SET", [place, token, "NX", "PX", String(claimMs)])) !== "OK") return undefined;
      const renew = () => send("EVAL", [RENEW, "1", place, token, String(claimMs)]).catch(() => {});
      const timer = setInterval(renew, claimMs / 3);
      return {
        async [Symbol.asyncDispose]() {
          clearInterval(timer);
          // If it cannot be dropped, it will expire.
          await send("EVAL", [DROP, "1", place, token]).catch(() => {});
        },
      };
    },
    async holder(key) {
      const token = await send("GETRANGE", [claimOf(key), "0", String(LONGEST_TOKEN)]);
      return typeof token === "string" ? holderIn(token) : undefined;
    },
    close: () => send.close(),
  };
  return createRemoteStore(objects, options);
}

function parse(url: string): { readonly address: string; readonly prefix: string; readonly name: string } {
  const parsed = new URL(url);
  const prefix = parsed.searchParams.get("prefix") || DEFAULT_PREFIX;
  parsed.search = "";
  const address = parsed.href;
  // The name is for messages and must not contain a password.
  parsed.username = "";
  parsed.password = "";
  return { address, prefix, name: parsed.href.replace(/\/$/, "") };
}

interface Send {
  (command: string, args: string[]): Promise<unknown>;
  close(): void;
}

/**
 * Sends commands, and connects when needed. Bun's client never recovers once it has failed, and with reconnection
 * enabled retries for half a minute. So reconnection is off, and after a failure the next command gets a new client.
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
      // An error reply from the server does not affect the connection, or other commands on it.
      if (codeOf(error) === "ERR_REDIS_SERVER_ERROR") throw toUserError(name, error);
      drop(used);
      throw new Unreachable(`${name}: ${await explainLoss(address, error)}`);
    }
  };
  return Object.assign(send, { close: () => client && drop(client) });
}

function toUserError(name: string, error: unknown): Error {
  const message = messageOf(error);
  if (message.startsWith("WRONGTYPE")) return new Error("it is not text");
  return new Unreachable(`${name}: ${message}`);
}

/** Bun's client reports "Connection closed" for every connection that could not be established. */
async function explainLoss(address: string, error: unknown): Promise<string> {
  const { protocol, hostname, port, pathname } = new URL(address);
  const code = codeOf(error);
  if (code === "ERR_REDIS_INVALID_RESPONSE_TYPE" || code === "ERR_REDIS_INVALID_RESPONSE") {
    return "the server is not a Redis server";
  }
  if (messageOf(error).startsWith("NOAUTH")) return "the server requires a password; write redis://:PASSWORD@HOST";
  if (code !== "ERR_REDIS_CONNECTION_CLOSED") return messageOf(error);
  const socket = { data() {} };
  const unix = protocol.endsWith("+unix:");
  try {
    const connecting = unix
      ? Bun.connect({ unix: pathname, socket })
      : Bun.connect({ hostname, port: Number(port || "6379"), socket });
    (await connecting).end();
    return "the connection was closed";
  } catch (reason) {
    if (codeOf(reason) === "ECONNREFUSED") return "connection refused; is the server running?";
    if (codeOf(reason) === "ENOTFOUND") return `cannot resolve the host name ${hostname}`;
    return unix ? `no server listens on the socket ${pathname}` : messageOf(error);
  }
}
