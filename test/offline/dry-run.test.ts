import { describe, expect, test } from "bun:test";
import { createEngine } from "../../src/generate/engine.ts";
import { createForesight } from "../../src/offline/dry-run.ts";
import { OfflineTree } from "../../src/offline/offline-tree.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import { createMemoryStore } from "../../src/recording/stores/memory.ts";
import { opened, scriptedModel } from "../support/scripted-model.ts";

interface Pending {
  readonly description?: string;
  readonly depends?: string;
  readonly generator?: string;
}

/** A tree of pending files, with their attributes. */
function tree(
  files: Readonly<Record<string, Pending | string>>,
  folders: Readonly<Record<string, object>> = {},
): OfflineTree {
  const entries = [
    ...Object.entries(folders).map(([path, xattrs]) => ({ path, type: "directory", xattrs })),
    ...Object.entries(files).map(([path, file]) => {
      if (typeof file === "string") return { path, type: "file", text: file };
      const named = Object.entries({ generator: "llm", ...file }).map(([key, value]) => [`user.llmfs.${key}`, value]);
      return { path, type: "file", state: "pending", xattrs: Object.fromEntries(named) };
    }),
  ];
  return new OfflineTree({ text: Buffer.from(JSON.stringify({ llmfs: 1, entries })) });
}

/** The requests that the engine itself sends, by label. */
async function sent(from: OfflineTree, paths: readonly string[]) {
  const model = scriptedModel("whatever\n");
  const store = createMemoryStore("memory");
  const engine = createEngine({
    openModel: opened(createRecordedModel(model, store, { mode: "auto" })),
    tree: from.port,
  });
  for (const path of paths) await engine.generate(from.request(path), new AbortController().signal);
  return { store, requests: new Map(model.labels.map((label, index) => [label, model.requests[index]])) };
}

describe("a dry run", () => {
  test("a dry run composes what is sent, byte for byte, and finds the key of its recording", async () => {
    const files = { "/README.md": "# Tides\n", "/src/a.py": { description: "reads README.md" }, "/src/b.py": {} };
    const from = tree(files, {
      "/": { "user.llmfs.prompt": "Plain words." },
      "/src": { "user.llmfs.model": "big", "user.llmfs.temperature": "0.2", "user.llmfs.prompt": "Python 3.12." },
    });
    const { store, requests } = await sent(from, ["/src/a.py"]);
    const foresight = createForesight({ modelName: "m", tree: from, store });
    const a = await foresight.foresee("/src/a.py");
    const b = await foresight.foresee("/src/b.py");
    expect(a.asks?.request).toEqual(requests.get("/src/a.py")!);
    expect(a.asks?.request).toMatchObject({ model: "big", temperature: 0.2 });
    expect(a.asks?.recording?.key).toBe(a.asks!.key);
    expect(a.asks?.inputTokens).toBeGreaterThan(200);
    expect([b.asks?.recording, b.asks?.exact]).toEqual([undefined, true]);
  });

  test("a dry run of a file that depends on another is exact if that one is recorded, and otherwise says so", async () => {
    const from = tree({
      "/a.md": { description: "first" },
      "/b.md": { depends: "a.md" },
      "/c.md": { depends: "b.md" },
    });
    const { store } = await sent(from, ["/a.md"]);
    const without = createForesight({ modelName: "m", tree: from });
    const exact = async (path: string, foresight = without) => (await foresight.foresee(path)).asks?.exact;
    expect([await exact("/a.md"), await exact("/b.md"), await exact("/c.md")]).toEqual([true, false, false]);
    const recorded = createForesight({ modelName: "m", tree: from, store });
    expect([await exact("/b.md", recorded), await exact("/c.md", recorded)]).toEqual([true, false]);
    const { asks } = await recorded.foresee("/b.md");
    expect(asks?.request.messages[1]?.content).toContain("whatever");
  });

  test("a dry run of files that depend on each other reports the cycle", async () => {
    const from = tree({ "/a": { depends: "b" }, "/b": { depends: "c" }, "/c": { depends: "a" }, "/d": {} });
    const foresight = createForesight({ modelName: "m", tree: from });
    const found = await Promise.all(["/a", "/b", "/c", "/d"].map((path) => foresight.foresee(path)));
    const [a, b, c, d] = found.map(({ failure }) => failure);
    expect([a?.code, b?.code, c?.code, d]).toEqual(["EDEADLK", "EDEADLK", "EDEADLK", undefined]);
    expect(a?.message).toContain("→");
    expect(a?.message).toMatch(/\/([abc]) → .*\/\1$/);
  });

  test("a dry run of files that depend on each other by a million paths is quick", async () => {
    // In each layer there are two files that depend on both files of the layer below.
    const files: Record<string, Pending> = {};
    const layers = 20;
    for (let layer = 0; layer < layers; layer++) {
      for (const side of ["a", "b"])
        files[`/${side}${layer}`] = { depends: layer === 0 ? "" : `a${layer - 1}\nb${layer - 1}` };
    }
    const from = tree({ ...files, "/late": { depends: `a${layers - 1}` } });
    const foresight = createForesight({ modelName: "m", tree: from });
    const all = await Promise.all([...Object.keys(files), "/late"].map((path) => foresight.foresee(path)));
    expect(all.filter(({ failure }) => failure !== undefined)).toEqual([]);
  }, 30_000);

  test("a dry run of a file that another generator makes requests nothing from a model", async () => {
    const from = tree({ "/rows.csv": { generator: "sql" } });
    const foresight = createForesight({ modelName: "m", tree: from });
    expect(await foresight.foresee("/rows.csv")).toEqual({ path: "/rows.csv", generator: "sql" });
  });

  test("a dry run lists the parts of the request, each with its reason", async () => {
    const from = tree(
      { "/README.md": "# Tides\n", "/a.py": { description: "the tides", depends: "base.py" }, "/base.py": "x = 1\n" },
      { "/": { "user.llmfs.prompt": "Plain words." } },
    );
    const foresight = createForesight({ modelName: "m", tree: from });
    const sections = await foresight.sections("/a.py");
    expect(sections.map(({ part, why }) => `${part}: ${why}`)).toEqual([
      "the tree: names and imports have to fit it",
      "prompts: user.llmfs.prompt, from the root down",
      "base.py: this file depends on it",
      "README.md: README of /",
      "the task: its path and user.llmfs.description",
    ]);
    const { asks } = await foresight.foresee("/a.py");
    expect(asks?.request.messages[1]?.content).toBe(sections.map(({ text }) => text).join("\n\n"));
  });
});
