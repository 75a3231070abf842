/**
 * A connection to Redis, to Redis behind Sentinel, or to a cluster, that survives failures.
 *
 * ioredis reconnects and sends unanswered commands again; all commands here may be sent twice. This file adds the limits:
 * when a silent connection is replaced, when to give up, and what to say then.
 */

import { readFileSync } from "node:fs";
import { Cluster, Redis } from "ioredis";
import { pause, within } from "../../../abort.ts";
import { codeOf, messageOf } from "../../../errno.ts";
import { formatTimeSpan } from "../../../text/duration.ts";
import { Unreachable } from "../../recording.ts";
import type { RedisAddress } from "../address.ts";

export interface RedisConnection {
  /** Sends a command about one key. Rejects with Unreachable, or with an error about the key. */
  send(command: string, key: string, ...args: readonly (string | number)[]): Promise<unknown>;
  /** A part of a value, as bytes; empty if there is none. Rejects like `send`. */
  getRange(key: string, from: number, to: number): Promise<Buffer>;
  /** Runs a script on one key. */
  evaluate(script: string, key: string, args: readonly (string | number)[]): Promise<unknown>;
  /** All keys with a prefix, on all masters; or some, at least `most` of them. */
  scan(prefix: string, most?: number): Promise<readonly string[]>;
  /** The time of the server, in milliseconds since 1970. */
  time(): Promise<number>;
  /** Called whenever there is a new connection. */
  onReady: () => void;
  close(): void;
}

/** A reply that takes longer is requested again on a new connection. */
const SILENCE_MS = 7_000;
/** Long texts get more time: as much as at this many characters per millisecond. */
const SLOWEST_LINK = 50;
/** How often to try to connect, before and after the first success: a server restarts within a few seconds. */
const FIRST_ATTEMPTS = 3;
const MORE_ATTEMPTS = 8;
const SLOWEST_RETRY_MS = 2_000;

/** Replies of a server that is starting, failing over or busy: it will do later. */
const TEMPORARY = /^(LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|FAILOVER|NOREPLICAS|UNBLOCKED)\b/;

export function connectRedis(address: RedisAddress, timeoutMs: number): RedisConnection {
  let client: Redis | Cluster | undefined;
  /** What went wrong most recently with the connection itself. */
  let lost: unknown;

  function open(): Redis | Cluster {
    if (client !== undefined && client.status !== "end") return client;
    let connected = false;
    const retry = (times: number) => {
      if (times >= (connected ? MORE_ATTEMPTS : FIRST_ATTEMPTS)) return null;
      return Math.min(50 * 2 ** times, SLOWEST_RETRY_MS) * (0.5 + Math.random() / 2);
    };
    const opened = createClient(address, retry, Math.min(SILENCE_MS, timeoutMs / 2));
    opened.on("error", (error: unknown) => {
      lost = error;
    });
    opened.on("ready", () => {
      connected = true;
      lost = undefined;
      connection.onReady();
    });
    client = opened;
    return opened;
  }

  /** Sends, and sends again as long as the server is only temporarily unable. */
  async function attempt(send: (client: Redis | Cluster) => Promise<unknown>, until: number): Promise<unknown> {
    for (let delay = 50; ; delay = Math.min(delay * 2, SLOWEST_RETRY_MS)) {
      try {
        return await send(open());
      } catch (error) {
        if (!TEMPORARY.test(messageOf(error)) || performance.now() + delay > until) throw error;
        await pause(delay * (0.5 + Math.random() / 2));
      }
    }
  }

  async function limitTime<T>(work: Promise<T>, limit = timeoutMs): Promise<T> {
    try {
      return await within(limit, work, () => new AnswerTimeout(limit));
    } catch (error) {
      throw explain(error, address, lost);
    }
  }

  const run = (command: string, args: readonly (string | number)[]) => {
    const limit = timeoutMs + args.reduce<number>((sum, arg) => sum + String(arg).length, 0) / SLOWEST_LINK;
    return limitTime(
      attempt((opened) => opened.call(command, ...args), performance.now() + limit),
      limit,
    );
  };

  const connection: RedisConnection = {
    onReady: () => {},
    send: (command, key, ...args) => run(command, [key, ...args]),
    async getRange(key, from, to) {
      const get = (opened: Redis | Cluster) => opened.callBuffer("GETRANGE", key, from, to);
      const bytes = await limitTime(attempt(get, performance.now() + timeoutMs));
      return Buffer.isBuffer(bytes) ? bytes : Buffer.alloc(0);
    },
    evaluate: (script, key, args) => run("EVAL", [script, 1, key, ...args]),
    async time() {
      const reply = await run("TIME", []);
      const [seconds, microseconds] = Array.isArray(reply) ? reply : [];
      return Number(seconds) * 1000 + Number(microseconds) / 1000;
    },
    async scan(prefix, most = Number.POSITIVE_INFINITY) {
      const found = new Set<string>();
      const pattern = `${prefix.replace(/[\\*?[\]]/g, "\\$&")}*`;
      const one = open();
      // A cluster's nodes are known once a command has been answered.
      if (one instanceof Cluster) await run("EXISTS", [prefix]);
      for (const node of one instanceof Cluster ? one.nodes("master") : [one]) {
        let cursor = "0";
        do {
          const page = await limitTime(node.scan(cursor, "MATCH", pattern, "COUNT", 1000));
          for (const key of page[1]) found.add(key);
          cursor = page[0];
        } while (cursor !== "0" && found.size < most);
      }
      return [...found].sort();
    },
    close() {
      client?.disconnect();
      client = undefined;
    },
  };
  return connection;
}

class AnswerTimeout extends Error {
  constructor(timeoutMs: number) {
    super(`no answer within ${formatTimeSpan(Math.round(timeoutMs))}`);
  }
}

type Retry = (times: number) => number | null;

function createClient(address: RedisAddress, retry: Retry, silenceMs: number): Redis | Cluster {
  const { kind, hosts, socket, master, db, username, password, sentinelUsername, sentinelPassword } = address;
  const tls = address.tls && readTls(address.tls);
  const common = {
    lazyConnect: true,
    connectTimeout: silenceMs,
    socketTimeout: silenceMs,
    keepAlive: 10_000,
    // Not every user may send INFO; while the server is loading, it says so in its replies.
    enableReadyCheck: false,
    disableClientInfo: true,
    maxRetriesPerRequest: null,
    ...(db !== undefined && { db }),
    ...(username && { username }),
    ...(password && { password }),
    ...(tls && { tls }),
  };
  if (kind === "cluster") {
    return new Cluster([...hosts], {
      lazyConnect: true,
      enableReadyCheck: false,
      slotsRefreshTimeout: silenceMs,
      clusterRetryStrategy: retry,
      redisOptions: common,
    });
  }
  if (kind === "sentinel") {
    return new Redis({
      ...common,
      retryStrategy: retry,
      sentinels: [...hosts],
      name: master ?? "",
      sentinelRetryStrategy: retry,
      ...(sentinelUsername && { sentinelUsername }),
      ...(sentinelPassword && { sentinelPassword }),
      ...(tls && { sentinelTLS: tls, enableTLSForSentinelMode: true }),
      // After a failover, the old master may still answer, as a replica.
      reconnectOnError: (error: Error) => (error.message.startsWith("READONLY") ? 2 : false),
    });
  }
  const [server] = hosts;
  return new Redis({ ...common, retryStrategy: retry, ...(socket === undefined ? server : { path: socket }) });
}

function readTls({ ca, cert, key }: NonNullable<RedisAddress["tls"]>) {
  return {
    ...(ca && { ca: readFileSync(ca) }),
    ...(cert && { cert: readFileSync(cert) }),
    ...(key && { key: readFileSync(key) }),
  };
}

function explain(error: unknown, address: RedisAddress, lost: unknown): Error {
  const message = messageOf(error);
  const { name } = address;
  if (message.startsWith("WRONGTYPE")) return new Error("it is not text");
  if (message.startsWith("NOAUTH")) {
    return new Unreachable(`${name}: the server requires a password; write redis://:PASSWORD@HOST`, { refused: true });
  }
  // Commands that wait for a connection fail because it ends; why it was refused is in an event.
  const reply = [error, lost].find((one) => one instanceof Error && one.name === "ReplyError");
  if (reply !== undefined) {
    const text = messageOf(reply);
    return new Unreachable(`${name}: ${text}`, { refused: !TEMPORARY.test(text) });
  }
  // ioredis reports that a connection is closed, and why in an event.
  return new Unreachable(
    `${name}: ${explainLoss(error instanceof AnswerTimeout && lost === undefined ? error : (lost ?? error), address)}`,
  );
}

function explainLoss(error: unknown, address: RedisAddress): string {
  const { hosts, socket } = address;
  // A cluster reports that none of its nodes can be used, and why in another error.
  const node = error instanceof Error && "lastNodeError" in error ? error.lastNodeError : undefined;
  if (node instanceof Error) return explainLoss(node, address);
  const message = messageOf(error);
  const code = codeOf(error);
  const silent = /^Socket timeout\D*(\d+)ms/.exec(message)?.[1];
  if (silent !== undefined) return `no answer within ${formatTimeSpan(Number(silent))}`;
  if (message.startsWith("NOAUTH")) return "the server requires a password; write redis://:PASSWORD@HOST";
  if (/^Protocol error|reply type byte|Unknown RESP type/.test(message)) return "the server is not a Redis server";
  if (socket !== undefined && code !== undefined) return `no server listens on the socket ${socket}`;
  if (code === "ECONNREFUSED") return "connection refused; is the server running?";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return `cannot resolve the host name ${hosts.map(({ host }) => host).join(", ")}`;
  }
  return message;
}
