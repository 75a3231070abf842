/** What local servers report about the context of a model. */
import { expect, test } from "bun:test";
import { createServer } from "node:http";
import { findContextLength } from "../../src/llm/context-length.ts";

type Answers = Readonly<Record<string, unknown>>;

/** A server with these answers by path, and the paths that were requested. */
async function measure(
  answers: Answers,
  { baseUrl, recorded }: { baseUrl?: string; recorded?: number } = {},
): Promise<{ length: number | undefined; paths: string[] }> {
  const paths: string[] = [];
  const known = new Map(Object.entries(answers));
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    paths.push(path);
    const answer = known.get(path);
    const found = typeof answer === "function" ? answer(paths) : answer;
    response.writeHead(found === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(found ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  try {
    const url = baseUrl ?? `http://127.0.0.1:${port}/v1`;
    return { length: await findContextLength({ baseUrl: url, model: "m", source: "a test" }, { recorded }), paths };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const shown = {
  model_info: { "general.architecture": "llama", "llama.context_length": 131_072 },
  parameters: "stop x",
};
const list = (entry: object) => ({ "/v1/models": { data: [{ id: "other" }, { id: "m", ...entry }] } });

test.each<[string, Answers, number | undefined]>([
  ["llama.cpp, in its settings", { "/props": { default_generation_settings: { n_ctx: 2048 } }, ...list({}) }, 2048],
  ["llama.cpp, in its list", list({ meta: { n_ctx: 8192, n_ctx_train: 32_768 } }), 8192],
  ["llama.cpp, what its model was trained for", list({ meta: { n_ctx_train: 32_768 } }), 32_768],
  ["vLLM", list({ max_model_len: 16_384 }), 16_384],
  ["other servers", list({ context_length: 12_000 }), 12_000],
  [
    "LM Studio",
    { "/api/v0/models": { data: [{ id: "m", loaded_context_length: 4096, max_context_length: 9e5 }] } },
    4096,
  ],
  [
    "Ollama, in the parameters of the model",
    { "/api/show": { ...shown, parameters: "stop x\nnum_ctx    6000\n" } },
    6000,
  ],
  [
    "Ollama, for a loaded model",
    { "/api/show": shown, "/api/ps": { models: [{ name: "m:latest", context_length: 16_384 }] } },
    16_384,
  ],
  [
    "Ollama, after it has loaded the model",
    {
      "/api/show": shown,
      "/api/generate": { done: true },
      "/api/ps": (paths: string[]) =>
        paths.includes("/api/generate") ? { models: [{ name: "m", context_length: 8192 }] } : { models: [] },
    },
    8192,
  ],
  ["Ollama, by its default", { "/api/show": shown, ...list({}) }, 4096],
  ["Ollama, of a model with a short context", { "/api/show": { model_info: { "gpt2.context_length": 1024 } } }, 1024],
  ["nothing", list({}), undefined],
  ["another model", { "/v1/models": { data: [{ id: "a", max_model_len: 4096 }, { id: "b" }] } }, undefined],
  ["nonsense", list({ max_model_len: "many", context_length: -1, context_window: 1 }), undefined],
  ["an error with status 200", { "/props": { error: "unexpected endpoint" }, "/api/show": { error: "no" } }, undefined],
])("the context of a local server is found: %s", async (_, answers, expected) => {
  expect((await measure(answers)).length).toBe(expected);
});

test("a model is not loaded to find a context that is recorded", async () => {
  const { length, paths } = await measure({ "/api/show": shown }, { recorded: 6000 });
  expect([length, paths.includes("/api/generate")]).toEqual([6000, false]);
  expect((await measure({ "/api/show": shown })).paths).toContain("/api/generate");
});

test("only servers on this machine are asked", async () => {
  expect(await measure(list({ max_model_len: 4096 }), { baseUrl: "http://models.invalid/v1" })).toEqual({
    length: undefined,
    paths: [],
  });
});

test("a server that does not answer is not waited for", async () => {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  const before = performance.now();
  expect(await findContextLength({ baseUrl: `http://127.0.0.1:${port}/v1`, model: "m", source: "a test" })).toBe(
    undefined,
  );
  expect(performance.now() - before).toBeLessThan(5000);
  server.closeAllConnections();
  server.close();
});
