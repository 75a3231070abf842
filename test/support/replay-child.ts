/** Replays the demo's structure and files from a folder of recordings; with an argument, opens a socket as well. */

import { generateAll } from "../../build/demo-recordings.ts";
import { createEngine } from "../../src/generate/engine.ts";
import { generateStructure } from "../../src/generate/structure/structure.ts";
import { createOpenaiModel } from "../../src/llm/openai.ts";
import { OfflineTree } from "../../src/offline/offline-tree.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import { DEMO_MODEL, DEMO_PROMPT } from "../../src/recording/stores/demo-store.ts";
import { openStore } from "../../src/recording/stores/store.ts";
import { structureToSnapshot } from "../../src/snapshot/structure.ts";
import { opened } from "./scripted-model.ts";

const [folder = "", socket] = process.argv.slice(2);
const store = await openStore(folder, { mode: "replay", local: folder, warn: console.error });
// A model server; replaying must not contact it.
const server = createOpenaiModel({ baseUrl: "http://127.0.0.1:9/v1", apiKey: "sk-never" });
const model = createRecordedModel(server, store, { mode: "replay" });
const structure = await generateStructure({ prompt: DEMO_PROMPT, model, modelName: DEMO_MODEL });
const tree = new OfflineTree({ text: Buffer.from(structureToSnapshot(structure.entries)) });
const contents = await generateAll(tree, model, DEMO_MODEL);
const read = async (path: string) => contents.get(path) ?? new Uint8Array();
const engine = createEngine({ openModel: opened(model, DEMO_MODEL), tree: { ...tree.port, read } });
const missing = { ...tree.request("/README.md"), prompts: ["Something else."] };
const error: unknown = await engine.generate(missing, new AbortController().signal).catch((reason) => reason);
if (socket) await fetch("http://127.0.0.1:9/").catch(() => {});
console.log(JSON.stringify({ files: tree.files.length, miss: String(error) }));
