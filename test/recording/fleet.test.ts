import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { RedisClient, S3Client } from "bun";
import { type ChatRequest, LlmError } from "../../src/llm/llm.ts";
import { requestKey } from "../../src/recording/key.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import type { RecordingStore } from "../../src/recording/recording.ts";
import { createFolderStore, fileName } from "../../src/recording/stores/folder.ts";
import { createMemoryStore } from "../../src/recording/stores/memory.ts";
import { createRedisStore } from "../../src/recording/stores/remote/redis.ts";
import { createS3Store } from "../../src/recording/stores/remote/s3.ts";
import { createSharedStore } from "../../src/recording/stores/shared.ts";
import { openStore } from "../../src/recording/stores/store.ts";
import { scriptedModel } from "../support/scripted-model.ts";
import {
  conditionalProxy,
  freePort,
  REDIS,
  redisServer,
  S3_KEYS,
  S3RVER,
  type Server,
  s3Server,
} from "../support/servers.ts";
import { faultsIn, pruneTo, recordingOf, storeContract } from "../support/store-contract.ts";

const ask = (content: string): ChatRequest => ({ model: "m", messages: [{ role: "user", content }] });

let redis: Server;
let s3: Server;
let amazonLike: Server;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-fleet-"));
  if (REDIS !== null) redis = await redisServer();
  if (existsSync(S3RVER)) {
    s3 = await s3Server();
    amazonLike = conditionalProxy(s3.url);
  }
});

afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
  await amazonLike?.[Symbol.asyncDispose]();
  await s3?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** The shared stores, each opened as another machine would. Claims expire after `claimMs`, by default never in a test. */
const KINDS: Record<
  string,
  { missing: boolean; open: (place: string, warn?: (line: string) => void, claimMs?: number) => RecordingStore }
> = {
  "A folder": {
    missing: false,
    open: (place, warn = () => {}) => createFolderStore(join(folder, place), { warn }),
  },
  "Redis (needs redis-server)": {
    missing: REDIS === null,
    open: (place, warn = () => {}, claimMs = 60_000) =>
      createRedisStore(`${redis.url}?prefix=${place}`, { claimMs, warn }),
  },
  "S3 without conditional writes (needs s3rver)": {
    missing: !existsSync(S3RVER),
    open: (place, warn = () => {}, claimMs = 60_000) =>
      createS3Store(`s3://fleet/${place}`, { ...S3_KEYS, endpoint: s3.url, claimMs, warn }),
  },
  "S3 with conditional writes (needs s3rver)": {
    missing: !existsSync(S3RVER),
    open: (place, warn = () => {}, claimMs = 60_000) =>
      createS3Store(`s3://fleet/exact/${place}`, { ...S3_KEYS, endpoint: amazonLike.url, claimMs, warn }),
  },
};

/** For the test of claims that expire: long enough for a busy machine to renew them. */
const CLAIM_MS = 1_500;

/** The environment with which support/claim-holder.ts opens the store "dies". */
function holderOf(kind: string): Record<string, string> {
  if (kind === "A folder") return { STORE: join(folder, "dies") };
  if (kind.startsWith("Redis")) return { STORE: `${redis.url}?prefix=dies` };
  if (kind.startsWith("S3 without")) return { STORE: "s3://fleet/dies", ENDPOINT: s3.url };
  return { STORE: "s3://fleet/exact/dies", ENDPOINT: amazonLike.url };
}

for (const [kind, { missing, open }] of Object.entries(KINDS)) {
  describe.skipIf(missing)(kind, () => {
    storeContract(() => open("contract"));

    test("two prefixes are separate stores", async () => {
      const one = recordingOf("x");
      await open("left").put(one);
      expect(await open("right").get(one.key)).toBeUndefined();
      expect(await open("right").list()).toEqual([]);
      expect(await open("left").list()).toHaveLength(1);
    });

    test("of eight machines with the same request, one asks the model and all get its answer", async () => {
      const { promise: gate, resolve: go } = Promise.withResolvers<void>();
      const logs: string[] = [];
      const machines = Array.from({ length: 8 }, (_, i) => {
        const model = scriptedModel(async () => {
          await gate;
          return `from machine ${i}`;
        });
        const log = (line: string) => logs.push(line);
        const store = open("single");
        return { model, store, recorded: createRecordedModel(model, store, { mode: "auto", pollMs: 20, log }) };
      });
      const answers = Promise.all(machines.map(({ recorded }) => recorded.complete(ask("same"), { label: "/same" })));
      const asked = () => machines.reduce((sum, { model }) => sum + model.requests.length, 0);
      // All machines except the one that asks have logged that they wait.
      while (logs.length + asked() < 8) await Bun.sleep(5);
      go();
      const texts = (await answers).map(({ text }) => text);
      if (kind.startsWith("S3 without")) {
        // Without conditional writes, one answer is likely but not certain. A machine with another one reports it.
        const problems = await Promise.all(machines.map(async ({ store }) => (await store.settle?.()) ?? []));
        expect(new Set(texts.filter((_, index) => problems[index]?.length === 0)).size).toBeLessThanOrEqual(1);
        return;
      }
      expect(new Set(texts).size).toBe(1);
      expect(asked()).toBe(1);
      expect((await answers).filter(({ recorded }) => recorded)).toHaveLength(7);
      expect(logs[0]).toContain("/same is being generated by another process");
    });

    test("a machine whose request fails releases its claim, and the next one asks", async () => {
      const key = requestKey(ask("fails"));
      const first = createRecordedModel(scriptedModel(new LlmError("server", "no")), open("fails"), { mode: "auto" });
      await expect(first.complete(ask("fails"))).rejects.toThrow("no");
      const claim = await open("fails").claim?.(key);
      expect(claim).toBeDefined();
      await claim?.[Symbol.asyncDispose]();
    });

    test("a claim lasts until its holder dies", async () => {
      const key = "a".repeat(64);
      await using holder = Bun.spawn([process.execPath, join(import.meta.dir, "../support/claim-holder.ts")], {
        env: { KEY: key, CLAIM_MS: String(CLAIM_MS), ...holderOf(kind) },
        stdout: "pipe",
      });
      const reader = holder.stdout.getReader();
      expect(new TextDecoder().decode((await reader.read()).value)).toBe("held\n");
      const other = open("dies", undefined, CLAIM_MS);
      const held = performance.now();
      while (performance.now() - held < 1.5 * CLAIM_MS) {
        expect(await other.claim?.(key)).toBeUndefined();
        await Bun.sleep(50);
      }
      holder.kill("SIGKILL");
      await holder.exited;
      const died = performance.now();
      let claim = await other.claim?.(key);
      while (claim === undefined) {
        expect(performance.now() - died).toBeLessThan(10_000);
        await Bun.sleep(20);
        claim = await other.claim?.(key);
      }
      await claim[Symbol.asyncDispose]();
    });

    test("waiting for another machine has a deadline, and warnings name the machine", async () => {
      const claim = await open("waits").claim?.(requestKey(ask("waits")));
      const warnings: string[] = [];
      const model = scriptedModel("x");
      const recorded = createRecordedModel(model, open("waits"), {
        mode: "auto",
        pollMs: 20,
        patienceMs: 100,
        waitMs: 400,
        warn: (line) => warnings.push(line),
      });
      const calls = ["/one", "/two"].map((label) =>
        recorded.complete(ask("waits"), { label }).catch((reason) => reason),
      );
      const who = `llmfs process ${process.pid} on ${hostname()}`;
      for (const error of await Promise.all(calls)) {
        expect(error).toMatchObject({ kind: "timeout", sent: false });
        expect(error.message).toContain(who);
        expect(error.message).toContain("--timeout");
      }
      expect(warnings).toEqual([expect.stringContaining(`waiting for ${who}`)]);
      expect(model.requests).toEqual([]);
      await claim?.[Symbol.asyncDispose]();
      // After the claim is released, there is nothing to wait for.
      expect((await recorded.complete(ask("waits"))).text).toBe("x");
    });

    test("waiting for another machine can be cancelled", async () => {
      const store = open("cancel");
      const claim = await store.claim?.(requestKey(ask("cancel")));
      const abort = new AbortController();
      const recorded = createRecordedModel(scriptedModel("x"), open("cancel"), {
        mode: "auto",
        pollMs: 20,
        log: () => abort.abort(),
      });
      const error: unknown = await recorded.complete(ask("cancel"), { signal: abort.signal }).catch((reason) => reason);
      expect(error).toMatchObject({ kind: "cancelled" });
      await claim?.[Symbol.asyncDispose]();
    });

    test("a corrupt recording is reported and never used, and prune removes it along with unneeded ones", async () => {
      const warnings: string[] = [];
      const store = open("prune", (line) => warnings.push(line));
      const [one, two] = [recordingOf("one", "/1"), recordingOf("two", "/2")];
      for (const recording of [one, two]) await store.put(recording);
      const bad = "b".repeat(64);
      if (kind === "A folder") writeFileSync(join(folder, "prune", fileName("/b", bad)), "<<<<<<< HEAD");
      else if (kind.startsWith("Redis")) {
        const client = new RedisClient(redis.url);
        await client.set(`prune:recording:${bad}`, "<<<<<<< HEAD");
        client.close();
      } else {
        const client = new S3Client({ ...S3_KEYS, endpoint: s3.url, bucket: "fleet" });
        const place = kind.startsWith("S3 without") ? "prune" : "exact/prune";
        await client.write(`${place}/recordings/${bad}.txt`, "<<<<<<< HEAD");
      }
      expect(await store.get(bad, "/b")).toBeUndefined();
      expect(await store.get(bad, "/b")).toBeUndefined();
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain(bad.slice(0, 16));
      expect((await faultsIn(store)).map(({ reason }) => reason)).toEqual([expect.stringContaining("does not begin")]);
      const removed = await pruneTo(store, [one]);
      expect(removed.flatMap(({ recording }) => recording ?? [])).toEqual([two]);
      expect(removed).toHaveLength(2);
      expect(await store.list()).toEqual([one]);
      expect(await faultsIn(store)).toEqual([]);
    });
  });
}

describe("a shared store that fails", () => {
  const port = freePort();
  const places = [
    [`redis://:${"secret"}@127.0.0.1:${port}/0`, {}],
    ["s3://fleet/x", { ...S3_KEYS, endpoint: `http://127.0.0.1:${port}` }],
  ] as const;

  for (const [location, s3Settings] of places) {
    const scheme = location.split(":")[0];

    test(`auto mode replaces a failing store by the local one, with one warning that shows no password (${scheme})`, async () => {
      const local = mkdtempSync(join(folder, "local-"));
      const warnings: string[] = [];
      const warn = (line: string) => warnings.push(line);
      const store = await openStore(location, { mode: "auto", local, warn, s3: s3Settings });
      const model = scriptedModel("hello");
      const recorded = createRecordedModel(model, store, { mode: "auto", warn });
      await recorded.complete(ask("Hi"));
      expect(await recorded.complete(ask("Hi"))).toMatchObject({ text: "hello", recorded: true });
      expect(model.requests).toHaveLength(1);
      expect(await createFolderStore(local).list()).toHaveLength(1);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain("cannot be used");
      expect(warnings[0]).not.toContain("secret");
    });

    test(`replay fails if the shared store fails, even if the local one has the answer (${scheme})`, async () => {
      const local = mkdtempSync(join(folder, "local-"));
      await createRecordedModel(scriptedModel("hello"), createFolderStore(local), { mode: "auto" }).complete(ask("Hi"));
      const store = await openStore(location, { mode: "replay", local, warn: () => {}, s3: s3Settings });
      const error: unknown = await createRecordedModel(undefined, store, { mode: "replay" })
        .complete(ask("Hi"))
        .catch((e) => e);
      expect(error).toBeInstanceOf(LlmError);
      expect(String(error)).toContain(`${scheme}://`);
      expect(String(error)).not.toContain("secret");
    });
  }

  test("reading copies nothing from the local store to the shared one", async () => {
    const one = recordingOf("x");
    const shared = createMemoryStore("shared");
    const store = createSharedStore(shared, {
      local: createMemoryStore("local", [one]),
      warn: () => {},
      lookOnly: true,
    });
    expect(await store.get(one.key)).toEqual(one);
    expect(await shared.list()).toEqual([]);
  });

  test("a store that rejects writes is still read", async () => {
    const shared = createMemoryStore("shared", [recordingOf("shared", "/there")], { readOnly: true });
    const local = createMemoryStore("local");
    const warnings: string[] = [];
    const store = createSharedStore(shared, { local, alone: true, warn: (line) => warnings.push(line) });
    const [here, there] = [recordingOf("local", "/here"), recordingOf("shared", "/there")];
    await store.put(here);
    expect(await store.get(there.key)).toEqual(there);
    expect(await store.get(here.key)).toEqual(here);
    expect(await local.list()).toEqual([here]);
    expect(warnings).toEqual(["shared cannot be written, so local are used instead: shared is read-only"]);
  });

  test("a useless answer is removed from both stores, whether or not the shared one works", async () => {
    const one = recordingOf("");
    const [shared, local] = [createMemoryStore("shared", [one]), createMemoryStore("local", [one])];
    const store = createSharedStore(shared, { local, warn: () => {} });
    await createRecordedModel(undefined, store, { mode: "auto" }).forget?.(one.request);
    expect([...(await shared.list()), ...(await local.list())]).toEqual([]);
  });

  test.skipIf(REDIS === null)("a bad recording does not affect the others (needs redis-server)", async () => {
    const warnings: string[] = [];
    const store = createRedisStore(`${redis.url}?prefix=a*b`, { warn: (line) => warnings.push(line) });
    const one = recordingOf("x");
    await store.put(one);
    const client = new RedisClient(redis.url);
    const other = "c".repeat(64);
    await client.send("LPUSH", [`a*b:recording:${other}`, "x"]);
    client.close();
    expect(await Promise.all([store.get(other), store.get(one.key)])).toEqual([undefined, one]);
    expect(warnings).toEqual([expect.stringContaining("is not used: it is not text")]);
    expect(store.unusable?.(other)?.reason).toContain("it is not text");
    expect(await store.list()).toEqual([one]);
    await pruneTo(store, [one]);
    expect(await faultsIn(store)).toEqual([]);
    await store.close?.();
  });

  test.skipIf(REDIS === null)("a missing password is reported (needs redis-server)", async () => {
    const client = new RedisClient(redis.url);
    await client.send("CONFIG", ["SET", "requirepass", "secret"]);
    const store = createRedisStore(redis.url);
    const error: unknown = await store.get("0".repeat(64)).catch((reason) => reason);
    await client.send("CONFIG", ["SET", "requirepass", ""]);
    client.close();
    expect(String(error)).toContain("the server requires a password; write redis://:PASSWORD@HOST");
  });

  test("the error gives the reason: connection refused, unknown name, or another kind of server", async () => {
    await using page = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("<html>") });
    const get = (store: RecordingStore) => store.get("0".repeat(64)).catch(String);
    expect(await get(createRedisStore(`redis://127.0.0.1:${port}`))).toContain("connection refused");
    expect(await get(createRedisStore("redis+unix:///nowhere"))).toContain("no server listens on the socket /nowhere");
    expect(await get(createRedisStore(`redis://127.0.0.1:${page.port}`))).toContain("not a Redis server");
    const endpoint = `http://127.0.0.1:${page.port}`;
    await expect(createS3Store("s3://fleet", { ...S3_KEYS, endpoint }).claim?.("0")).rejects.toThrow(
      "not an S3 server",
    );
    expect(await get(createS3Store("s3://fleet", { endpoint }))).toContain("AWS_ACCESS_KEY_ID");
  });

  test("a temporary failure, as from S3 under load, is retried", async () => {
    let asked = 0;
    await using busy = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () =>
        ++asked < 3
          ? new Response("<Error><Code>SlowDown</Code><Message>Slow down</Message></Error>", { status: 503 })
          : new Response("<Error><Code>NoSuchKey</Code><Message>none</Message></Error>", { status: 404 }),
    });
    const store = createS3Store("s3://fleet", { ...S3_KEYS, endpoint: `http://127.0.0.1:${busy.port}` });
    expect(await store.get("0".repeat(64))).toBeUndefined();
    expect(asked).toBe(3);
  });

  test("a server that accepts connections and never answers runs into the timeout", async () => {
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const store = createRedisStore(`redis://127.0.0.1:${silent.port}`, { timeoutMs: 50 });
    const slow = createS3Store("s3://fleet/x", {
      ...S3_KEYS,
      endpoint: `http://127.0.0.1:${silent.port}`,
      timeoutMs: 50,
    });
    await expect(store.get("0".repeat(64))).rejects.toThrow(/no answer within 0.0\d+ s/);
    await expect(slow.get("0".repeat(64))).rejects.toThrow("0.05 s");
    silent.stop(true);
  });
});

test("the error for an unsupported address lists the supported ones", async () => {
  const options = { mode: "auto", local: folder, warn: () => {} } as const;
  await expect(openStore("ftp://x/y", options)).rejects.toThrow("redis:// or s3://");
  await expect(openStore("s3:///prefix", options)).rejects.toThrow("bucket");
  expect((await openStore("./fixtures", options)).name).toBe("recordings in ./fixtures");
});
