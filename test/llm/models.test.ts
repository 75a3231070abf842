/** Which of a server's models is chosen if nobody names one. The answers have the shape of those of real servers. */
import { describe, expect, test } from "bun:test";
import { chooseModel, modelsAt, rankModels, type ServerModel } from "../../src/llm/models.ts";

type Answers = Readonly<Record<string, unknown>>;

/** A server that answers each path with JSON; a function gets the request's body. Other paths are 404. */
function serving(answers: Answers, unknown = { status: 404, body: "not found" }) {
  const paths: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      paths.push(pathname);
      const answer = answers[pathname];
      if (answer === undefined) return new Response(unknown.body, { status: unknown.status });
      return Response.json(typeof answer === "function" ? answer(await request.json()) : answer);
    },
  });
  return { baseUrl: `http://127.0.0.1:${server.port}/v1`, paths, [Symbol.dispose]: () => server.stop(true) };
}

async function chosen(
  answers: Answers,
  unknown?: { readonly status: number; readonly body: string },
): Promise<string | undefined> {
  using server = serving(answers, unknown);
  const { models = [] } = await modelsAt(server, 5000);
  // Before the server stops.
  return await chooseModel(server, models, 5000);
}

const list = (...ids: string[]) => ({ object: "list", data: ids.map((id) => ({ id, object: "model" })) });

/** Models, judged only by what `/v1/models` reports. */
async function listed(body: unknown): Promise<readonly ServerModel[]> {
  using server = serving({ "/v1/models": body });
  return (await modelsAt(server, 5000)).models ?? [];
}

describe("the name reveals the purpose of a model that cannot chat:", () => {
  const cases: Readonly<Record<string, readonly string[]>> = {
    embeddings: [
      "nomic-embed-text",
      "nomic-embed-text:latest",
      "text-embedding-3-small",
      "embedding-001",
      "models/gemini-embedding-001",
      "mxbai-embed-large",
      "snowflake-arctic-embed2",
      "all-minilm:33m",
      "BAAI/bge-m3",
      "Qwen/Qwen3-Embedding-8B",
      "jina-embeddings-v3",
      "intfloat/multilingual-e5-large",
      "sentence-transformers/all-mpnet-base-v2",
      "thenlper/gte-large",
      "voyage-3-lite",
      "microsoft/deberta-v3-base",
      "openai/clip-vit-base-patch32",
      "nvidia/nv-embedqa-e5-v5",
    ],
    reranking: ["bge-reranker-v2-m3", "rerank-english-v3.0", "Qwen/Qwen3-Reranker-0.6B", "cross-encoder/ms-marco"],
    images: [
      "dall-e-3",
      "gpt-image-1",
      "stable-diffusion-3.5-large",
      "black-forest-labs/FLUX.1-schnell",
      "flux1-dev",
      "sdxl-turbo",
      "imagen-4.0-generate-001",
      "Qwen/Qwen-Image",
      "gemini-2.5-flash-image-preview",
    ],
    video: ["sora-2", "veo-3.0-generate-001", "wan-video"],
    speech: [
      "whisper-1",
      "whisper-large-v3-turbo",
      "distil-whisper-large-v3-en",
      "tts-1-hd",
      "gpt-4o-mini-tts",
      "gpt-4o-transcribe",
      "gpt-4o-realtime-preview",
      "hexgrad/Kokoro-82M",
      "xtts_v2",
      "playai-tts",
      "nvidia/parakeet-tdt-0.6b",
    ],
    moderation: [
      "omni-moderation-latest",
      "llama-guard3:8b",
      "meta-llama/Llama-Guard-4-12B",
      "shieldgemma:9b",
      "granite3-guardian",
    ],
    OCR: ["mistral-ocr-latest", "deepseek-ocr", "allenai/olmOCR-7B"],
    "rating answers": ["Skywork-Reward-V2-Llama-3.1-8B"],
  };
  for (const [purpose, ids] of Object.entries(cases)) {
    test(purpose, async () => {
      const models = await listed(list(...ids));
      expect(models.map((model) => [model.id, model.purpose])).toEqual(ids.map((id) => [id, purpose]));
    });
  }
});

test("the names of chat models reveal no other purpose", async () => {
  const ids = [
    "gpt-6.1-terra",
    "gpt-4o",
    "gpt-oss:20b",
    "o4-mini",
    "llama3.1:8b",
    "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "qwen2.5-coder:7b",
    "Qwen/Qwen3-30B-A3B-Instruct-2507",
    "Qwen2.5-VL-7B-Instruct",
    "deepseek-r1:14b",
    "deepseek-chat",
    "mistral-small3.2",
    "ministral-8b-latest",
    "codestral-latest",
    "gemma3:27b",
    "models/gemini-2.5-pro",
    "claude-sonnet-4-5",
    "phi4-mini",
    "command-r-plus",
    "granite3.3:8b",
    "llava:13b",
    "grok-4",
    "kimi-k2",
    "zai-org/GLM-4.6",
    "hermes3",
    "nemotron-nano",
    "embedded-systems-assistant",
    "smollm2:360m",
    "/models/llama-2-7b-chat.Q4_K_M.gguf",
  ];
  expect((await listed(list(...ids))).filter(({ purpose, unlikely }) => purpose !== undefined || unlikely)).toEqual([]);
});

test("base and completion models come last, and are used if there is no other", async () => {
  const ids = ["qwen2.5-coder:7b-base", "gpt-3.5-turbo-instruct", "davinci-002", "o1-pro", "starcoder2:3b"];
  const models = await listed(list(...ids, "gpt-4o"));
  expect(rankModels(models).map(({ id }) => id)).toEqual(["gpt-4o", ...ids]);
  expect(rankModels(await listed(list("davinci-002")))[0]?.id).toBe("davinci-002");
});

describe("the server's report overrides the name:", () => {
  const cases: readonly (readonly [server: string, body: unknown, able: readonly string[]])[] = [
    [
      "Together, a bare list with types",
      [
        { id: "a/embedder", type: "embedding" },
        { id: "b/painter", type: "image" },
        { id: "c/judge", type: "rerank" },
        { id: "d/voice", type: "audio" },
        { id: "e/filter", type: "moderation" },
        { id: "f/image-captions", type: "chat" },
        { id: "g/coder", type: "code" },
      ],
      ["f/image-captions", "g/coder"],
    ],
    [
      "Mistral, capabilities",
      {
        data: [
          { id: "one", type: "base", capabilities: { completion_chat: false, completion_fim: false } },
          { id: "two", type: "base", capabilities: { completion_chat: true, vision: true } },
        ],
      },
      ["two"],
    ],
    [
      "OpenRouter, modalities",
      {
        data: [
          { id: "a/one", architecture: { input_modalities: ["text"], output_modalities: ["image"] } },
          { id: "a/two", architecture: { input_modalities: ["text", "image"], output_modalities: ["text"] } },
        ],
      },
      ["a/two"],
    ],
    [
      "Fireworks, supports_chat",
      {
        data: [
          { id: "one", supports_chat: false },
          { id: "two", supports_chat: true },
        ],
      },
      ["two"],
    ],
    [
      "Groq, one that is off",
      {
        data: [
          { id: "one", active: false },
          { id: "two", active: true },
        ],
      },
      ["two"],
    ],
    [
      "LiteLLM, a mode",
      {
        data: [
          { id: "one", mode: "embedding" },
          { id: "two", mode: "chat" },
        ],
      },
      ["two"],
    ],
    [
      "llama.cpp",
      {
        models: [{ name: "m.gguf", model: "m.gguf", type: "model", capabilities: ["completion"], size: "" }],
        object: "list",
        data: [
          { id: "m.gguf", object: "model", owned_by: "llamacpp", meta: { n_ctx_train: 32768, size: 4_400_000_000 } },
        ],
      },
      ["m.gguf"],
    ],
    ["vLLM", { data: [{ id: "/data/m", object: "model", owned_by: "vllm", max_model_len: 32768 }] }, ["/data/m"]],
    ["a name with terminal escapes", { data: [{ id: "evil\u001b[2J" }, { id: "fine" }] }, ["fine"]],
  ];
  for (const [server, body, able] of cases) {
    test(server, async () => {
      expect(rankModels(await listed(body)).map(({ id }) => id)).toEqual([...able]);
    });
  }

  test("LM Studio reports types, and a loaded model comes first", async () => {
    const v0 = {
      object: "list",
      data: [
        { id: "first-in-the-list", object: "model", type: "llm", arch: "llama", state: "not-loaded" },
        { id: "pictures", object: "model", type: "vlm", arch: "qwen2_vl", state: "loaded" },
        { id: "vectors", object: "model", type: "embeddings", arch: "nomic-bert", state: "loaded" },
        { id: "speech-writer", object: "model", type: "llm", arch: "llama", state: "not-loaded" },
      ],
    };
    const answers = {
      "/v1/models": list("vectors", "first-in-the-list", "pictures", "speech-writer"),
      "/api/v0/models": v0,
    };
    // It answers unknown paths with 200.
    const unexpected = { status: 200, body: '{"error":"Unexpected endpoint or method. (GET /api/tags)"}' };
    expect(await chosen(answers, unexpected)).toBe("pictures");
    using server = serving(answers, unexpected);
    const { models = [] } = await modelsAt(server, 5000);
    expect(models.find(({ id }) => id === "speech-writer")).toEqual({ id: "speech-writer", loaded: false });
  });

  test("with llama.cpp as a router a loaded model comes first, and the others can be chosen", async () => {
    const data = ["a", "b", "c"].map((id) => ({ id, status: { value: id === "b" ? "loaded" : "unloaded" } }));
    expect(await chosen({ "/v1/models": { data } })).toBe("b");
    expect(rankModels(await listed({ data })).map(({ id }) => id)).toEqual(["b", "a", "c"]);
  });

  describe("Ollama", () => {
    const GB = 1e9;
    const tag = (name: string, size: number, family = "llama") => ({ name, model: name, size, details: { family } });
    const ollama = (
      models: readonly ReturnType<typeof tag>[],
      running: readonly string[],
      able: (id: string) => unknown,
    ) => ({
      "/v1/models": list(...models.map(({ name }) => name)),
      "/api/tags": { models },
      "/api/ps": { models: running.map((name) => ({ name, model: name, size: 5 * GB })) },
      "/api/show": ({ model }: { model: string }) => able(model),
    });
    const completes = () => ({ capabilities: ["completion", "tools"] });

    test("Ollama's running model comes first", async () => {
      const models = [tag("qwen:7b", 4 * GB), tag("llama3:8b", 5 * GB), tag("phi:3b", 2 * GB)];
      expect(await chosen(ollama(models, ["phi:3b"], completes))).toBe("phi:3b");
    });

    test("Ollama's running model does not come first if it is an embedding model", async () => {
      const models = [tag("nomic-embed-text:latest", 0.3 * GB, "nomic-bert"), tag("phi:3b", 2 * GB)];
      expect(await chosen(ollama(models, ["nomic-embed-text:latest"], completes))).toBe("phi:3b");
    });

    test("a model without the completion capability is skipped, whatever its name", async () => {
      const models = [tag("house/alpha", 5 * GB), tag("house/beta", 4 * GB)];
      const able = (id: string) => ({ capabilities: id === "house/alpha" ? ["embedding"] : ["completion"] });
      expect(await chosen(ollama(models, [], able))).toBe("house/beta");
      expect(await chosen(ollama(models, [], () => ({ capabilities: ["embedding"] })))).toBeUndefined();
    });

    test("a model with an embedding architecture is skipped, whatever its name", async () => {
      const models = [tag("house/vectors", 5 * GB, "bert"), tag("tiny", 1 * GB)];
      expect(await chosen(ollama(models, [], completes))).toBe("tiny");
    });

    test("an older Ollama, which reports no capabilities, is judged by the names of its models", async () => {
      const models = [tag("nomic-embed-text", 0.3 * GB), tag("llama3:8b", 5 * GB)];
      expect(await chosen(ollama(models, [], () => ({ modelfile: "…" })))).toBe("llama3:8b");
      expect(await chosen({ "/v1/models": list("nomic-embed-text", "llama3:8b") })).toBe("llama3:8b");
    });
  });
});

test("among Ollama's models that are not loaded, the largest that fits into memory comes first, then the list's order", () => {
  const GB = 1e9;
  const models = [
    { id: "tiny", size: 0.5 * GB },
    { id: "good", size: 9 * GB },
    { id: "huge", size: 42 * GB },
    { id: "larger", size: 70 * GB },
    { id: "as good", size: 9 * GB },
  ];
  const order = (memory: number) => rankModels(models, memory).map(({ id }) => id);
  expect(order(16 * GB)).toEqual(["good", "as good", "tiny", "huge", "larger"]);
  expect(order(256 * GB)).toEqual(["larger", "huge", "good", "as good", "tiny"]);
  expect(rankModels([{ id: "b" }, { id: "a" }]).map(({ id }) => id)).toEqual(["b", "a"]);
});

test("the model used before is chosen if it is available and can chat, whatever is loaded", async () => {
  using server = serving({ "/v1/models": list("a", "b", "bge-m3"), "/api/ps": { models: [{ name: "a" }] } });
  const { models = [] } = await modelsAt(server, 5000);
  const choose = async (usedBefore: string) => await chooseModel(server, models, 5000, { usedBefore });
  expect(await choose("b")).toBe("b");
  expect(await choose("gone")).toBe("a");
  expect(await choose("bge-m3")).toBe("a");
});

test("a server on another machine is asked for its list only", async () => {
  // llmfs does not treat the machine's own host name as loopback.
  using server = serving({ "/v1/models": list("m") });
  const elsewhere = { baseUrl: server.baseUrl.replace("127.0.0.1", "127.0.0.1.nip.invalid") };
  expect(await chooseModel(elsewhere, [{ id: "m" }], 5000)).toBe("m");
  expect(server.paths).toEqual([]);
});

test("an endless list of models is rejected without reading it all", async () => {
  let sent = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () =>
      new Response(
        new ReadableStream({
          async pull(controller) {
            const piece = Buffer.alloc(1024 * 1024, " ");
            sent += piece.length;
            controller.enqueue(piece);
            await Bun.sleep(0);
          },
        }),
      ),
  });
  try {
    const offer = await modelsAt({ baseUrl: `http://127.0.0.1:${server.port}/v1` }, 20_000);
    expect(offer).toEqual({ instead: "it does not list its models" });
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  } finally {
    server.stop(true);
  }
});

test("a hanging API of Ollama or LM Studio does not delay the list", async () => {
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => (url.endsWith("/v1/models") ? Response.json(list("m")) : new Promise<Response>(() => {})),
  });
  const { models } = await modelsAt({ baseUrl: `http://127.0.0.1:${server.port}/v1` }, 60_000);
  expect(models).toEqual([{ id: "m" }]);
});
