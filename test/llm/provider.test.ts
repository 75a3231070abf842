import { expect, test } from "bun:test";
import { LlmError, type LlmErrorKind } from "../../src/llm/llm.ts";
import { createOpenaiModel } from "../../src/llm/openai.ts";
import { DEFAULT_MODEL, OPENAI_BASE_URL } from "../../src/llm/openai-service.ts";
import { chooseProvider, LOCAL_SERVERS, type ProviderLayer } from "../../src/llm/provider.ts";
import { openaiServer } from "../support/openai-server.ts";
import { freePort } from "../support/servers.ts";

const flags = (layer: Omit<ProviderLayer, "from">): ProviderLayer => ({ ...layer, from: "flags" });
const env = (layer: Omit<ProviderLayer, "from">): ProviderLayer => ({ ...layer, from: "environment" });
const nobody = { localServers: [{ name: "Nobody", baseUrl: "http://127.0.0.1:1/v1" }] };

async function refusal(promise: Promise<unknown>, kind: LlmErrorKind = "unconfigured"): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof LlmError)) throw new Error(`not an LlmError: ${String(error)}`);
  expect(error.kind).toBe(kind);
  return error.message;
}

test("a key alone means OpenAI and the default model, without asking anybody", async () => {
  expect(await chooseProvider([env({ apiKey: "sk-1" })], nobody)).toEqual({
    baseUrl: OPENAI_BASE_URL,
    apiKey: "sk-1",
    model: DEFAULT_MODEL,
    source: "environment",
  });
});

test("flags win over the environment, field by field", async () => {
  const layers = [
    flags({ baseUrl: "http://127.0.0.1:9/v1/", model: "mine" }),
    env({ baseUrl: "http://elsewhere/v1", apiKey: "sk-1", model: "theirs" }),
  ];
  expect(await chooseProvider(layers, nobody)).toEqual({
    baseUrl: "http://127.0.0.1:9/v1",
    apiKey: "sk-1",
    model: "mine",
    source: "flags",
  });
});

test("an empty setting counts as absent", async () => {
  const layers = [flags({ apiKey: "" }), env({ apiKey: "sk-1", baseUrl: "" })];
  expect((await chooseProvider(layers, nobody)).apiKey).toBe("sk-1");
});

test("a base URL needs no key", async () => {
  const provider = await chooseProvider([flags({ baseUrl: "http://127.0.0.1:9/v1", model: "m" })]);
  expect(provider).not.toHaveProperty("apiKey");
});

test("a base URL without a model uses the server's only model", async () => {
  await using server = await openaiServer([], ["qwen3"]);
  expect((await chooseProvider([flags({ baseUrl: server.baseUrl })])).model).toBe("qwen3");
});

test("a base URL without a model uses the default model if the server has it", async () => {
  await using server = await openaiServer([], ["another", DEFAULT_MODEL]);
  expect((await chooseProvider([flags({ baseUrl: server.baseUrl })])).model).toBe(DEFAULT_MODEL);
});

test("an invalid base URL is refused without being repeated", async () => {
  const message = await refusal(chooseProvider([flags({ baseUrl: "sk-oops-a-key" })]));
  expect(message).toContain("flags");
  expect(message).not.toContain("sk-oops");
});

test("a key that cannot be sent is refused without being repeated", async () => {
  for (const apiKey of ["sk-secret\nOPENAI_MODEL=x", "sk-\u0001secret", "ключ-secret"]) {
    const message = await refusal(chooseProvider([env({ apiKey, model: "m" })]));
    expect(message).toContain("environment");
    expect(message).toContain("OPENAI_API_KEY");
    expect(message).not.toContain("secret");
  }
});

test("the error for a server that is not running says so, and does not ask for a model", async () => {
  const host = `127.0.0.1:${freePort()}`;
  const message = await refusal(chooseProvider([flags({ baseUrl: `http://${host}/v1` })]), "no-connection");
  expect(message).toMatch(
    new RegExp(`^no connection to ${host}: ECONNREFUSED.*; is the server running, and is the base URL`),
  );
  expect(message).not.toMatch(/--model|attempts/);
});

test("the error for a server that does not list its models says what it did instead", async () => {
  const asked = (baseUrl: string) => refusal(chooseProvider([flags({ baseUrl })]));
  for (const [status, body, instead] of [
    [500, "{}", "it answered 500 to the request for its models"],
    [200, "<html>", "it does not list its models"],
    [200, '{"models":[]}', "it does not list its models"],
    [200, '{"data":[]}', "it does not list its models"],
  ] as const) {
    using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(body, { status }) });
    const message = await asked(`http://127.0.0.1:${server.port}/v1`);
    expect(message).toContain(`no model is set for 127.0.0.1:${server.port}; ${instead}; choose one with --model`);
  }
});

test("the error for a server that refuses its list asks for a key, or for another one", async () => {
  for (const status of [401, 403]) {
    using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("{}", { status }) });
    const baseUrl = `http://127.0.0.1:${server.port}/v1`;
    const without = await refusal(chooseProvider([flags({ baseUrl })]), "refused-key");
    expect(without).toContain(`127.0.0.1:${server.port} answered ${status} to the request for its models`);
    expect(without).toContain("it requires a key; set OPENAI_API_KEY");
    const wrong = await refusal(chooseProvider([flags({ baseUrl }), env({ apiKey: "sk-wrong-1234" })]), "refused-key");
    expect(wrong).toContain("it rejects the key (from environment); set OPENAI_API_KEY");
    expect(wrong).not.toContain("sk-wrong");
    expect((await chooseProvider([flags({ baseUrl, model: "m" })])).model).toBe("m");
    const local = await refusal(chooseProvider([], { localServers: [{ name: "LM Studio", baseUrl }] }));
    expect(local).toContain(`LM Studio (127.0.0.1:${server.port}), which answers but requires a key`);
  }
});

test("a model chosen automatically can chat, and the other candidates are listed", async () => {
  await using server = await openaiServer([], ["nomic-embed-text", "llama3", "dall-e-3", "qwen3"]);
  const provider = await chooseProvider([flags({ baseUrl: server.baseUrl })]);
  expect([provider.model, provider.others]).toEqual(["llama3", ["qwen3"]]);
  const localServers = [{ name: "Ollama", baseUrl: server.baseUrl }];
  expect((await chooseProvider([], { localServers })).model).toBe("llama3");
  expect(await chooseProvider([env({ model: "dall-e-3" })], { localServers })).not.toHaveProperty("others");
});

test("without a model that can chat, the error lists what each is for; a named model is used anyway", async () => {
  await using server = await openaiServer([], ["nomic-embed-text", "whisper-1"]);
  const only = "nomic-embed-text (embeddings), whisper-1 (speech)";
  const message = await refusal(chooseProvider([flags({ baseUrl: server.baseUrl })]));
  expect(message).toContain(`it seems that none of the models at 127.0.0.1:${server.port} can chat: ${only}`);
  expect(message).toContain("--model or LLMFS_MODEL");
  const local = await refusal(chooseProvider([], { localServers: [{ name: "Ollama", baseUrl: server.baseUrl }] }));
  expect(local).toContain(
    `load a model that can chat into   Ollama (127.0.0.1:${server.port}), which has only ${only}`,
  );
  expect((await chooseProvider([flags({ baseUrl: server.baseUrl, model: "whisper-1" })])).model).toBe("whisper-1");
});

test("a local server whose models cannot chat is skipped for one with a chat model", async () => {
  await using one = await openaiServer([], ["all-minilm"]);
  await using two = await openaiServer([], ["llama3"]);
  const localServers = [
    { name: "Ollama", baseUrl: one.baseUrl },
    { name: "LM Studio", baseUrl: two.baseUrl },
  ];
  expect(await chooseProvider([], { localServers })).toMatchObject({ baseUrl: two.baseUrl, model: "llama3" });
});

test("a named model selects the local server that has it", async () => {
  await using one = await openaiServer([], ["llama3"]);
  await using two = await openaiServer([], ["qwen3:latest"]);
  const localServers = [one, two].map(({ baseUrl }, index) => ({ name: `server ${index}`, baseUrl }));
  const named = (model: string) => chooseProvider([env({ model })], { localServers });
  expect(await named("qwen3")).toMatchObject({ baseUrl: two.baseUrl, model: "qwen3" });
  expect(await named("llama3")).toMatchObject({ baseUrl: one.baseUrl });
  // Ollama can fetch a model that it does not list.
  expect(await named("other")).toMatchObject({ baseUrl: one.baseUrl, model: "other" });
});

test("headers go only to the configured server, including the request for its list of models", async () => {
  const seen: (string | null)[] = [];
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      seen.push(request.headers.get("x-team"));
      return Response.json({ data: [{ id: "m" }] });
    },
  });
  const baseUrl = `http://127.0.0.1:${server.port}/v1`;
  const headers = { "X-Team": "tides" };
  expect(await chooseProvider([flags({ baseUrl }), env({ headers })])).toMatchObject({ headers });
  expect(new Set(seen)).toEqual(new Set(["tides"]));
  seen.length = 0;
  const local = await chooseProvider([env({ headers })], { localServers: [{ name: "Ollama", baseUrl }] });
  expect(local).toMatchObject({ headers: { "X-Team": null } });
  expect(new Set(seen)).toEqual(new Set([null]));
});

test("requests to this machine bypass the proxy", async () => {
  await using server = await openaiServer([{ stream: "here" }], ["llama"]);
  const before = process.env.HTTP_PROXY;
  process.env.HTTP_PROXY = `http://127.0.0.1:${freePort()}`;
  try {
    expect((await chooseProvider([flags({ baseUrl: server.baseUrl })])).model).toBe("llama");
    const request = { model: "llama", messages: [{ role: "user" as const, content: "Hi" }] };
    expect((await createOpenaiModel({ baseUrl: server.baseUrl }).complete(request)).text).toBe("here");
  } finally {
    if (before === undefined) delete process.env.HTTP_PROXY;
    else process.env.HTTP_PROXY = before;
  }
});

test("without a setting, the first local server that answers is used", async () => {
  await using server = await openaiServer([], ["llama", "qwen"]);
  const localServers = [...nobody.localServers, { name: "Ollama", baseUrl: server.baseUrl }];
  const source = `Ollama, found at 127.0.0.1:${server.port}`;
  const found = { baseUrl: server.baseUrl, model: "llama", others: ["qwen"], source };
  expect(await chooseProvider([], { localServers })).toEqual(found);
  expect((await chooseProvider([env({ model: "qwen" })], { localServers })).model).toBe("qwen");
});

test("without any provider the message lists every cure, and the servers that were tried", async () => {
  const message = await refusal(chooseProvider([], nobody));
  for (const way of ["OPENAI_API_KEY", "--base-url", "OPENAI_BASE_URL", "--mode replay", "Nobody (127.0.0.1:1)"]) {
    expect(message).toContain(way);
  }
});

test("a local server without a model is reported as such", async () => {
  await using server = await openaiServer([], []);
  const message = await refusal(chooseProvider([], { localServers: [{ name: "Ollama", baseUrl: server.baseUrl }] }));
  expect(message).toContain("answers but has no model");
});

test("a silent local port delays the search by no more than the probe", async () => {
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const localServers = [{ name: "Silent", baseUrl: `http://127.0.0.1:${silent.port}/v1` }];
  expect(await refusal(chooseProvider([], { localServers, probeMs: 30 }))).toContain("Silent");
  silent.stop(true);
});

test("the local servers are Ollama, LM Studio and llama.cpp, on their usual ports", () => {
  expect(LOCAL_SERVERS.map(({ baseUrl }) => new URL(baseUrl).port)).toEqual(["11434", "1234", "8080"]);
});
