import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine } from "../../src/generate/engine.ts";
import { UsageCounter } from "../../src/generate/spending/usage-counter.ts";
import { StoreMetrics } from "../../src/recording/metrics.ts";
import { createRecordedModel, type RecordingMode } from "../../src/recording/recorded-model.ts";
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import type { GeneratedContent, GenerationRequest } from "../../src/rpc/generation.ts";
import type { TreeEntry } from "../../src/rpc/tree-port.ts";
import { scriptedModel } from "../support/scripted-model.ts";
import { type PlainTree, treePort } from "../support/tree-port.ts";

const never = new AbortController().signal;
let folder: string;
let folders = 0;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-recall-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const PLAIN: PlainTree = {
  "/docs": { folder: { "user.llmfs.temperature": "0.5" } },
  "/docs/a.md": { pending: "the first", prompts: ["be brief"] },
  "/docs/b.md": { pending: "the second", prompts: ["be brief"] },
  "/docs/other.md": { pending: "the third", prompts: ["be long"] },
  "/docs/secret.md": { pending: "password: hunter2hunter2", prompts: ["be brief"] },
  "/docs/uses.md": { pending: "the last", prompts: ["be brief"], xattrs: { "user.llmfs.depends": "a.md" } },
  "/docs/refusal.md": { pending: "one", prompts: ["be brief"] },
  "/docs/unclear.ts": { pending: "three", prompts: ["be brief"] },
  "/src/main.c": { pending: "code" },
};

interface Recalling {
  readonly tree?: PlainTree;
  readonly mode?: RecordingMode;
  readonly recordings?: string;
  readonly maxContentBytes?: number;
}

/** An engine with recordings in a folder, on a tree that never changes. */
function recalling(options: Recalling = {}) {
  const port = treePort(options.tree ?? PLAIN, async () => new TextEncoder().encode("read\n"));
  let layout: readonly TreeEntry[] | undefined;
  const tree = {
    ...port,
    async layout() {
      layout ??= await port.outline();
      return layout;
    },
    layoutAtOnce: () => layout,
  };
  const recordings = options.recordings ?? join(folder, String(folders++));
  const complaints: string[] = [];
  const store = createFolderStore(recordings, { warn: (text) => complaints.push(text) });
  const metrics = new StoreMetrics(store, () => {});
  const asked = scriptedModel((_, { label = "" }) => {
    if (label.includes("refusal")) return "I'm sorry, but I can't help with that.";
    if (label.startsWith("repair of")) throw new Error("no");
    if (label.includes("unclear")) return "```ts\na;\n```\nor\n```ts\nb;\n```\n";
    return `for ${label}`;
  });
  const counter = new UsageCounter(() => {});
  const logged: string[] = [];
  const model = counter.count(createRecordedModel(asked, store, { mode: options.mode ?? "auto", metrics }));
  const engine = createEngine({
    openModel: async () => opened,
    tree,
    log: (level, text) => logged.push(`${level}: ${text}`),
    ...(options.maxContentBytes !== undefined && { maxContentBytes: options.maxContentBytes }),
  });
  const opened = { model, name: "m" };
  const request = (path: string, more: Partial<GenerationRequest> = {}) =>
    port.request(path, { settings: new Map([["user.llmfs.temperature", "0.5"]]), ...more });
  const generate = (path: string, more?: Partial<GenerationRequest>) => engine.generate(request(path, more), never);
  const counts = () => {
    const { answers, recorded, failures } = counter.usage;
    const { hits, misses } = metrics.status;
    return { answers, recorded, failures, hits, misses };
  };
  return { engine, request, generate, counts, asked, recordings, logged, complaints };
}

/** What does not depend on the time. */
function plain({ bytes, metadata, ...others }: GeneratedContent) {
  const about = Object.fromEntries([...metadata].filter(([key]) => key !== "at" && key !== "ms"));
  return { text: new TextDecoder().decode(bytes), about, names: [...metadata.keys()], ...others };
}

describe("a recorded answer is given at once", () => {
  test("it has the content, the metadata, the log and the counts of an answer that was waited for", async () => {
    const first = recalling();
    const paths = ["/docs/a.md", "/docs/b.md", "/docs/refusal.md", "/docs/other.md", "/src/main.c"];
    for (const path of paths) await first.generate(path);
    const waiting = recalling({ recordings: first.recordings });
    const direct = recalling({ recordings: first.recordings, mode: "replay" });
    // The first file of a directory computes what the others share.
    for (const path of ["/docs/a.md", "/src/main.c"]) {
      await waiting.generate(path);
      expect(direct.engine.recall(direct.request(path))).toBeUndefined();
      await direct.generate(path);
    }
    for (const path of paths) {
      const content = direct.engine.recall(direct.request(path));
      if (content === undefined) throw new Error(`${path} is not recalled`);
      expect(plain(content)).toEqual(plain(await waiting.generate(path)));
      expect(direct.counts()).toEqual(waiting.counts());
    }
    expect(direct.logged).toEqual(waiting.logged);
    expect(direct.logged.join()).toContain("reads like a refusal");
    expect(direct.asked.requests).toEqual([]);
  });
});

describe("everything else is left to the engine, and counted once", () => {
  const left = async (
    path: string,
    more: Partial<GenerationRequest> = {},
    options: Recalling = {},
    before: (recordings: string) => void = () => {},
  ) => {
    const { generate, recordings } = recalling(options.mode === "off" ? {} : { ...options, mode: "auto" });
    await generate("/docs/a.md");
    await generate(path).catch(() => {});
    before(recordings);
    const again = recalling({ ...options, recordings });
    await again.generate("/docs/a.md");
    const counts = again.counts();
    expect(again.engine.recall(again.request(path, more))).toBeUndefined();
    expect(again.counts()).toEqual(counts);
    expect(again.logged).toEqual([]);
    expect(again.complaints).toEqual([]);
  };

  test("a request that must wait, or must not use an earlier answer", async () => {
    await left("/docs/b.md", { pause: 10 });
    await left("/docs/b.md", { again: true });
    await left("/docs/b.md", { renews: true });
    await left("/docs/b.md", { rewrite: { content: new Uint8Array(), instruction: "shorter" } });
    await left("/docs/b.md", { generator: "static" });
    await left("/docs/b.md", { generator: "none" });
  });

  test("a request whose parts have to be read or searched", async () => {
    await left("/docs/uses.md");
    await left("/docs/secret.md");
    await left("/docs/b.md", {}, { tree: { ...PLAIN, "/docs/notes.md": "written by hand\n" } });
    await left("/docs/b.md", {}, { tree: { ...PLAIN, "/.llmfsignore": "*.c\n" } });
    await left("/docs/b.md", { prompts: ["something else"] });
  });

  test("a file with an invalid setting", async () => {
    await left("/docs/b.md", { settings: new Map([["user.llmfs.temperature", "hot"]]) });
  });

  test("an answer that is not recorded, is damaged, is too long, or is more than the file", async () => {
    const change = (name: string, text: string) => (recordings: string) => {
      const file = readdirSync(recordings).find((one) => one.startsWith(name)) ?? "";
      writeFileSync(join(recordings, file), text);
    };
    await left("/docs/b.md", {}, {}, (recordings) => rmSync(recordings, { recursive: true }));
    await left("/docs/b.md", {}, {}, change("docs+b.md", "llmfs recording 1\nkey: none\n"));
    await left("/docs/b.md", {}, { maxContentBytes: 40 });
    await left("/docs/unclear.ts");
  });

  test("a mode that asks the model again", async () => {
    await left("/docs/b.md", {}, { mode: "record" });
    await left("/docs/b.md", {}, { mode: "off" });
  });
});
