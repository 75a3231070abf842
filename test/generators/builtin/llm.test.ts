import { describe, expect, test } from "bun:test";
import { createEngine } from "../../../src/generate/engine.ts";
import { createBudget } from "../../../src/generate/spending/budget.ts";
import { createLlmGenerator } from "../../../src/generators/builtin/llm.ts";
import type { GeneratorContext } from "../../../src/generators/contract.ts";
import { type LanguageModel, LlmError } from "../../../src/llm/llm.ts";
import { createOpenaiModel } from "../../../src/llm/openai.ts";
import { createRecordedModel } from "../../../src/recording/recorded-model.ts";
import { createMemoryStore } from "../../../src/recording/stores/memory.ts";
import { openaiServer } from "../../support/openai-server.ts";
import { opened, scriptedModel } from "../../support/scripted-model.ts";
import { treePort } from "../../support/tree-port.ts";

const never = new AbortController().signal;

function context(more: Partial<GeneratorContext> = {}): GeneratorContext {
  const port = treePort({ "/a.c": { pending: "an int" } });
  return {
    file: port.request("/a.c").file,
    prompts: [],
    options: {},
    params: {},
    setting: async () => undefined,
    outline: port.outline,
    related: async () => [],
    list: port.list,
    read: port.read,
    signal: never,
    log: { debug() {}, info() {}, warn() {} },
    ...more,
  };
}

const compose = async (path: string) => [{ role: "user" as const, content: `write ${path}` }];
const askForFileAlone = (path: string) => `only ${path}`;
const askToRewrite = (path: string, { instruction }: { readonly instruction: string }) => `${path}: ${instruction}`;

test("the content is one plain-text completion without its fence, with metadata", async () => {
  const model = scriptedModel("```c\nint x;\n```");
  const result = await createLlmGenerator({ model, modelName: "m", compose, askForFileAlone, askToRewrite }).generate(
    "/a.c",
    context(),
  );
  expect(result).toEqual({ content: "int x;\n", metadata: { model: "m", input_tokens: 11, output_tokens: 7 } });
  expect(model.requests).toEqual([{ model: "m", messages: [{ role: "user", content: "write /a.c" }] }]);
  expect(model.labels).toEqual(["/a.c"]);
});

test("an answer that reads like a refusal is kept, with a warning; other answers have none", async () => {
  const make = async (text: string) => {
    const warnings: string[] = [];
    const log = { debug() {}, info() {}, warn: (warning: string) => void warnings.push(warning) };
    const options = { model: scriptedModel(text), modelName: "m", compose, askForFileAlone, askToRewrite };
    const made = await createLlmGenerator(options).generate("/a.txt", context({ log }));
    if (!("content" in made)) throw new Error("no content");
    return { content: made.content, warning: made.metadata?.warning, warnings };
  };
  for (const text of [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I cannot assist with this request.\n\nTry something else.",
    "Sorry, I can't do that.",
    "I cannot create this file.",
    "I'm unable to write this.",
    "As an AI language model, I do not write such files.",
  ]) {
    const { content, warning, warnings } = await make(text);
    expect(content).toBe(`${text}\n`);
    expect(warning).toContain("reads like a refusal");
    expect(warnings).toEqual([expect.stringContaining("llmfs regen")]);
  }
  for (const text of ["I'm sorry for the delay of your order.", "Sorry seems to be the hardest word", "int x;"]) {
    expect(await make(text)).toMatchObject({ warning: undefined, warnings: [] });
  }
});

test("a directory's model is used instead", async () => {
  const model = scriptedModel("x");
  await createLlmGenerator({ model, modelName: "m", compose, askForFileAlone, askToRewrite }).generate(
    "/a.c",
    context({ model: "special" }),
  );
  expect(model.requests[0]?.model).toBe("special");
});

test("an empty fence makes an empty file; an empty answer is an error", async () => {
  const generator = (text: string) =>
    createLlmGenerator({ model: scriptedModel(text), modelName: "m", compose, askForFileAlone, askToRewrite });
  expect(await generator("```\n```").generate("/a.c", context())).toMatchObject({ content: "" });
  await expect(Promise.resolve(generator(" \n").generate("/a.c", context()))).rejects.toThrow("empty answer");
});

for (const thoughts of ["<think>Well.</think>\n", "<thinking>Well, let me", " <think>a</think>\n \n"]) {
  test(`an answer that contains only thoughts is an error: ${JSON.stringify(thoughts)}`, async () => {
    const generator = createLlmGenerator({
      model: scriptedModel(thoughts),
      modelName: "m",
      compose,
      askForFileAlone,
      askToRewrite,
    });
    const made = Promise.resolve(generator.generate("/a.c", context()));
    await expect(made).rejects.toThrow("m sent reasoning but no answer for /a.c; try again, or another model");
  });
}

test("a file generated through the engine and a real server gets the bytes and the metadata", async () => {
  await using server = await openaiServer([{ stream: ["```c\nint ", "x;\n```"], model: "served-model" }]);
  const tree = treePort({ "/a.c": { pending: "an int" } });
  const engine = createEngine({ openModel: opened(createOpenaiModel({ baseUrl: server.baseUrl })), tree });
  const { bytes, metadata } = await engine.generate(tree.request("/a.c"), never);
  expect(new TextDecoder().decode(bytes)).toBe("int x;\n");
  expect(Object.fromEntries(metadata)).toMatchObject({ model: "served-model", input_tokens: "11", output_tokens: "7" });
  expect(server.received(0).body.messages.at(-1).content).toContain(
    "Write the file a.c\nThis is a C source file.\nWhat it is: an int",
  );
});

test("temperature and maximum length are inherited from the nearest directory that sets them", async () => {
  const tree = treePort({
    "/": { folder: { "user.llmfs.temperature": "0.1", "user.llmfs.max-tokens": "900" } },
    "/wild": { folder: { "user.llmfs.temperature": "1.5" } },
    "/wild/a.c": { pending: "" },
    "/b.c": { pending: "" },
    "/wild/own.c": { pending: "", xattrs: { "user.llmfs.temperature": "0" } },
  });
  const model = scriptedModel("x");
  const engine = createEngine({ openModel: opened(model), tree, temperature: 0.7 });
  for (const path of ["/wild/a.c", "/b.c", "/wild/own.c"]) await engine.generate(tree.request(path), never);
  expect(model.requests.map(({ temperature, maxTokens }) => [temperature, maxTokens])).toEqual([
    [1.5, 900],
    [0.1, 900],
    [0, 900],
  ]);
});

test("an invalid temperature is an error that names it, and no request is sent", async () => {
  const model = scriptedModel("x");
  for (const value of ["hot", "-1", "3", "NaN"]) {
    const tree = treePort({ "/a.c": { pending: "", xattrs: { "user.llmfs.temperature": value } } });
    const engine = createEngine({ openModel: opened(model), tree });
    await expect(engine.generate(tree.request("/a.c"), never)).rejects.toThrow(`user.llmfs.temperature is "${value}"`);
  }
  expect(model.requests).toEqual([]);
});

describe("an answer that may contain more than the file", () => {
  const UNCLEAR = "Either this:\n```c\nint x;\n```\nor that:\n```c\nint y;\n```\n";

  /** The generator with a script, its requests, and its warnings. */
  function made(model: LanguageModel, more: Partial<GeneratorContext> = {}) {
    const warnings: string[] = [];
    const generator = createLlmGenerator({ model, modelName: "m", compose, askForFileAlone, askToRewrite });
    const log = { debug() {}, info() {}, warn: (text: string) => void warnings.push(text) };
    return { content: Promise.resolve(generator.generate("/a.c", context({ log, ...more }))), warnings };
  }

  test("an unclear answer is sent back once, the second answer becomes the file, and the metadata cover both", async () => {
    const model = scriptedModel(UNCLEAR, "```c\nint x;\n```");
    const { content, warnings } = made(model, { setting: async (name) => (name === "max-tokens" ? "50" : undefined) });
    expect(await content).toEqual({
      content: "int x;\n",
      metadata: { model: "m", input_tokens: 22, output_tokens: 14 },
    });
    expect(model.requests[1]).toEqual({
      model: "m",
      messages: [
        { role: "user", content: "write /a.c" },
        { role: "assistant", content: UNCLEAR },
        { role: "user", content: "only /a.c" },
      ],
      maxTokens: 50,
    });
    expect([model.labels, warnings]).toEqual([["/a.c", "repair of /a.c"], []]);
  });

  test("an unclear answer is kept with a warning if the second one is no better", async () => {
    for (const second of [UNCLEAR, "<think>\nHm.\n</think>\n"]) {
      const forgotten: unknown[] = [];
      const model = scriptedModel(UNCLEAR, second);
      const forget = async (request: unknown) => void forgotten.push(request);
      const { content, warnings } = made({ ...model, forget });
      expect(await content).toMatchObject({ content: UNCLEAR, metadata: { input_tokens: 11 } });
      expect(model.requests).toHaveLength(2);
      expect(warnings).toEqual(["m answered twice with more than the file; the answer is kept unchanged"]);
      expect(forgotten).toEqual(second === UNCLEAR ? [] : [model.requests[1]]);
    }
  });

  test("an unclear answer is kept if the budget is spent, but not if the reader gave up", async () => {
    const spent = made(scriptedModel(UNCLEAR, new LlmError("quota", "the budget is spent")));
    expect(await spent.content).toMatchObject({ content: UNCLEAR });
    expect(spent.warnings).toEqual([
      "the answer contains more than the file, and a corrected one is not available: the budget is spent",
    ]);
    const cancelled = made(scriptedModel(UNCLEAR, new LlmError("cancelled", "stopped")));
    await expect(cancelled.content).rejects.toThrow("stopped");
  });

  test("the second request counts toward the call limit", async () => {
    const inner = scriptedModel(UNCLEAR, "int x;\n");
    const { content, warnings } = made(createBudget({ limits: { calls: 1 }, priceOf: () => undefined }).limit(inner));
    expect(await content).toMatchObject({ content: UNCLEAR });
    expect([inner.requests.length, warnings.length]).toEqual([1, 1]);
  });

  test("replay uses both answers, or the first alone if the second one is not recorded", async () => {
    const store = createMemoryStore("a test");
    const recording = createRecordedModel(scriptedModel(UNCLEAR, "int x;\n"), store, { mode: "record" });
    expect(await made(recording).content).toMatchObject({ content: "int x;\n" });
    const nobody: LanguageModel = { complete: () => Promise.reject(new Error("replaying asks nobody")) };
    const replaying = createRecordedModel(nobody, store, { mode: "replay" });
    const [first, second] = await store.list();
    const replayed = await made(replaying).content;
    expect(replayed).toMatchObject({ content: "int x;\n", metadata: { request: first?.key, recorded: true } });
    await store.remove?.(second?.key ?? "");
    const { content, warnings } = made(replaying);
    expect(await content).toMatchObject({ content: UNCLEAR });
    expect(warnings).toEqual([expect.stringContaining("no recording for repair of /a.c")]);
  });

  test("an answer for a prose file is never sent back", async () => {
    const model = scriptedModel(UNCLEAR);
    const generator = createLlmGenerator({ model, modelName: "m", compose, askForFileAlone, askToRewrite });
    expect(await generator.generate("/README.md", context())).toMatchObject({ content: UNCLEAR });
    expect(model.requests).toHaveLength(1);
  });
});

describe("a rewritten file", () => {
  const rewrite = { content: "int x;\n", instruction: "call it y", earlier: ["call it x"] };
  const generate = (model: LanguageModel) =>
    createLlmGenerator({ model, modelName: "m", compose, askForFileAlone, askToRewrite }).generate("/a.c", {
      ...context(),
      rewrite,
    } as GeneratorContext);

  test("the request to rewrite a file is its own request, followed by its content and the instruction", async () => {
    const model = scriptedModel("```c\nint y;\n```");
    const result = await generate(model);
    expect(model.requests[0]?.messages).toEqual([
      { role: "user", content: "write /a.c" },
      { role: "assistant", content: "int x;\n" },
      { role: "user", content: "/a.c: call it y" },
    ]);
    expect(result).toEqual({
      content: "int y;\n",
      metadata: { model: "m", input_tokens: 11, output_tokens: 7, rewritten: "call it x\ncall it y" },
    });
  });

  test("a rewrite is neither taken from recordings nor recorded", async () => {
    const model = scriptedModel("int y;", "int z;");
    const store = createMemoryStore("memory");
    const recorded = createRecordedModel(model, store, { mode: "auto" });
    expect([await generate(recorded), await generate(recorded)]).toMatchObject([
      { content: "int y;\n" },
      { content: "int z;\n" },
    ]);
    expect(await store.list()).toEqual([]);
  });
});

test("frozen content is used to the byte, also where an answer would be cleaned", async () => {
  const text = "Here you are:\n\n```c\nint x;\n```";
  const model: LanguageModel = { complete: async () => ({ text, model: "m", frozen: ["call it\nx"] }) };
  const generator = createLlmGenerator({ model, modelName: "m", compose, askForFileAlone, askToRewrite });
  expect(await generator.generate("/a.c", context())).toEqual({
    content: text,
    metadata: { model: "m", rewritten: "call it x" },
  });
});
