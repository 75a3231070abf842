/**
 * Updates examples/harbour/recordings: the same answers, under the keys of the requests that llmfs sends now.
 *
 *   bun build/example.ts
 *
 * Run this after a change to the instructions or to the context of a file; a test fails if that was forgotten.
 */
import { join } from "node:path";
import { createForesight } from "../src/offline/dry-run.ts";
import { OfflineTree } from "../src/offline/offline-tree.ts";
import { requestKey } from "../src/recording/key.ts";
import type { Recording } from "../src/recording/recording.ts";
import { createFolderStore } from "../src/recording/stores/folder.ts";
import { createMemoryStore } from "../src/recording/stores/memory.ts";

export const EXAMPLE = join(import.meta.dir, "../examples/harbour");
export const EXAMPLE_MODEL = "demo";

/** Returns the updated recordings, with the answers of the existing ones; `answers` adds to them, by label. */
export async function exampleRecordings(
  answers: ReadonlyMap<string, string> = new Map(),
): Promise<readonly Recording[]> {
  const tree = new OfflineTree({ file: join(EXAMPLE, "harbour.json") });
  const texts = new Map(answers);
  for (const { label, answer } of await createFolderStore(join(EXAMPLE, "recordings")).list()) {
    if (!texts.has(label)) texts.set(label, answer.text);
  }
  const store = createMemoryStore("the example");
  // Each round covers the files that depend only on files that are recorded by then.
  for (let left = tree.files.length; left > 0; left--) {
    const foresight = createForesight({ tree, modelName: EXAMPLE_MODEL, store });
    for (const { path, state } of tree.files) {
      if (state === "static") continue;
      const { asks } = await foresight.foresee(path);
      const text = texts.get(path);
      if (asks === undefined || text === undefined) throw new Error(`examples/harbour has no answer for ${path}`);
      if (!asks.exact || asks.recording !== undefined) continue;
      const answer = { text, model: EXAMPLE_MODEL };
      await store.put({ key: requestKey(asks.request), label: path, request: asks.request, answer });
    }
  }
  return store.list();
}

if (import.meta.main) {
  const [from] = process.argv.slice(2);
  const answers = new Map<string, string>();
  if (from !== undefined) {
    for (const path of new Bun.Glob("**").scanSync(from))
      answers.set(`/${path}`, await Bun.file(join(from, path)).text());
  }
  const made = await exampleRecordings(answers);
  const folder = createFolderStore(join(EXAMPLE, "recordings"));
  for (const { key } of await folder.list()) await folder.remove?.(key);
  for (const recording of made) await folder.put(recording);
  console.error(`wrote ${made.length} recordings`);
}
