/** Shared stores that answer but refuse what is written: real servers without rights, without space, or read-only. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RedisClient } from "bun";
import { LlmError } from "../../src/llm/llm.ts";
import { createRecordedModel, type RecordingMode } from "../../src/recording/recorded-model.ts";
import { openStore } from "../../src/recording/stores/store.ts";
import { programs, testWith } from "../support/needs.ts";
import { scriptedModel } from "../support/scripted-model.ts";
import { conditionalProxy, redisServer, S3_KEYS, S3RVER, type Server, s3Server } from "../support/servers.ts";
import { recordingOf } from "../support/store-contract.ts";

const withRedis = testWith(programs("redis-server"));
const withS3 = testWith(existsSync(S3RVER) ? undefined : "s3rver");

let redis: Server;
let s3: Server;
let admin: RedisClient;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-refusals-"));
  if (existsSync(S3RVER)) s3 = await s3Server();
  if (Bun.which("redis-server") === null) return;
  redis = await redisServer();
  admin = new RedisClient(redis.url);
});

afterAll(async () => {
  admin?.close();
  await Promise.all([redis?.[Symbol.asyncDispose](), s3?.[Symbol.asyncDispose]()]);
  rmSync(folder, { recursive: true, force: true });
});

const A = recordingOf("", "/a");
const B = recordingOf("", "/b");

interface Machine extends AsyncDisposable {
  readonly model: ReturnType<typeof scriptedModel>;
  readonly warnings: readonly string[];
  answer(one: typeof A, again?: true): Promise<string>;
  /** What the machine reports at its end. */
  settle(): Promise<readonly string[]>;
}

async function machine(
  url: string,
  options: { alone?: boolean; mode?: RecordingMode; endpoint?: string; local?: string; answer?: () => Promise<string> },
): Promise<Machine> {
  const { alone = false, mode = "auto", local = mkdtempSync(join(folder, "local-")) } = options;
  const warnings: string[] = [];
  const warn = (line: string) => warnings.push(line);
  const s3 = { ...S3_KEYS, ...(options.endpoint && { endpoint: options.endpoint }) };
  const store = await openStore(url, { mode, local, warn, alone, patient: true, timeoutMs: 20_000, s3 });
  const model = scriptedModel(options.answer ?? "text");
  const recorded = createRecordedModel(model, store, { mode, warn });
  return {
    model,
    warnings,
    answer: async ({ request, label }, again) =>
      (await recorded.complete(request, { label, ...(again && { again }) })).text,
    settle: async () => (await store.settle?.()) ?? [],
    [Symbol.asyncDispose]: async () => await store.close?.(),
  };
}

/** What must hold for each store that refuses writes, whatever its reason. */
async function expectRefusal(url: string, reason: RegExp, endpoint?: string): Promise<void> {
  const place = endpoint === undefined ? {} : { endpoint };
  const begun = performance.now();
  await using one = await machine(url, place);
  const errors = await Promise.all([A, B].map((file) => one.answer(file).catch((error: unknown) => error)));
  for (const error of errors) {
    expect(error instanceof LlmError && error.kind).toBe("recordings");
    expect(String(error)).toMatch(reason);
    expect(String(error)).toContain("--no-recordings-required");
  }
  expect(await one.answer(A, true).catch(String)).toMatch(reason);
  expect(one.model.requests).toHaveLength(0);
  expect(one.warnings).toHaveLength(1);
  expect(performance.now() - begun).toBeLessThan(10_000);

  await using alone = await machine(url, { ...place, alone: true });
  expect(await alone.answer(A)).toBe("text");
  expect(await alone.answer(A)).toBe("text");
  expect(alone.model.requests).toHaveLength(1);
  expect(await alone.settle()).toEqual([expect.stringContaining("1 file (/a) is recorded on this machine only")]);
}

describe("Redis that refuses what is written", () => {
  const as = (user: string, prefix: string) =>
    `${redis.url.replace("redis+unix://", `redis+unix://${user}:pw@`)}?prefix=${prefix}`;

  withRedis("a user without rights to write is not paid for, unless this machine may pay alone", async () => {
    await admin.send("ACL", ["SETUSER", "reader", "on", ">pw", "%R~*", "-@all", "+@read", "+time", "+ping"]);
    await expectRefusal(as("reader", "reader"), /NOPERM/);
  });

  withRedis("a user with a wrong password is not paid for", async () => {
    await expectRefusal(
      `${redis.url.replace("redis+unix://", "redis+unix://nobody:wrong@")}?prefix=wrong`,
      /WRONGPASS/,
    );
  });

  withRedis("a full server is not paid for, and used as soon as it has space", async () => {
    await admin.send("CONFIG", ["SET", "maxmemory", "1"]);
    try {
      await expectRefusal(`${redis.url}?prefix=full`, /OOM/);
      await using one = await machine(`${redis.url}?prefix=full`, {});
      await expect(one.answer(A)).rejects.toThrow("OOM");
      await admin.send("CONFIG", ["SET", "maxmemory", "0"]);
      const end = performance.now() + 20_000;
      while ((await one.answer(A).catch(() => "")) === "" && performance.now() < end) await Bun.sleep(100);
      expect(await one.answer(A)).toBe("text");
      expect(await one.settle()).toEqual([]);
    } finally {
      await admin.send("CONFIG", ["SET", "maxmemory", "0"]);
    }
  });

  withRedis("a server that lacks replicas for a moment, as in a failover, is waited for", async () => {
    await using server = await redisServer();
    const control = new RedisClient(server.url);
    await control.send("CONFIG", ["SET", "min-replicas-to-write", "1"]);
    await using one = await machine(server.url, {});
    const answer = one.answer(A);
    // The store has refused a command before the server has replicas again.
    while (!/rejected_calls=[1-9]|failed_calls=[1-9]/.test(String(await control.send("INFO", ["commandstats"]))));
    await control.send("CONFIG", ["SET", "min-replicas-to-write", "0"]);
    expect(await answer).toBe("text");
    expect([one.model.requests.length, one.warnings, await one.settle()]).toEqual([1, [], []]);
    control.close();
  });

  withRedis("a replica is not paid for", async () => {
    await using replica = await redisServer();
    const control = new RedisClient(replica.url);
    // Its master need not exist.
    await control.send("REPLICAOF", ["127.0.0.1", "1"]);
    await control.send("CONFIG", ["SET", "replica-serve-stale-data", "yes"]);
    await expectRefusal(replica.url, /READONLY/);
    control.close();
  });

  withRedis("an answer that was paid for when the server became full is used, kept and reported", async () => {
    const { promise: gate, resolve: go } = Promise.withResolvers<void>();
    const answer = async () => {
      await gate;
      return "paid";
    };
    await using one = await machine(`${redis.url}?prefix=midway`, { answer });
    const paid = one.answer(A);
    while (one.model.requests.length === 0) await Bun.sleep(5);
    await admin.send("CONFIG", ["SET", "maxmemory", "1"]);
    try {
      go();
      expect(await paid).toBe("paid");
      await expect(one.answer(B)).rejects.toThrow("OOM");
      expect(one.model.requests).toHaveLength(1);
      expect(await one.settle()).toEqual([expect.stringContaining("1 file (/a) is recorded on this machine only")]);
      await using other = await machine(`${redis.url}?prefix=midway`, {});
      await expect(other.answer(A)).rejects.toThrow("OOM");
      expect(other.model.requests).toHaveLength(0);
    } finally {
      await admin.send("CONFIG", ["SET", "maxmemory", "0"]);
    }
    expect(await one.settle()).toEqual([]);
  });

  withRedis("an own recording is used beside a server that refuses it, and reported", async () => {
    const local = mkdtempSync(join(folder, "local-"));
    await using before = await machine(local, { local });
    expect(await before.answer(A)).toBe("text");
    await admin.send("ACL", ["SETUSER", "reader", "on", ">pw", "%R~*", "-@all", "+@read", "+time", "+ping"]);
    await using one = await machine(as("reader", "own"), { local });
    expect(await one.answer(A)).toBe("text");
    expect(one.model.requests).toHaveLength(0);
    expect(await one.settle()).toEqual([expect.stringContaining("1 file (/a) is recorded on this machine only")]);
  });
});

describe("S3 that refuses what is written", () => {
  const refusing = (status: number, code: string) =>
    conditionalProxy(s3.url, {
      intercept: ({ method }) =>
        method === "PUT"
          ? new Response(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`, { status })
          : undefined,
    });

  for (const [status, code] of [
    [403, "AccessDenied"],
    [403, "QuotaExceeded"],
    [507, "XMinioStorageFull"],
    [405, "MethodNotAllowed"],
  ] as const) {
    withS3(`status ${status} (${code}) is not paid for, unless this machine may pay alone`, async () => {
      await using proxy = refusing(status, code);
      await expectRefusal(`s3://fleet/${code}`, new RegExp(code), proxy.url);
    });
  }
});
