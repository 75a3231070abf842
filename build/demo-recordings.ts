/**
 * Generates src/recording/demo.json: the recordings inside the executable for `llmfs demo`.
 *
 * The answers are written by hand and are in build/demo: a prompt, a layout, and the files. The real engine asks a
 * model that answers with them, so the keys are those of the requests that llmfs sends. Run this after a change to the
 * instructions, to the context of a file, or to the answers; a test fails if that was forgotten.
 */

import { createEngine } from "../src/generate/engine.ts";
import { generateStructure } from "../src/generate/structure/structure.ts";
import { LAYOUT_LABEL, type LanguageModel, LlmError } from "../src/llm/llm.ts";
import { OfflineTree } from "../src/offline/offline-tree.ts";
import { createRecordedModel } from "../src/recording/recorded-model.ts";
import type { DemoFile } from "../src/recording/stores/demo-store.ts";
import { createMemoryStore } from "../src/recording/stores/memory.ts";
import { structureToSnapshot } from "../src/snapshot/structure.ts";
import { opened } from "../test/support/scripted-model.ts";

const HERE = new URL("demo/", import.meta.url).pathname;
/** Not the name of a model, because no model wrote these answers. */
const MODEL = "demo";

export const DEMO_PATH = new URL("../src/recording/demo.json", import.meta.url).pathname;

/** Returns the new text of src/recording/demo.json. */
export async function makeDemo(): Promise<string> {
  const prompt = (await read("prompt.txt")).trim();
  const store = createMemoryStore("the demo");
  const model = createRecordedModel(byHand, store, { mode: "record" });
  const structure = await generateStructure({ prompt, model, modelName: MODEL });
  const tree = new OfflineTree({ text: Buffer.from(structureToSnapshot(structure.entries)) });
  await generateAll(tree, model, MODEL);
  const demo: DemoFile = { prompt, model: MODEL, recordings: await store.list() };
  return `${JSON.stringify(demo, null, 2)}\n`;
}

/** The content of every file by path. As in a mount, a file that others depend on is generated once, when it is needed. */
export async function generateAll(
  tree: OfflineTree,
  model: LanguageModel,
  modelName: string,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const contents = new Map<string, Promise<Uint8Array>>();
  const read = (path: string): Promise<Uint8Array> => {
    const known = contents.get(path);
    if (known !== undefined) return known;
    const content = engine.generate(tree.request(path), new AbortController().signal).then(({ bytes }) => bytes);
    contents.set(path, content);
    return content;
  };
  const engine = createEngine({ openModel: opened(model, modelName), tree: { ...tree.port, read } });
  const found = new Map<string, Uint8Array>();
  for (const { path } of tree.files.toReversed()) found.set(path, await read(path));
  return found;
}

const byHand: LanguageModel = {
  async complete({ model }, { label = "" } = {}) {
    const text = await read(label === LAYOUT_LABEL ? "layout.json" : `files${label}`).catch((cause) => {
      throw new LlmError("server", `build/demo has no answer for ${label}`, { cause });
    });
    return { text, model };
  },
};

function read(path: string): Promise<string> {
  return Bun.file(HERE + path).text();
}

if (import.meta.main) {
  await Bun.write(DEMO_PATH, await makeDemo());
  console.error(`wrote ${DEMO_PATH}`);
}
