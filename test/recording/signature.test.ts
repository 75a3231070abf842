import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readAnswerTo, readRecording, writeRecording } from "../../src/recording/record.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import type { RecordingStore } from "../../src/recording/recording.ts";
import { signRecordings } from "../../src/recording/sign.ts";
import { createSigner } from "../../src/recording/signature.ts";
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import { openStore } from "../../src/recording/stores/store.ts";
import { scriptedModel } from "../support/scripted-model.ts";
import { REDIS, redisServer, type Server } from "../support/servers.ts";
import { faultsIn, pruneTo, recordingOf } from "../support/store-contract.ts";

const [KEY, OTHER] = ["k".repeat(32), "o".repeat(32)];
const signer = createSigner([KEY]);
const one = { ...recordingOf("hello\n", "/a.txt"), owner: "team-a" };

describe("a signed recording", () => {
  const text = writeRecording(one, signer);

  test("a signed recording can be read with the key, and also without any", () => {
    expect(() => signer.check(text)).not.toThrow();
    expect(readRecording(text)).toMatchObject(one);
    expect(readAnswerTo(one, text)).toMatchObject(one);
  });

  test("a signed recording keeps its signature when a process without the key writes it", () => {
    const again = writeRecording(readRecording(text));
    expect(again).toBe(text);
    expect(signer.isCurrent(again)).toBe(true);
  });

  test("a signed recording is rejected after any change, even one that makes it a valid recording again", () => {
    const forged = { ...one, answer: { ...one.answer, text: "rm -rf /\n" } };
    const signature = readRecording(text).signature ?? "";
    expect(readRecording(writeRecording({ ...forged, signature }))).toMatchObject(forged);
    expect(() => signer.check(writeRecording({ ...forged, signature }))).toThrow("its signature is wrong");
    for (let at = 0; at < text.length; at++) {
      const changed = `${text.slice(0, at)}${text[at] === "x" ? "y" : "x"}${text.slice(at + 1)}`;
      expect(() => signer.check(changed)).toThrow();
    }
    for (const added of [`${text}x`, text.replace("\nkey:", "\nsigned: x y\nkey:"), text.slice(0, -1)]) {
      expect(() => signer.check(added)).toThrow();
    }
  });

  test("a signed recording is rejected under another label or owner", () => {
    expect(() => signer.check(text.replace("for: /a.txt", "for: /b.txt"))).toThrow("its signature is wrong");
    expect(() => signer.check(text.replace("owner: team-a", "owner: team-b"))).toThrow("its signature is wrong");
  });

  test("a signed recording does not contain the key", () => {
    expect(text).not.toContain(KEY);
    expect(text).toMatch(/^signed: [0-9a-f]{8} [0-9a-f]{64}$/m);
  });
});

test("a missing signature and a signature with another key have their own errors", () => {
  expect(() => signer.check(writeRecording(one))).toThrow("it is not signed");
  const other = writeRecording(one, createSigner([OTHER]));
  expect(() => signer.check(other)).toThrow(/^it is signed with the key [0-9a-f]{8}; yours is [0-9a-f]{8}$/);
});

test("while a key is replaced, both keys are valid, and the first one signs", () => {
  const both = createSigner([OTHER, KEY]);
  const old = writeRecording(one, signer);
  expect(() => both.check(old)).not.toThrow();
  expect(both.isCurrent(old)).toBe(false);
  const renewed = writeRecording(readRecording(old), both);
  expect(() => createSigner([OTHER]).check(renewed)).not.toThrow();
  expect(() => signer.check(renewed)).toThrow("signed with the key");
});

let redis: Server;
let folder: string;

beforeAll(async () => {
  if (REDIS !== null) redis = await redisServer();
});
afterAll(() => redis?.[Symbol.asyncDispose]());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-signature-"));
  return () => rmSync(folder, { recursive: true, force: true });
});

const PLACES: Record<string, { missing: boolean; place: () => string }> = {
  "A folder": { missing: false, place: () => join(folder, "store") },
  "Redis (needs redis-server)": {
    missing: REDIS === null,
    place: () => `${redis.url}?prefix=${crypto.randomUUID()}`,
  },
};

for (const [kind, { missing, place }] of Object.entries(PLACES)) {
  describe.skipIf(missing)(`${kind} with a key`, () => {
    const warnings: string[] = [];
    const open = (location: string, keys: readonly string[], mode: "auto" | "replay" = "replay") =>
      openStore(location, { mode, local: join(folder, "local"), keys, warn: (line) => warnings.push(line) });

    beforeEach(() => {
      warnings.length = 0;
    });

    async function unsigned(location: string): Promise<RecordingStore> {
      const store = await open(location, []);
      for (const label of ["/a.txt", "/b.txt", "/c.txt"]) await store.put(recordingOf("x\n", label));
      return store;
    }

    test("a store with a key replays what was signed with it, and refuses everything else with the cure", async () => {
      const location = place();
      const plain = await unsigned(location);
      const signing = await open(location, [KEY]);
      const recorded = createRecordedModel(undefined, signing, { mode: "replay" });
      const [a, b] = [recordingOf("x\n", "/a.txt"), recordingOf("x\n", "/b.txt")];
      const error = await recorded.complete(a.request, { label: a.label }).catch(String);
      expect(error).toContain("it is not signed; if you trust it, sign it with `llmfs recordings sign --unsigned`");
      await recorded.complete(b.request, { label: b.label }).catch(() => {});
      // One warning stands for all.
      expect(warnings).toEqual([expect.stringContaining("it is not signed")]);
      await signing.put(a);
      expect(await recorded.complete(a.request, { label: a.label })).toMatchObject({ text: "x\n", recorded: true });
      expect(await createRecordedModel(undefined, plain, { mode: "replay" }).complete(a.request)).toMatchObject({
        text: "x\n",
      });
      expect((await faultsIn(signing)).map(({ reason }) => reason)).toEqual(["it is not signed", "it is not signed"]);
      await Promise.all([plain.close?.(), signing.close?.()]);
    });

    test("a store with a key requests an answer again instead of using an unsigned one", async () => {
      const location = place();
      const plain = await unsigned(location);
      const signing = await open(location, [KEY]);
      const model = scriptedModel("ours\n");
      const a = recordingOf("x\n", "/a.txt");
      const recorded = createRecordedModel(model, signing, { mode: "auto" });
      expect((await recorded.complete(a.request, { label: a.label })).text).toBe("ours\n");
      expect((await recorded.complete(a.request, { label: a.label })).text).toBe("ours\n");
      expect(model.requests).toHaveLength(1);
      await Promise.all([plain.close?.(), signing.close?.()]);
    });

    test("a store with a key does not prune recordings that are unsigned or signed by others", async () => {
      const location = place();
      const plain = await unsigned(location);
      const signing = await open(location, [KEY]);
      expect(await pruneTo(signing, [])).toEqual([]);
      expect(await plain.list()).toHaveLength(3);
      await Promise.all([plain.close?.(), signing.close?.()]);
    });

    test("a store with a key signs unsigned recordings only if asked to, and those of an older key always", async () => {
      const location = place();
      const plain = await unsigned(location);
      const old = await open(location, [OTHER]);
      await old.put(recordingOf("x\n", "/a.txt"));
      const keys = [KEY, OTHER];
      const signing = await open(location, keys);
      const how = { plain, signing, signer: createSigner(keys), dryRun: false };
      const first = await signRecordings({ ...how, unsigned: false });
      expect(first.signed.map(({ label }) => label)).toEqual(["/a.txt"]);
      expect(first.faults).toHaveLength(2);
      const dry = await signRecordings({ ...how, unsigned: true, dryRun: true });
      expect([dry.signed.length, dry.current]).toEqual([2, 1]);
      expect(await faultsIn(signing)).toHaveLength(2);
      expect((await signRecordings({ ...how, unsigned: true })).faults).toEqual([]);
      expect(await faultsIn(await open(location, [KEY]))).toEqual([]);
      expect(await signRecordings({ ...how, unsigned: true })).toMatchObject({ signed: [], current: 3 });
      await Promise.all([plain.close?.(), signing.close?.(), old.close?.()]);
    });
  });
}

test("a signed recording that was changed is never signed again", async () => {
  const plain = createFolderStore(folder);
  await createFolderStore(folder, { signer }).put(one);
  const [file = ""] = readdirSync(folder);
  const text = readFileSync(join(folder, file), "utf8");
  const { signature = "" } = readRecording(text);
  const forged = { ...one, answer: { ...one.answer, text: "evil\n" }, signature };
  writeFileSync(join(folder, file), writeRecording(forged));
  const result = await signRecordings({
    plain,
    signing: createFolderStore(folder, { signer }),
    signer,
    unsigned: true,
    dryRun: false,
  });
  expect(result.signed).toEqual([]);
  expect(result.faults[0]?.reason).toContain("its signature is wrong");
});
