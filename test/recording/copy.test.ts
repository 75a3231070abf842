import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CopyOptions, copyRecordings } from "../../src/recording/copy.ts";
import type { RecordingStore } from "../../src/recording/recording.ts";
import { createMemoryStore } from "../../src/recording/stores/memory.ts";
import { openStore } from "../../src/recording/stores/store.ts";
import { REDIS, redisServer, S3_KEYS, S3RVER, type Server, s3Server } from "../support/servers.ts";
import { faultsIn, recordingOf } from "../support/store-contract.ts";

let redis: Server;
let s3: Server;
let folder: string;

beforeAll(async () => {
  if (REDIS !== null) redis = await redisServer();
  if (existsSync(S3RVER)) s3 = await s3Server();
});
afterAll(async () => {
  await redis?.[Symbol.asyncDispose]();
  await s3?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-copy-"));
  return () => rmSync(folder, { recursive: true, force: true });
});

const open = (location: string): Promise<RecordingStore> =>
  openStore(location, {
    mode: "replay",
    local: join(folder, "local"),
    warn: () => {},
    s3: { ...S3_KEYS, endpoint: s3?.url ?? "" },
  });

const copy = (from: RecordingStore, to: RecordingStore, options: Partial<CopyOptions> = {}) =>
  copyRecordings({
    from,
    to,
    dryRun: false,
    overwrite: false,
    signs: false,
    signal: new AbortController().signal,
    ...options,
  });

const some = Array.from({ length: 100 }, (_, index) => ({
  ...recordingOf(`text ${index} 🌊\n`, `/dir/file ${index}`),
  ...(index % 2 === 0 && { owner: "team" }),
}));

const KINDS: Record<string, () => string> = {
  "a folder": () => join(folder, crypto.randomUUID()),
  Redis: () => `${redis.url}?prefix=${crypto.randomUUID()}`,
  S3: () => `s3://fleet/${crypto.randomUUID()}`,
};

describe.skipIf(REDIS === null || !existsSync(S3RVER))("copying (needs redis-server and s3rver)", () => {
  for (const [source, from] of Object.entries(KINDS)) {
    for (const [target, to] of Object.entries(KINDS)) {
      test(`copying from ${source} to ${target} transfers every recording with its owner`, async () => {
        const [reading, writing] = [await open(from()), await open(to())];
        for (const one of some) await reading.put(one);
        expect(await copy(reading, writing, { dryRun: true })).toMatchObject({ copied: 100, same: 0 });
        expect(await writing.list()).toEqual([]);
        expect(await copy(reading, writing)).toEqual({ copied: 100, same: 0, conflicts: [], faults: [] });
        expect(await writing.list()).toEqual(await reading.list());
        expect(await copy(reading, writing)).toMatchObject({ copied: 0, same: 100 });
        await Promise.all([reading.close?.(), writing.close?.()]);
      });
    }
  }
});

describe("copying", () => {
  const one = recordingOf("theirs\n", "/a");
  const other = recordingOf("ours\n", "/a");

  test("copying reports a different answer as a conflict, and replaces it only if asked to", async () => {
    const [from, to] = [createMemoryStore("from", [one]), createMemoryStore("to", [other])];
    expect(await copy(from, to)).toEqual({ copied: 0, same: 0, conflicts: [one], faults: [] });
    expect(await to.list()).toEqual([other]);
    expect(await copy(from, to, { overwrite: true })).toMatchObject({ copied: 1, conflicts: [] });
    expect(await to.list()).toEqual([one]);
  });

  test("copying reports damaged recordings and copies the rest", async () => {
    const [from, to] = [createMemoryStore("from", [one]), createMemoryStore("to")];
    const damaged: RecordingStore = {
      ...from,
      async *entries() {
        yield { name: "x", fault: { name: "x", reason: "truncated" } };
        yield { name: "y", recording: one };
      },
    };
    expect(await copy(damaged, to)).toMatchObject({ copied: 1, faults: [{ name: "x", reason: "truncated" }] });
  });

  test("copying reports a recording that the other store does not have after it was written", async () => {
    const to: RecordingStore = { ...createMemoryStore("to"), put: async () => {} };
    const { copied, faults } = await copy(createMemoryStore("from", [one]), to);
    expect([copied, faults[0]?.reason]).toEqual([0, "to does not have it after it was written"]);
  });

  test("copying stops when it is interrupted, and can be continued", async () => {
    const [from, to] = [createMemoryStore("from", some), createMemoryStore("to")];
    const stop = new AbortController();
    const first = await copy(from, to, { signal: stop.signal, onProgress: () => stop.abort() });
    expect(first.copied).toBeGreaterThan(0);
    expect(first.copied).toBeLessThan(some.length);
    expect(await copy(from, to)).toMatchObject({ copied: some.length - first.copied, same: first.copied });
    expect(await faultsIn(to)).toEqual([]);
  });
});
