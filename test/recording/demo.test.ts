import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateAll, makeDemo } from "../../build/demo-recordings.ts";
import { generateStructure, type Structure } from "../../src/generate/structure/structure.ts";
import { OfflineTree } from "../../src/offline/offline-tree.ts";
import demo from "../../src/recording/demo.json" with { type: "json" };
import { requestKey } from "../../src/recording/key.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import { createDemoStore, DEMO_MODEL, DEMO_PROMPT } from "../../src/recording/stores/demo-store.ts";
import { structureToSnapshot } from "../../src/snapshot/structure.ts";

/** The demo as it runs in llmfs: a store without a model. */
async function replay(): Promise<{ structure: Structure; files: ReadonlyMap<string, Uint8Array> }> {
  const model = createRecordedModel(undefined, createDemoStore(), { mode: "replay" });
  const structure = await generateStructure({ prompt: DEMO_PROMPT, model, modelName: DEMO_MODEL });
  const tree = new OfflineTree({ text: Buffer.from(structureToSnapshot(structure.entries)) });
  return { structure, files: await generateAll(tree, model, DEMO_MODEL) };
}

test("every file of the demo is answered without a model, as written by hand", async () => {
  const { files } = await replay();
  expect(files.size).toBeGreaterThanOrEqual(12);
  for (const [path, bytes] of files) {
    expect(new TextDecoder().decode(bytes)).toBe(await Bun.file(`build/demo/files${path}`).text());
  }
});

test("the demo's recordings match the engine's requests (if not, run build/demo-recordings.ts)", async () => {
  expect(demo).toEqual(JSON.parse(await makeDemo()));
});

test("the demo's recordings have the keys of their requests", async () => {
  for (const { key, request } of await createDemoStore().list()) expect(requestKey(request)).toBe(key);
});

test.skipIf(Bun.which("python3") === null)("the demo's own tests pass (needs python3)", async () => {
  const folder = mkdtempSync(join(tmpdir(), "llmfs-demo-"));
  try {
    const { structure, files } = await replay();
    for (const [path, bytes] of files) await Bun.write(join(folder, path), bytes);
    for (const entry of structure.entries)
      if (entry.type === "symlink") symlinkSync(entry.target, join(folder, entry.path));
    const { exitCode, stderr } = Bun.spawnSync(["python3", "-B", "-m", "unittest", "discover", "tests"], {
      cwd: folder,
    });
    expect(stderr.toString()).toContain("OK");
    expect(exitCode).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
