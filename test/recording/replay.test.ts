import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine } from "../../src/generate/engine.ts";
import { generateStructure } from "../../src/generate/structure/structure.ts";
import { OfflineTree } from "../../src/offline/offline-tree.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import { createDemoStore } from "../../src/recording/stores/demo-store.ts";
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import { createMemoryStore } from "../../src/recording/stores/memory.ts";
import { structureToSnapshot } from "../../src/snapshot/structure.ts";
import { opened, scriptedModel } from "../support/scripted-model.ts";

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-replay-"));
  const store = createFolderStore(join(folder, "recordings"));
  for (const recording of await createDemoStore().list()) await store.put(recording);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The system calls on sockets that a process and all its threads make. */
function traced(...more: string[]): { calls: string; output: string } {
  const out = join(folder, "trace");
  const child = [
    process.execPath,
    join(import.meta.dir, "../support/replay-child.ts"),
    join(folder, "recordings"),
    ...more,
  ];
  const { stdout, stderr, exitCode } = Bun.spawnSync(["strace", "-f", "-e", "trace=%network", "-o", out, ...child]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  const calls = readFileSync(out, "utf8")
    .split("\n")
    .filter((line) => /^\d+ +\w+\(/.test(line));
  return { calls: calls.join("\n"), output: stdout.toString() };
}

describe.skipIf(Bun.which("strace") === null)("replaying (needs strace)", () => {
  test("replay opens no socket, not even for a miss", () => {
    const { calls, output } = traced();
    expect(calls).toBe("");
    const { files, miss } = JSON.parse(output);
    expect(files).toBe(19);
    expect(miss).toContain("no recording for /README.md");
    expect(miss).toMatch(/The nearest is \/README\.md \([0-9a-f]{16}…\): the prompt differs at line \d+/);
  });

  test("the trace would show a single fetch", () => {
    expect(traced("socket").calls).toContain("connect(");
  });
});

describe("a changed prompt", () => {
  const structure = (code: string, docs = "Plain words.") =>
    JSON.stringify({
      directories: [
        { path: "src", description: "", prompt: code },
        { path: "docs", description: "", prompt: docs },
      ],
      files: ["README.md", "src/a.py", "src/sub/b.py", "docs/c.md"].map((path) => ({
        path,
        description: `what ${path} is`,
      })),
      symlinks: [],
      unfinished: [],
    });

  /** Proposes the tree and generates everything; returns the files for which the model was called. */
  async function run(
    store: ReturnType<typeof createMemoryStore>,
    answer: string,
    prompt = "A tree.",
  ): Promise<string[]> {
    const planner = createRecordedModel(scriptedModel(answer), createMemoryStore("none"), { mode: "off" });
    const { entries } = await generateStructure({ prompt, model: planner, modelName: "m" });
    const tree = new OfflineTree({ text: Buffer.from(structureToSnapshot(entries)) });
    const writer = scriptedModel(({ messages }) => `content for ${messages.length}\n`);
    const engine = createEngine({
      openModel: opened(createRecordedModel(writer, store, { mode: "auto" })),
      tree: tree.port,
    });
    await Promise.all(tree.files.map(({ path }) => engine.generate(tree.request(path), new AbortController().signal)));
    return writer.labels.map(String).sort();
  }

  test("a changed prompt invalidates exactly the files that it applies to", async () => {
    const store = createMemoryStore("memory");
    expect(await run(store, structure("Python 3.10."))).toHaveLength(4);
    expect(await run(store, structure("Python 3.10."))).toEqual([]);
    expect(await run(store, structure("Python 3.12."))).toEqual(["/src/a.py", "/src/sub/b.py"]);
    expect(await run(store, structure("Python 3.12.", "Old English."))).toEqual(["/docs/c.md"]);
    expect(await run(store, structure("Python 3.10."))).toEqual([]);
  });

  test("a changed prompt for the whole tree invalidates every file", async () => {
    const store = createMemoryStore("memory");
    await run(store, structure("Python 3.10."));
    expect(await run(store, structure("Python 3.10."), "Another tree.")).toHaveLength(4);
  });
});
