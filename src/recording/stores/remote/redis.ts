/**
 * Recordings on Redis, for a fleet: an answer that one machine records is found by all others.
 *
 * Keys: `<prefix>:recording:<key>` holds the text of record.ts; `<prefix>:claim:<key>` holds the token and the
 * description of the process that is generating that answer, with a time to live that the process keeps renewing. See
 * redis-index.ts for `<prefix>:labels` and `<prefix>:written`.
 */

import { messageOf } from "../../../errno.ts";
import { TooLongError } from "../../../text/bounded-read.ts";
import { describeThisProcess, holderIn, LONGEST_TOKEN } from "../../holder.ts";
import { LONGEST_RECORDING } from "../../record.ts";
import type { Claim, RecordingStore } from "../../recording.ts";
import { parseRedis } from "../address.ts";
import { type Lease, Leases, Tokens } from "./lease.ts";
import { connectRedis, type RedisConnection } from "./redis-connection.ts";
import { RedisIndex } from "./redis-index.ts";
import { createRemoteStore, type RemoteObjects, type RemoteOptions } from "./remote.ts";

/** The number of parallel reads when everything is listed. */
const PARALLEL = 64;

/** `url` is an address as in address.ts; `?prefix=NAME` separates stores on one server. */
export function createRedisStore(url: string, options: RemoteOptions = {}): RecordingStore {
  const { claimMs = 30_000, timeoutMs = 15_000, who = describeThisProcess } = options;
  const address = parseRedis(url);
  const { prefix, name } = address;
  const connection = connectRedis(address, timeoutMs);
  const claims = new RedisClaims(connection, (key) => `${prefix}:claim:${key}`, claimMs, who);
  const nameOf = (key: string) => `${prefix}:recording:${key}`;
  const keyOf = (object: string) => object.slice(nameOf("").length);
  const index = new RedisIndex({ connection, prefix, nameOf, name, warn: options.warn ?? (() => {}) });
  const objects: RemoteObjects = {
    name,
    parallel: PARALLEL,
    nameOf,
    async read(object) {
      const text = await readText(connection, object);
      return text === "" ? undefined : { text };
    },
    async write(object, text, label) {
      // Sent together, so that the index costs no time.
      await Promise.all([connection.send("SET", object, text), index.add({ key: keyOf(object), label })]);
    },
    async create(object, text, label) {
      const written = connection.send("SET", object, text, "NX");
      await Promise.all([written, index.add({ key: keyOf(object), label })]);
      return (await written) === "OK";
    },
    async remove(object, label) {
      await Promise.all([connection.send("DEL", object), index.remove(keyOf(object), label)]);
    },
    async list() {
      const found = await connection.scan(nameOf(""));
      const ages = await index.ages(found.map(keyOf));
      return found.map((object) => ({ name: object, age: ages.get(keyOf(object)) }));
    },
    near: (label) => index.near(label),
    async identity() {
      const place = `${prefix}:identity`;
      const id = await connection.send("GET", place);
      if (id === null) await connection.send("SET", place, crypto.randomUUID(), "NX");
      const there = id ?? (await connection.send("GET", place));
      return typeof there === "string" ? there : undefined;
    },
    onConnect(listener) {
      const before = connection.onReady;
      connection.onReady = () => {
        before();
        listener();
      };
    },
    claim: (key) => claims.take(key),
    holder: (key) => claims.holder(key),
    async close() {
      await claims.close();
      connection.close();
    },
  };
  return createRemoteStore(objects, options);
}

/** More than nearly all recordings have: they are read with one request. */
const FIRST_BYTES = 1 << 20;

/** Reads no more than the beginning of a value that is too long to be a recording. */
async function readText(connection: RedisConnection, object: string): Promise<string> {
  const first = await connection.getRange(object, 0, FIRST_BYTES - 1);
  if (first.length < FIRST_BYTES) return first.toString("utf8");
  // Not every user may ask for the length.
  const length = await connection.send("STRLEN", object).catch(() => 0);
  if (Number(length) > LONGEST_RECORDING) throw new TooLongError(LONGEST_RECORDING);
  const rest = await connection.getRange(object, FIRST_BYTES, LONGEST_RECORDING);
  if (first.length + rest.length > LONGEST_RECORDING) throw new TooLongError(LONGEST_RECORDING);
  return Buffer.concat([first, rest]).toString("utf8");
}

/** Only the holder may renew or drop a claim: the server compares and acts in one step. */
const RENEW = `local now = redis.call("get", KEYS[1])
if now and now ~= ARGV[1] then return 0 end
redis.call("set", KEYS[1], ARGV[1], "px", ARGV[2])
return 1`;
const DROP = `if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) else return 0 end`;

class RedisClaims {
  readonly #connection: RedisConnection;
  readonly #place: (key: string) => string;
  readonly #claimMs: number;
  readonly #who: () => string;
  readonly #leases: Leases;
  readonly #tokens = new Tokens();
  /** Whether we may run scripts; not every user may. */
  #scripts = true;

  constructor(connection: RedisConnection, place: (key: string) => string, claimMs: number, who: () => string) {
    this.#connection = connection;
    this.#place = place;
    this.#claimMs = claimMs;
    this.#who = who;
    this.#leases = new Leases(claimMs);
    connection.onReady = () => this.#leases.renewAll();
  }

  async take(key: string): Promise<Claim | undefined> {
    const place = this.#place(key);
    return this.#tokens.use(place, this.#who(), async (token) => {
      const set = await this.#connection.send("SET", place, token, "NX", "PX", this.#claimMs);
      const ours = set === "OK" || (await this.#isOurs(place, token));
      return ours ? this.#leases.hold(this.#lease(place, token)) : undefined;
    });
  }

  async holder(key: string): Promise<string | undefined> {
    const token = await this.#connection.send("GETRANGE", this.#place(key), 0, LONGEST_TOKEN);
    return typeof token === "string" ? holderIn(token) : undefined;
  }

  async close(): Promise<void> {
    await this.#leases.settle();
  }

  /**
   * After a SET that changed nothing: our own may have been sent twice, because the reply to the first one was lost. A
   * claim that never expires was made by no version of llmfs, or lost its time to live: it gets one.
   */
  async #isOurs(place: string, token: string): Promise<boolean> {
    const [value, ttl] = await Promise.all([
      this.#connection.send("GETRANGE", place, 0, LONGEST_TOKEN),
      this.#connection.send("PTTL", place).catch(() => undefined),
    ]);
    if (value === token) return true;
    if (ttl === -1) await this.#connection.send("PEXPIRE", place, this.#claimMs);
    return false;
  }

  #lease(place: string, token: string): Lease {
    /** Until when the claim is certainly ours. */
    let oursUntil = performance.now() + this.#claimMs;
    const renew = async () => {
      const asked = performance.now();
      const ours =
        (await this.#script(RENEW, place, token, this.#claimMs)) ??
        (await this.#renewPlainly(place, token, asked < oursUntil - this.#claimMs / 3));
      if (ours) oursUntil = asked + this.#claimMs;
      return ours;
    };
    const drop = async () => {
      if ((await this.#script(DROP, place, token)) !== undefined) return;
      // Without scripts, comparing and removing are two steps: safe only if the claim cannot expire in between.
      if (performance.now() > oursUntil - this.#claimMs / 3) return;
      if ((await this.#connection.send("GET", place)) === token)
        await this.#connection.send("SET", place, token, "XX", "PX", 1);
    };
    return { renew, drop };
  }

  async #renewPlainly(place: string, token: string, inTime: boolean): Promise<boolean> {
    const value = await this.#connection.send("GET", place);
    if (value !== null && (value !== token || !inTime)) return value === token;
    const condition = value === null ? "NX" : "XX";
    return (await this.#connection.send("SET", place, token, condition, "PX", this.#claimMs)) === "OK";
  }

  /** Whether the script did something; undefined if this user may not run scripts. */
  async #script(text: string, place: string, ...args: (string | number)[]): Promise<boolean | undefined> {
    if (!this.#scripts) return undefined;
    try {
      return (await this.#connection.evaluate(text, place, args)) === 1;
    } catch (error) {
      if (!/NOPERM|unknown command/.test(messageOf(error))) throw error;
      this.#scripts = false;
      return undefined;
    }
  }
}
