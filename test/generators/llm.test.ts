import { expect, test } from "bun:test";
import { createEngine } from "../../src/generate/engine.ts";
import type { GeneratorContext } from "../../src/generators/generator.ts";
import { llmGenerator } from "../../src/generators/llm.ts";
import { openaiModel } from "../../src/llm/openai.ts";
import { openaiServer } from "../support/openai-server.ts";
import { scriptedModel } from "../support/scripted-model.ts";
import { treePort } from "../support/tree-port.ts";

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

test("content is one plain-text completion, without its fence, with metadata", async () => {
  const model = scriptedModel("```c\nint x;\n```");
  const result = await llmGenerator({ model, modelName: "m", compose }).generate("/a.c", context());
  expect(result).toEqual({ content: "int x;\n", metadata: { model: "m", input_tokens: 11, output_tokens: 7 } });
  expect(model.requests).toEqual([{ model: "m", messages: [{ role: "user", content: "write /a.c" }] }]);
  expect(model.labels).toEqual(["/a.c"]);
});

test("the model that a directory names is asked instead", async () => {
  const model = scriptedModel("x");
  await llmGenerator({ model, modelName: "m", compose }).generate("/a.c", context({ model: "special" }));
  expect(model.requests[0]?.model).toBe("special");
});

test("an empty fence makes an empty file; an empty answer makes none", async () => {
  const generator = (text: string) => llmGenerator({ model: scriptedModel(text), modelName: "m", compose });
  expect(await generator("```\n```").generate("/a.c", context())).toMatchObject({ content: "" });
  await expect(Promise.resolve(generator(" \n").generate("/a.c", context()))).rejects.toThrow("empty answer");
});

for (const thoughts of ["<think>Well.</think>\n", "<thinking>Well, let me", " <think>a</think>\n \n"]) {
  test(`an answer of thoughts alone makes none either: ${JSON.stringify(thoughts)}`, async () => {
    const generator = llmGenerator({ model: scriptedModel(thoughts), modelName: "m", compose });
    const made = Promise.resolve(generator.generate("/a.c", context()));
    await expect(made).rejects.toThrow("m sent thoughts, and no answer, for /a.c; try again, or another model");
  });
}

test("through the engine and a real server, the file gets the bytes and the metadata", async () => {
  await using server = await openaiServer([{ stream: ["```c\nint ", "x;\n```"], model: "served-model" }]);
  const tree = treePort({ "/a.c": { pending: "an int" } });
  const engine = createEngine({ model: openaiModel({ baseUrl: server.baseUrl }), modelName: "m", tree });
  const { bytes, metadata } = await engine.generate(tree.request("/a.c"), never);
  expect(new TextDecoder().decode(bytes)).toBe("int x;\n");
  expect(Object.fromEntries(metadata)).toMatchObject({ model: "served-model", input_tokens: "11", output_tokens: "7" });
  expect(server.received(0).body.messages.at(-1).content).toContain("Write the file a.c\nWhat it is: an int");
});

test("temperature and the longest answer are inherited from the nearest directory that sets them", async () => {
  const tree = treePort({
    "/": { folder: { "user.llmfs.temperature": "0.1", "user.llmfs.max-tokens": "900" } },
    "/wild": { folder: { "user.llmfs.temperature": "1.5" } },
    "/wild/a.c": { pending: "" },
    "/b.c": { pending: "" },
    "/wild/own.c": { pending: "", xattrs: { "user.llmfs.temperature": "0" } },
  });
  const model = scriptedModel("x");
  const engine = createEngine({ model, modelName: "m", tree, temperature: 0.7 });
  for (const path of ["/wild/a.c", "/b.c", "/wild/own.c"]) await engine.generate(tree.request(path), never);
  expect(model.requests.map(({ temperature, maxTokens }) => [temperature, maxTokens])).toEqual([
    [1.5, 900],
    [0.1, 900],
    [0, 900],
  ]);
});

test("a temperature that is none is an error that names it, and nothing is asked", async () => {
  const model = scriptedModel("x");
  for (const value of ["hot", "-1", "3", "NaN"]) {
    const tree = treePort({ "/a.c": { pending: "", xattrs: { "user.llmfs.temperature": value } } });
    const engine = createEngine({ model, modelName: "m", tree });
    await expect(engine.generate(tree.request("/a.c"), never)).rejects.toThrow(`user.llmfs.temperature is "${value}"`);
  }
  expect(model.requests).toEqual([]);
});
