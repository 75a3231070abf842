/**
 * docs/providers.md, with the real program: the lines of each provider, sent to a loopback server that has the provider's
 * path prefix, requires its headers, lists models in its shape, and has its quirks.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { readDocument } from "../docs/markdown.ts";
import { BINARY, Sandbox } from "../support/program.ts";

const sandbox = new Sandbox();
afterAll(() => sandbox[Symbol.dispose]());

const PAGE = readFileSync(join(import.meta.dir, "../../docs/providers.md"), "utf8");

/** A server that behaves as a provider documents it. */
interface Imitation {
  /** The heading in the page. */
  readonly name: string;
  /** The beginning of the address in the page. */
  readonly origin: string;
  /** What the address continues with. */
  readonly prefix: string;
  /** The header that must have the key; absent if none is needed. */
  readonly key?: readonly [header: string, value: string];
  readonly query?: string;
  /** What it lists, by path after the prefix, or from the root with a leading slash. */
  readonly lists: Readonly<Record<string, unknown>>;
  /** The status of a list without the key, or in any case. */
  readonly listStatus?: number;
  /** The model that must be asked for. Undefined: the one that the lines name. */
  readonly model: string;
  /** Models that the program must have offered instead. */
  readonly others?: readonly string[];
  /** Parameters that the server rejects with 400. */
  readonly rejects?: readonly string[];
  readonly noStream?: true;
}

const list = (...ids: readonly string[]) => ({ object: "list", data: ids.map((id) => ({ id, object: "model" })) });
const MODALITIES = (output: readonly string[]) => ({ input_modalities: ["text"], output_modalities: output });

const IMITATIONS: readonly Imitation[] = [
  {
    name: "OpenAI",
    origin: "https://api.openai.com",
    prefix: "/v1",
    key: ["authorization", "Bearer KEY"],
    lists: {
      models: list("text-embedding-3-small", "whisper-1", "gpt-6.1-terra", "gpt-image-1", "omni-moderation-latest"),
    },
    model: "gpt-6.1-terra",
  },
  {
    name: "Azure, v1",
    origin: "https://RESOURCE.openai.azure.com",
    prefix: "/openai/v1",
    key: ["authorization", "Bearer KEY"],
    lists: { models: list("gpt-4o", "text-embedding-3-large") },
    model: "DEPLOYMENT",
  },
  {
    name: "Azure, classic",
    origin: "https://RESOURCE.openai.azure.com",
    prefix: "/openai/deployments/DEPLOYMENT",
    query: "?api-version=2024-10-21",
    key: ["api-key", "KEY"],
    lists: {},
    model: "DEPLOYMENT",
  },
  {
    name: "OpenRouter",
    origin: "https://openrouter.ai",
    prefix: "/api/v1",
    key: ["authorization", "Bearer KEY"],
    lists: {
      models: {
        data: [
          { id: "google/gemini-3-image", architecture: MODALITIES(["image"]) },
          { id: "qwen/qwen3-coder", architecture: MODALITIES(["text"]), supported_parameters: ["temperature"] },
        ],
      },
    },
    model: "qwen/qwen3-coder",
  },
  {
    name: "vLLM",
    origin: "http://127.0.0.1:8000",
    prefix: "/v1",
    key: ["authorization", "Bearer KEY"],
    lists: {
      models: {
        object: "list",
        data: [{ id: "Qwen/Qwen3-8B", object: "model", owned_by: "vllm", root: "Qwen/Qwen3-8B", max_model_len: 32768 }],
      },
    },
    model: "Qwen/Qwen3-8B",
    rejects: ["max_completion_tokens"],
  },
  {
    name: "Ollama",
    origin: "http://127.0.0.1:11434",
    prefix: "/v1",
    lists: {
      models: list("nomic-embed-text:latest", "llama3.2:3b", "qwen3:8b"),
      "/api/tags": {
        models: [
          { name: "nomic-embed-text:latest", size: 274e6, details: { family: "nomic-bert" } },
          { name: "llama3.2:3b", size: 2e9, details: { family: "llama" } },
          { name: "qwen3:8b", size: 5e9, details: { family: "qwen3" } },
        ],
      },
      "/api/ps": { models: [{ name: "llama3.2:3b" }] },
      "/api/show": { capabilities: ["completion", "tools"], model_info: { "llama.context_length": 131072 } },
    },
    model: "llama3.2:3b",
    others: ["qwen3:8b"],
  },
  {
    name: "LM Studio",
    origin: "http://127.0.0.1:1234",
    prefix: "/v1",
    lists: {
      models: list("text-embedding-nomic-embed-text-v1.5", "qwen2.5-coder-7b-instruct", "gemma-3-4b"),
      "/api/v0/models": {
        object: "list",
        data: [
          { id: "text-embedding-nomic-embed-text-v1.5", type: "embeddings", state: "loaded" },
          { id: "qwen2.5-coder-7b-instruct", type: "llm", state: "not-loaded", max_context_length: 32768 },
          { id: "gemma-3-4b", type: "vlm", state: "loaded", loaded_context_length: 8192, max_context_length: 131072 },
        ],
      },
    },
    model: "gemma-3-4b",
    others: ["qwen2.5-coder-7b-instruct"],
  },
  {
    name: "llama.cpp",
    origin: "http://127.0.0.1:8080",
    prefix: "/v1",
    lists: {
      models: {
        object: "list",
        models: [{ name: "model.gguf", capabilities: ["completion"] }],
        data: [{ id: "model.gguf", object: "model", owned_by: "llamacpp", meta: { n_ctx_train: 32768 } }],
      },
      "/props": { default_generation_settings: { n_ctx: 8192 }, total_slots: 4 },
    },
    model: "model.gguf",
  },
  {
    name: "Anthropic",
    origin: "https://api.anthropic.com",
    prefix: "/v1",
    key: ["authorization", "Bearer KEY"],
    lists: {},
    listStatus: 401,
    model: "claude-sonnet-4-5",
  },
  {
    name: "Gemini",
    origin: "https://generativelanguage.googleapis.com",
    prefix: "/v1beta/openai",
    key: ["authorization", "Bearer KEY"],
    lists: {
      models: list(
        "models/text-embedding-004",
        "models/imagen-4.0-generate-001",
        "models/veo-3",
        "models/gemini-2.5-flash",
      ),
    },
    model: "gemini-2.5-flash",
    rejects: ["seed"],
  },
  {
    name: "A gateway with headers of its own",
    origin: "https://gateway.example",
    prefix: "/llm/v1",
    key: ["x-gateway-key", "KEY"],
    lists: {
      models: {
        data: [
          { id: "bge-m3", mode: "embedding" },
          { id: "house-model", mode: "chat" },
        ],
      },
    },
    model: "house-model",
  },
];

interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  // biome-ignore lint/suspicious/noExplicitAny: tests access any member
  readonly body: any;
}

async function imitate(one: Imitation) {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const { method = "", url = "", headers } = request;
    const body = text === "" ? undefined : JSON.parse(text);
    received.push({ method, url, headers, body });
    const json = (status: number, value: unknown) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(value));
    };
    const error = (status: number, message: string) =>
      json(status, { error: { message, type: "invalid_request_error" } });
    const inside = url.startsWith(`${one.prefix}/`) ? url.slice(one.prefix.length + 1) : undefined;
    if (inside !== undefined && one.key !== undefined && headers[one.key[0]] !== one.key[1]) {
      return error(401, "the key is missing or wrong");
    }
    const listed = Object.entries(one.lists).find(([path]) => (path.startsWith("/") ? path === url : path === inside));
    if (listed !== undefined) return json(200, listed[1]);
    if (inside === "models" && one.listStatus !== undefined) return error(one.listStatus, "use x-api-key");
    if (inside !== `chat/completions${one.query ?? ""}`) return error(404, `no such path: ${url}`);
    const refused = one.rejects?.find((name) => name in body);
    if (refused !== undefined)
      return error(400, `Unsupported parameter: '${refused}' is not supported with this model.`);
    const choice = { index: 0, finish_reason: "stop", delta: { role: "assistant", content: "hello from the model" } };
    const usage = { prompt_tokens: 10, completion_tokens: 4, total_tokens: 14 };
    response.writeHead(200, { "content-type": "text/event-stream" });
    const chunk = (value: object) =>
      response.write(
        `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", model: body.model, ...value })}\n\n`,
      );
    chunk({ choices: [choice] });
    chunk({ choices: [], usage });
    response.end("data: [DONE]\n\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    origin: `http://127.0.0.1:${address.port}`,
    received,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The shell lines below a heading of the page. */
function linesOf(name: string): string {
  const section = PAGE.split(/^## /m).find((part) => part.startsWith(`${name}\n`));
  const blocks = [...(section ?? "").matchAll(/```sh\n([\s\S]*?)```/g)].map(([, lines = ""]) => lines);
  if (blocks.length === 0) throw new Error(`docs/providers.md has no lines for ${name}`);
  return blocks.join("");
}

const TREE = JSON.stringify({
  llmfs: 1,
  entries: [{ path: "/a.txt", type: "file", mode: "0644", state: "pending" }],
});

describe("the lines of docs/providers.md", () => {
  test("every provider of the page is tested", () => {
    const headings = [...PAGE.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
    expect(headings.filter((heading) => heading !== "Which model")).toEqual(IMITATIONS.map(({ name }) => name));
    const lines = IMITATIONS.map(({ name }) => linesOf(name)).join("");
    expect(lines.trimEnd().split("\n").length).toBe(readDocument("docs/providers.md").items.length);
  });

  test.each(IMITATIONS.map((one) => [one.name, one] as const))(
    "%s",
    async (name, one) => {
      await using server = await imitate(one);
      const cwd = sandbox.directory(name.replace(/\W+/g, "-"));
      await Bun.write(join(cwd, "tree.json"), TREE);
      const lines = linesOf(name)
        .replaceAll(one.origin, server.origin)
        .replaceAll("…", "KEY")
        // OpenAI needs no address.
        .replace(/^/, one.name === "OpenAI" ? `export OPENAI_BASE_URL=${server.origin}/v1\n` : "");
      const script = `set -e\nllmfs() { "${BINARY[0]}" "$@"; }\n${lines}`;
      const child = Bun.spawn({
        cmd: ["/bin/sh", "-c", script],
        cwd,
        env: { ...sandbox.environment(), XDG_CACHE_HOME: join(cwd, "cache") },
        stdio: ["ignore", "pipe", "pipe"],
      });
      const [stdout, stderr] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      expect([stdout, child.exitCode, stderr]).toEqual(["hello from the model\n", 0, expect.any(String)]);
      const asked = server.received.filter(({ url }) => url.includes("/chat/completions"));
      expect(asked.at(-1)?.body.model).toBe(one.model);
      for (const { headers } of server.received) {
        // The key goes into one header only.
        const keys = Object.entries(headers).filter(([, value]) => String(value).includes("KEY"));
        expect(keys.map(([header]) => header).filter((header) => header !== one.key?.[0])).toEqual([]);
      }
      for (const other of one.others ?? []) expect(stderr).toContain(other);
      if (one.others !== undefined) expect(stderr).toContain(`no model was given; using ${one.model} at `);
    },
    30_000,
  );

  test("an Azure deployment without a version is an error that says what to add", async () => {
    const cwd = sandbox.directory("versionless");
    await Bun.write(join(cwd, "tree.json"), TREE);
    const env = { OPENAI_BASE_URL: "http://127.0.0.1:9/openai/deployments/D", OPENAI_API_KEY: "k" };
    const { status, stderr } = await sandbox.llmfs(["cat", "tree.json/a.txt"], { program: BINARY, cwd, env });
    expect(status).not.toBe(0);
    expect(stderr).toContain("add ?api-version=2024-10-21 to it");
  });
});
