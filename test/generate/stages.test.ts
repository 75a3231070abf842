/** The stages of a generation, as the filesystem thread gets them: they decide what an interruption cancels. */
import { expect, test } from "bun:test";
import { createEngine, type EngineOptions } from "../../src/generate/engine.ts";
import { limitConcurrency } from "../../src/generate/spending/limit-concurrency.ts";
import { parsePattern } from "../../src/generators/config/patterns.ts";
import { type Rule, Rules } from "../../src/generators/config/rules.ts";
import type { ContentGenerator } from "../../src/generators/contract.ts";
import type { LanguageModel } from "../../src/llm/llm.ts";
import { GenerationTask } from "../../src/mount/generation-task.ts";
import type { Stage } from "../../src/rpc/generation.ts";
import { opened, scriptedModel } from "../support/scripted-model.ts";
import { treePort } from "../support/tree-port.ts";

const never = new AbortController().signal;

/** Generates a file; returns its stages, and the notes between them. */
function watched(
  generator: ContentGenerator,
  { read, ...more }: Partial<EngineOptions> & { read?: () => Promise<Uint8Array> } = {},
) {
  const seen: string[] = [];
  const tree = treePort({ "/a": { pending: "a" }, "/b": { pending: "b" }, "/c": "c" }, async () => {
    seen.push("reading");
    return (await read?.()) ?? new Uint8Array(0);
  });
  const engine = createEngine({
    openModel: opened(scriptedModel("text")),
    tree,
    generators: new Map([["mine", generator]]),
    ...more,
  });
  const listener = {
    async write() {},
    setStage: (stage: Stage) => {
      if (seen.at(-1) !== stage) seen.push(stage);
    },
  };
  const generate = (name = "mine", xattrs: Readonly<Record<string, string>> = {}) => {
    const request = tree.request("/a", { generator: name });
    const file = { ...request.file, xattrs: new Map(Object.entries(xattrs)) };
    return engine.generate({ ...request, file }, never, listener);
  };
  return { seen, engine, tree, generate };
}

test("a generator is shown as working from the start, except while it waits for another file", async () => {
  const { seen, generate } = watched({
    async generate(_, { read, list }) {
      seen.push("begun");
      await read("/b");
      seen.push("goes on");
      await list("/");
      seen.push("ends");
      return { content: "x" };
    },
  });
  await generate();
  expect(seen).toEqual([
    ...["preparing", "working", "begun", "preparing", "reading", "working", "goes on"],
    ...["preparing", "working", "ends"],
  ]);
});

test("a generator that waits for two files is shown as working once it has both", async () => {
  const gates = [Promise.withResolvers<Uint8Array>(), Promise.withResolvers<Uint8Array>()];
  let at = 0;
  const { seen, generate } = watched(
    {
      async generate(_, { read }) {
        await Promise.all([read("/b"), read("/b")]);
        return { content: "x" };
      },
    },
    { read: () => gates[at++]?.promise ?? Promise.reject(new Error("a third read")) },
  );
  const made = generate();
  while (at < 2) await Bun.sleep(0);
  gates[0]?.resolve(new Uint8Array(0));
  await Bun.sleep(5);
  expect(seen.at(-1)).not.toBe("working");
  gates[1]?.resolve(new Uint8Array(0));
  await made;
  expect(seen.at(-1)).toBe("working");
});

test("a generation that waits for a slot is shown as queued", async () => {
  const gate = Promise.withResolvers<void>();
  const waits: ContentGenerator = {
    async generate() {
      await gate.promise;
      return { content: "x" };
    },
  };
  const { seen, generate, engine, tree } = watched(waits, { others: { concurrency: 1 } });
  const first = engine.generate(tree.request("/b", { generator: "mine" }), never);
  const second = generate();
  await Bun.sleep(0);
  expect(seen).toEqual(["queued"]);
  gate.resolve();
  await Promise.all([first, second]);
  expect(seen).toEqual(["queued", "preparing", "working"]);
});

test("a file is shown as being prepared until its request is sent, and as queued while the request waits", async () => {
  const gate = Promise.withResolvers<void>();
  const seen: string[] = [];
  const model: LanguageModel = {
    async complete(_, options) {
      if (options?.label === "/a") seen.push("asked");
      await gate.promise;
      return { text: "text", model: "m" };
    },
  };
  const turns = limitConcurrency(model, 1);
  const before = turns.complete({ model: "m", messages: [] });
  const all = watched({ generate: () => ({ content: "" }) }, { openModel: opened(turns) });
  const made = all.generate("llm", { "user.llmfs.depends": "/b" });
  while (!all.seen.includes("queued")) await Bun.sleep(1);
  expect([all.seen, seen]).toEqual([["preparing", "reading", "preparing", "queued"], []]);
  gate.resolve();
  await Promise.all([before, made]);
  expect([all.seen.at(-1), seen]).toEqual(["working", ["asked"]]);
});

test("a listing is shown as working, except while it waits for another file", async () => {
  const stages: Stage[] = [];
  const rule: Rule = {
    name: "rule 1",
    match: parsePattern("*"),
    generator: "mine",
    options: {},
    refresh: undefined,
    timeoutMs: undefined,
    maxBytes: undefined,
    lists: true,
    looksUp: false,
  };
  const { engine } = watched(
    {
      generate: () => ({ content: "" }),
      async list(_, { read }) {
        await read("/b");
        return [];
      },
    },
    { rules: new Rules([rule]) },
  );
  const listener = { setStage: (stage: Stage) => void stages.push(stage) };
  await engine.list({ ticket: 1, ino: 2, path: "/", generator: "mine", pause: 0 }, never, listener);
  expect(stages).toEqual(["preparing", "working", "preparing", "working"]);
});

test("changes within one turn of the event loop are one message, and none if nothing changed in the end", async () => {
  const posted: unknown[] = [];
  const job = new GenerationTask(7, (message) => posted.push(message));
  job.setStage("working");
  job.setStage("preparing");
  await Bun.sleep(0);
  expect(posted).toEqual([]);
  job.setStage("queued");
  job.setStage("working");
  await Bun.sleep(0);
  expect(posted).toEqual([{ type: "stage", ticket: 7, stage: "working" }]);
  job.setStage("working");
  job.setStage("queued");
  await Bun.sleep(0);
  expect(posted).toEqual([
    { type: "stage", ticket: 7, stage: "working" },
    { type: "stage", ticket: 7, stage: "queued" },
  ]);
});
