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
  expect((await generator("```\n```").generate("/a.c", context())).content).toBe("");
  await expect(Promise.resolve(generator(" \n").generate("/a.c", context()))).rejects.toThrow("empty answer");
});

test("through the engine and a real server, the file gets the bytes and the metadata", async () => {
  await using server = await openaiServer([{ stream: ["```c\nint ", "x;\n```"], model: "served-model" }]);
  const tree = treePort({ "/a.c": { pending: "an int" } });
  const engine = createEngine({ model: openaiModel({ baseUrl: server.baseUrl }), modelName: "m", tree });
  const { bytes, metadata } = await engine.generate(tree.request("/a.c"), never);
  expect(new TextDecoder().decode(bytes)).toBe("int x;\n");
  expect(Object.fromEntries(metadata)).toEqual({ model: "served-model", input_tokens: "11", output_tokens: "7" });
  expect(server.received(0).body.messages.at(-1).content).toContain("Write the file a.c\nWhat it is: an int");
});
