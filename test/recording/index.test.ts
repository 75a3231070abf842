/** What a store finds without reading everything: recordings similar to a missing one, and how old each is. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { RedisClient } from "bun";
import type { ChatRequest } from "../../src/llm/llm.ts";
import { requestKey } from "../../src/recording/key.ts";
import { writeRecording } from "../../src/recording/record.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import type { Recording, RecordingStore } from "../../src/recording/recording.ts";
import { entriesOf } from "../../src/recording/stores/entries.ts";
import { createRedisStore } from "../../src/recording/stores/remote/redis.ts";
import { createS3Store } from "../../src/recording/stores/remote/s3.ts";
import { REDIS, redisServer, S3_KEYS, S3RVER, type Server, s3Server } from "../support/servers.ts";

const MANY = 3_000;

let redis: Server;
let client: RedisClient;
let s3: Server;
let s3Requests = 0;
let counter: ReturnType<typeof Bun.serve>;

beforeAll(async () => {
  if (REDIS !== null) {
    redis = await redisServer();
    client = new RedisClient(redis.url);
  }
  if (!existsSync(S3RVER)) return;
  s3 = await s3Server();
  counter = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      s3Requests += 1;
      const { pathname, search } = new URL(request.url);
      const { method, headers } = request;
      const body = method === "PUT" ? await request.arrayBuffer() : undefined;
      return fetch(`${s3.url}${pathname}${search}`, { method, headers, ...(body && { body }) });
    },
  });
});
afterAll(async () => {
  client?.close();
  counter?.stop(true);
  await redis?.[Symbol.asyncDispose]();
  await s3?.[Symbol.asyncDispose]();
});

const requestOf = (label: string, version: string): ChatRequest => ({
  model: "m",
  messages: [{ role: "user", content: `Write ${label}\nversion ${version}` }],
});

function recordingOf(label: string): Recording {
  const request = requestOf(label, "1");
  return { key: requestKey(request), label, request, answer: { text: `text of ${label}\n`, model: "m" } };
}

async function missOf(store: RecordingStore, label: string): Promise<string> {
  const recorded = createRecordedModel(undefined, store, { mode: "replay" });
  return recorded.complete(requestOf(label, "2"), { label }).then(
    () => "found",
    (error: unknown) => String(error),
  );
}

async function commands(): Promise<number> {
  const info = String(await client.send("INFO", ["stats"]));
  return Number(/total_commands_processed:(\d+)/.exec(info)?.[1]);
}

const labels = Array.from({ length: MANY }, (_, index) => `/dir ${index % 10}/file ${index}.ts`);

describe.skipIf(REDIS === null)("Redis with thousands of recordings (needs redis-server)", () => {
  test("a miss is explained by the recording with the same label, from a few requests", async () => {
    const store = createRedisStore(`${redis.url}?prefix=indexed`);
    await Promise.all(labels.map((label) => store.put(recordingOf(label))));
    const before = await commands();
    expect(await missOf(store, "/dir 7/file 1237.ts")).toContain("The nearest is /dir 7/file 1237.ts (");
    expect((await commands()) - before).toBeLessThan(50);
    await store.close?.();
  });

  test("a miss of a new file is explained by one in the same directory", async () => {
    const store = createRedisStore(`${redis.url}?prefix=indexed`);
    const before = await commands();
    expect(await missOf(store, "/dir 7/new.ts")).toMatch(/The nearest is \/dir 7\/file \d+\.ts/);
    expect(await missOf(store, "/elsewhere/new.ts")).toMatch(/The nearest is \/dir \d\/file/);
    expect((await commands()) - before).toBeLessThan(80);
    await store.close?.();
  });

  test("a miss among recordings of an older version, without an index, takes a limited number of requests", async () => {
    const all = labels.map(recordingOf);
    await Promise.all(all.map((one) => client.set(`old:recording:${one.key}`, writeRecording(one))));
    const store = createRedisStore(`${redis.url}?prefix=old`);
    const before = await commands();
    expect(await missOf(store, "/dir 7/file 1237.ts")).toContain("The nearest is /dir ");
    expect((await commands()) - before).toBeLessThan(MANY);
    await store.close?.();
  });

  test("a removed recording leaves no entry", async () => {
    const store = createRedisStore(`${redis.url}?prefix=removed`);
    const one = recordingOf("/a");
    await store.put(one);
    expect(await client.send("ZCARD", ["removed:labels"])).toBe(1);
    await store.remove?.(one.key, one.label);
    expect(await client.send("KEYS", ["removed:*"])).toEqual([]);
    await store.close?.();
  });

  test("the age of a recording is known, and that of an older version's counts from its first listing", async () => {
    const store = createRedisStore(`${redis.url}?prefix=ages`);
    const [one, two] = [recordingOf("/a"), recordingOf("/b")];
    await store.put(one);
    await client.set(`ages:recording:${two.key}`, writeRecording(two));
    const ages = async () => {
      const entries = await Array.fromAsync(entriesOf(store));
      return new Map(entries.map(({ recording, age }) => [recording?.label, age]));
    };
    const first = await ages();
    expect(first.get("/a")).toBeLessThan(60_000);
    expect(first.get("/b")).toBeUndefined();
    const second = await ages();
    expect(second.get("/b")).toBeLessThan(60_000);
    const [score] = await Promise.all([client.send("ZSCORE", ["ages:written", one.key])]);
    await client.send("ZADD", ["ages:written", String(Number(score) - 86_400_000), one.key]);
    expect((await ages()).get("/a")).toBeGreaterThan(86_000_000);
    await store.close?.();
  });

  test("a value that is too long to be a recording is not read to its end", async () => {
    const key = "e".repeat(64);
    await client.send("SETRANGE", [`long:recording:${key}`, String(300 << 20), "x"]);
    const warnings: string[] = [];
    const store = createRedisStore(`${redis.url}?prefix=long`, { warn: (line) => warnings.push(line) });
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    expect(await store.get(key)).toBeUndefined();
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 << 20);
    expect(warnings).toEqual([expect.stringContaining("is not used")]);
    await client.send("DEL", [`long:recording:${key}`]);
    await store.close?.();
  });

  test("a recording of several megabytes is read whole, with characters of several bytes", async () => {
    const store = createRedisStore(`${redis.url}?prefix=large`);
    const one = { ...recordingOf("/large"), answer: { text: "a🌊".repeat(600_000), model: "m" } };
    await store.put(one);
    expect(await store.get(one.key)).toEqual(one);
    await store.close?.();
  });

  test("a user without the rights for the index can record and replay", async () => {
    await client.send("ACL", ["SETUSER", "plain", "on", ">pw", "~*", "-@all", "+get", "+getrange", "+set"]);
    const warnings: string[] = [];
    const url = redis.url.replace("redis+unix://", "redis+unix://plain:pw@");
    const store = createRedisStore(`${url}?prefix=plain`, { warn: (line) => warnings.push(line) });
    const one = recordingOf("/a");
    await store.put(one);
    expect(await store.get(one.key)).toEqual(one);
    expect(await missOf(store, "/b")).toContain("no recording for /b");
    expect(warnings).toEqual([expect.stringContaining("misses are explained less well")]);
    await store.close?.();
  });
});

describe.skipIf(!existsSync(S3RVER))("S3 with many recordings (needs s3rver)", () => {
  const open = (prefix: string) =>
    createS3Store(`s3://fleet/${prefix}`, { ...S3_KEYS, endpoint: `http://127.0.0.1:${counter.port}` });

  test("a miss is explained by a similar recording, from a few requests", async () => {
    const store = open("indexed");
    for (let from = 0; from < 120; from += 30) {
      await Promise.all(labels.slice(from, from + 30).map((label) => store.put(recordingOf(label))));
    }
    const before = s3Requests;
    expect(await missOf(store, "/dir 7/file 97.ts")).toContain("The nearest is /dir 7/file 97.ts (");
    expect(await missOf(store, "/dir 7/new.ts")).toMatch(/The nearest is \/dir 7\/file \d+\.ts/);
    expect(await missOf(store, "/elsewhere/new.ts")).toMatch(/The nearest is \/dir \d\/file/);
    expect(s3Requests - before).toBeLessThan(50);
    await store.close?.();
  });

  test("any label can be indexed, and a removed recording leaves no object", async () => {
    const store = open("any");
    const strange = [
      "/..",
      "//a//b/",
      "/a/../b",
      "/über 🌊",
      `/${"x".repeat(3000)}`,
      "repair of /a",
      "/\u001b\n",
      "/%2F",
      "/.x",
    ];
    for (const label of strange) await store.put(recordingOf(label));
    for (const label of strange) expect(await missOf(store, label)).toContain("The nearest is ");
    expect((await store.list()).length).toBe(strange.length);
    for (const { key, label } of await store.list()) await store.remove?.(key, label);
    expect(await missOf(store, "/a")).toContain("has none");
    await store.close?.();
  });
});
