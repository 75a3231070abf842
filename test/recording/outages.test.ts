/** Shared stores that are slow, silent, cut off, restarted or unable to do what they should: real servers behind proxies. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RedisClient } from "bun";
import type { ChatRequest } from "../../src/llm/llm.ts";
import { requestKey } from "../../src/recording/key.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import type { RecordingStore } from "../../src/recording/recording.ts";
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import { createRedisStore } from "../../src/recording/stores/remote/redis.ts";
import { createSharedStore, type SharedOptions } from "../../src/recording/stores/shared.ts";
import { programs, testWith } from "../support/needs.ts";
import { scriptedModel } from "../support/scripted-model.ts";
import { redisServer, type Server } from "../support/servers.ts";
import { recordingOf } from "../support/store-contract.ts";
import { type TcpProxy, tcpProxy, upstreamOf } from "../support/tcp-proxy.ts";

const withRedis = testWith(programs("redis-server"));

const ask = (content: string): ChatRequest => ({ model: "m", messages: [{ role: "user", content }] });

let redis: Server;
let client: RedisClient;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-outages-"));
  if (Bun.which("redis-server") === null) return;
  redis = await redisServer();
  client = new RedisClient(redis.url);
});

afterAll(async () => {
  client?.close();
  await redis?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Holds as soon as the condition does, which should be soon. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 20_000; !(await holds()); await Bun.sleep(10)) {
    if (performance.now() > end) throw new Error("it did not happen within 20 s");
  }
}

describe("a connection to Redis", () => {
  withRedis("a connection to Redis that the server closes is replaced without an error", async () => {
    const store = createRedisStore(`${redis.url}?prefix=closed`);
    const one = recordingOf("x");
    await store.put(one);
    for (let i = 0; i < 3; i += 1) {
      await client.send("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "yes"]);
      expect(await store.get(one.key)).toEqual(one);
    }
    await store.close?.();
  });

  withRedis("a connection to Redis that ends with requests in progress is replaced, and all are answered", async () => {
    await using proxy = await tcpProxy(upstreamOf(redis.url));
    const store = createRedisStore(`redis://127.0.0.1:${proxy.port}?prefix=under-way`);
    const all = Array.from({ length: 50 }, (_, index) => recordingOf(`${index}`, `/${index}`));
    await Promise.all(all.map((one) => store.put(one)));
    proxy.delayMs = 100;
    const answers = Promise.all(all.map(({ key }) => store.get(key)));
    await Bun.sleep(30);
    proxy.drop();
    proxy.delayMs = 0;
    expect(await answers).toEqual(all);
    await store.close?.();
  });

  withRedis("a connection to Redis that falls silent is replaced, and all its requests are answered", async () => {
    await using proxy = await tcpProxy(upstreamOf(redis.url));
    const store = createRedisStore(`redis://127.0.0.1:${proxy.port}?prefix=silent`, { timeoutMs: 5_000 });
    const all = Array.from({ length: 20 }, (_, index) => recordingOf(`${index}`, `/${index}`));
    await Promise.all(all.map((one) => store.put(one)));
    proxy.silence("open");
    expect(await Promise.all(all.map(({ key }) => store.get(key)))).toEqual(all);
    await store.close?.();
  });

  withRedis("requests wait for a Redis server that restarts", async () => {
    const home = mkdtempSync(join(folder, "restart-"));
    await using first = await redisServer(home);
    const store = createRedisStore(first.url);
    const one = recordingOf("x");
    await store.put(one);
    await first.kill();
    const found = store.get(one.key);
    await Bun.sleep(300);
    await using _second = await redisServer(home);
    expect(await found).toBeUndefined();
    await store.close?.();
  });
});

describe("a claim on Redis", () => {
  const key = "a".repeat(64);
  const open = (prefix: string, url = redis.url) => createRedisStore(`${url}?prefix=${prefix}`, { claimMs: 600 });

  withRedis("a claim on Redis without a time to live gets one, and is free after that", async () => {
    await client.set(`forever:claim:${key}`, "somebody");
    const store = open("forever");
    expect(await store.claim?.(key)).toBeUndefined();
    expect(Number(await client.send("PTTL", [`forever:claim:${key}`]))).toBeGreaterThan(0);
    await until(async () => (await store.claim?.(key)) !== undefined);
    await store.close?.();
  });

  withRedis("a claim on Redis is recognized as ours if it was sent twice because the reply was lost", async () => {
    await using proxy = await tcpProxy(upstreamOf(redis.url));
    const store = open("twice", `redis://127.0.0.1:${proxy.port}`);
    await store.get(key);
    proxy.delayMs = 200;
    const claim = store.claim?.(key);
    await until(async () => (await client.get(`twice:claim:${key}`)) !== null);
    proxy.drop();
    proxy.delayMs = 0;
    expect(await claim).toBeDefined();
    await store.close?.();
  });

  withRedis(
    "a claim on Redis that the server forgot is made again by its holder, at once if the connection was lost too",
    async () => {
      const store = createRedisStore(`${redis.url}?prefix=forgot`, { claimMs: 60_000 });
      const claim = await store.claim?.(key);
      await client.del(`forgot:claim:${key}`);
      await client.send("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "yes"]);
      await until(async () => (await client.get(`forgot:claim:${key}`)) !== null);
      const evicted = open("evicted");
      const other = await evicted.claim?.(key);
      await client.del(`evicted:claim:${key}`);
      await until(async () => (await client.get(`evicted:claim:${key}`)) !== null);
      await claim?.[Symbol.asyncDispose]();
      await other?.[Symbol.asyncDispose]();
      await until(async () => (await client.get(`forgot:claim:${key}`)) === null);
      await until(async () => (await client.get(`evicted:claim:${key}`)) === null);
      await Promise.all([store.close?.(), evicted.close?.()]);
    },
  );

  withRedis("a claim on Redis that another process took over is neither renewed nor dropped", async () => {
    const store = open("taken");
    const claim = await store.claim?.(key);
    await client.set(`taken:claim:${key}`, "somebody else");
    await Bun.sleep(500);
    await claim?.[Symbol.asyncDispose]();
    await store.close?.();
    expect(await client.get(`taken:claim:${key}`)).toBe("somebody else");
    expect(await client.send("PTTL", [`taken:claim:${key}`])).toBe(-1);
  });

  withRedis("a claim on Redis can be renewed and dropped by a user who may not run scripts", async () => {
    const rights = ["on", ">secret", "~plain:*", "+get", "+getrange", "+set", "+del", "+pttl", "+hello", "+select"];
    await client.send("ACL", ["SETUSER", "plain", ...rights]);
    const store = open("plain", redis.url.replace("://", "://plain:secret@"));
    const claim = await store.claim?.(key);
    expect(claim).toBeDefined();
    const other = open("plain");
    for (let i = 0; i < 12; i += 1) {
      expect(await other.claim?.(key)).toBeUndefined();
      await Bun.sleep(100);
    }
    await claim?.[Symbol.asyncDispose]();
    await until(async () => (await other.claim?.(key)) !== undefined);
    await Promise.all([store.close?.(), other.close?.()]);
  });
});

/** A machine that uses Redis through a proxy. */
interface Machine {
  readonly proxy: TcpProxy;
  readonly store: RecordingStore;
  readonly warnings: string[];
  readonly model: ReturnType<typeof scriptedModel>;
  answer(what: string): Promise<string>;
}

async function machine(
  prefix: string,
  answers: (what: string) => Promise<string>,
  options: Partial<SharedOptions> = {},
) {
  const proxy = await tcpProxy(upstreamOf(redis.url));
  const warnings: string[] = [];
  const warn = (line: string) => warnings.push(line);
  const shared = createRedisStore(`redis://127.0.0.1:${proxy.port}?prefix=${prefix}`, {
    timeoutMs: 1_000,
    claimMs: 60_000,
  });
  const local = createFolderStore(mkdtempSync(join(folder, "local-")));
  const store = createSharedStore(shared, { local, warn, lostMs: 300, absentMs: 300, lastMs: 2_000, ...options });
  const model = scriptedModel(async ({ messages }) => await answers(messages[0]?.content ?? ""));
  const required = options.required === true;
  const recorded = createRecordedModel(model, store, { mode: "auto", pollMs: 20, warn, required });
  return {
    proxy,
    store,
    warnings,
    model,
    answer: async (what: string) => (await recorded.complete(ask(what), { label: `/${what}` })).text,
  } satisfies Machine;
}

describe("a machine that is cut off", () => {
  withRedis(
    "a machine that is cut off waits for the store to return, and pays for no answer that another machine has",
    async () => {
      const one = await machine("waits", async (what) => `one: ${what}`, { lostMs: 60_000 });
      const two = await machine("waits", async (what) => `two: ${what}`);
      await one.answer("before");
      await one.proxy.cut();
      const answer = one.answer("during");
      await two.answer("during");
      await one.proxy.restore();
      expect(await answer).toBe("two: during");
      expect(one.model.requests).toHaveLength(1);
      expect(await one.store.settle?.()).toEqual([]);
      await Promise.all([one.store.close?.(), two.store.close?.()]);
    },
  );

  withRedis("a machine that is cut off copies its answers to the store when that returns", async () => {
    const one = await machine("brings", async (what) => `one: ${what}`);
    await one.answer("before");
    await one.proxy.cut();
    expect(await one.answer("during")).toBe("one: during");
    expect(one.warnings.join("\n")).toContain("cannot be used");
    await one.proxy.restore();
    const key = requestKey(ask("during"));
    await until(async () => (await client.get(`brings:recording:${key}`)) !== null);
    expect(await one.store.settle?.()).toEqual([]);
    await one.store.close?.();
  });

  withRedis("a machine that is cut off reports at its end which answers only it has", async () => {
    const one = await machine("only", async (what) => `one: ${what}`);
    await one.answer("before");
    await one.proxy.cut();
    await one.answer("during");
    const problems = (await one.store.settle?.()) ?? [];
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain("1 file (/during) is recorded on this machine only");
    await one.store.close?.();
  });

  withRedis("the answer of another machine is used if the own one is ready only after the store is back", async () => {
    const { promise: gate, resolve: go } = Promise.withResolvers<void>();
    const one = await machine("wins", async (what) => {
      if (what === "during") await gate;
      return `one: ${what}`;
    });
    const two = await machine("wins", async (what) => `two: ${what}`);
    await one.answer("before");
    const answer = one.answer("during");
    await until(() => one.model.requests.length === 2);
    await one.proxy.cut();
    // Its claim has expired in the meantime.
    await client.del(`wins:claim:${requestKey(ask("during"))}`);
    expect(await two.answer("during")).toBe("two: during");
    await one.proxy.restore();
    go();
    expect(await answer).toBe("two: during");
    expect(await one.store.settle?.()).toEqual([]);
    await Promise.all([one.store.close?.(), two.store.close?.()]);
  });

  withRedis("a machine reports an answer that it used and for which another machine has a different one", async () => {
    const one = await machine("differs", async (what) => `one: ${what}`);
    const two = await machine("differs", async (what) => `two: ${what}`);
    await one.answer("before");
    await one.proxy.cut();
    expect(await one.answer("during")).toBe("one: during");
    expect(await two.answer("during")).toBe("two: during");
    await one.proxy.restore();
    await until(() => one.warnings.some((line) => line.includes("/during")));
    const problems = (await one.store.settle?.()) ?? [];
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain("1 file (/during) is not what other machines got");
    // From now on it has the same answer as the others.
    expect(await one.answer("during")).toBe("two: during");
    await Promise.all([one.store.close?.(), two.store.close?.()]);
  });

  withRedis("no request is sent if a required store is down, and no paid answer is lost", async () => {
    const { promise: gate, resolve: go } = Promise.withResolvers<void>();
    const one = await machine(
      "required",
      async (what) => {
        if (what === "under way") await gate;
        return `one: ${what}`;
      },
      { required: true },
    );
    await one.answer("before");
    const underWay = one.answer("under way");
    await until(() => one.model.requests.length === 2);
    await one.proxy.cut();
    await expect(one.answer("during")).rejects.toMatchObject({ kind: "recordings" });
    go();
    await expect(underWay).rejects.toMatchObject({ kind: "recordings" });
    await one.proxy.restore();
    await until(async () => (await one.answer("under way").catch(() => "")) === "one: under way");
    expect(one.model.requests).toHaveLength(2);
    expect(await one.store.settle?.()).toEqual([]);
    await one.store.close?.();
  });

  withRedis("waiting for the store ends when the request is no longer needed", async () => {
    const one = await machine("cancelled", async (what) => what, { lostMs: 60_000 });
    await one.answer("before");
    await one.proxy.cut();
    const recorded = createRecordedModel(one.model, one.store, { mode: "auto" });
    const signal = AbortSignal.timeout(100);
    await expect(recorded.complete(ask("during"), { signal })).rejects.toMatchObject({ kind: "cancelled" });
    await one.store.close?.();
  });

  withRedis("a ready answer is returned soon, even if the store falls silent while its claim is held", async () => {
    const { promise: gate, resolve: go } = Promise.withResolvers<void>();
    const one = await machine(
      "ready",
      async (what) => {
        await gate;
        return `one: ${what}`;
      },
      { readyMs: 200, lostMs: 60_000 },
    );
    const answer = one.answer("during");
    await until(() => one.model.requests.length === 1);
    one.proxy.silence();
    go();
    const begun = performance.now();
    expect(await answer).toBe("one: during");
    expect(performance.now() - begun).toBeLessThan(2_000);
    await one.proxy.restore();
    await until(async () => (await client.get(`ready:recording:${requestKey(ask("during"))}`)) !== null);
    expect(await one.store.settle?.()).toEqual([]);
    await one.store.close?.();
  });

  withRedis("brings back what it used when the store was emptied, and reports what others answered then", async () => {
    const one = await machine("emptied", async (what) => `one: ${what}`);
    const two = await machine("emptied", async (what) => `two: ${what}`);
    for (const what of ["a", "b"]) expect(await one.answer(what)).toBe(`one: ${what}`);
    expect(await two.answer("a")).toBe("one: a");
    const keys = (await client.send("KEYS", ["emptied:*"])) as string[];
    await client.send("DEL", keys);
    // As when the server was restarted.
    one.proxy.drop();
    await until(async () => (await client.get(`emptied:recording:${requestKey(ask("b"))}`)) !== null);
    expect(await two.answer("b")).toBe("one: b");
    expect(two.model.requests).toHaveLength(0);
    await client.send("DEL", (await client.send("KEYS", ["emptied:*"])) as string[]);
    await client.set(`emptied:recording:${requestKey(ask("b"))}`, await textOf("b", "somebody else's"));
    expect(await one.store.settle?.()).toEqual([expect.stringContaining("1 file (/b) is not what other machines got")]);
    await Promise.all([one.store.close?.(), two.store.close?.()]);
  });
});

/** The text of a recording. */
async function textOf(what: string, text: string): Promise<string> {
  const { writeRecording } = await import("../../src/recording/record.ts");
  const request = ask(what);
  return writeRecording({ key: requestKey(request), label: `/${what}`, request, answer: { text, model: "m" } });
}
