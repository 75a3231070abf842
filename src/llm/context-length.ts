/**
 * How many tokens a local server keeps of a request and its answer.
 *
 * Local servers often have a much shorter context than the model allows, to save memory, and some cut longer requests
 * without an error. Each kind of server reports its context in its own place.
 */
import { endpointOf } from "./connection/address.ts";
import { isLoopback } from "./connection/http.ts";
import { getProperty, toNumber, toText } from "./failure.ts";
import { askServer, fetchJson, root } from "./models.ts";
import type { Provider } from "./provider.ts";

/** Timeout of questions that servers answer from memory. */
const OWN_API_MS = 1000;

/** Timeout for loading a model, which the first request would do otherwise. Only then does Ollama report its context. */
const LOADING_MS = 120_000;

/** Ollama's context, if neither the model nor OLLAMA_CONTEXT_LENGTH says otherwise. */
const OLLAMA_DEFAULT = 4096;

/** A shorter context is a mistake in the answer: no model works with it. */
const SHORTEST = 512;

/**
 * `recorded` is the context that was found before: used if the server only reports it after loading the model.
 * Undefined if the server is not on this machine, or does not report it. Never rejects.
 */
export async function findContextLength(
  provider: Provider,
  { recorded, signal }: { readonly recorded?: number | undefined; readonly signal?: AbortSignal } = {},
): Promise<number | undefined> {
  const { model, baseUrl } = provider;
  if (!isLoopback(new URL(baseUrl).hostname)) return undefined;
  const headers = Object.entries(provider.headers ?? {}).flatMap(([name, value]) =>
    value === null ? [] : [[name, value]],
  );
  const server = { ...provider, headers: Object.fromEntries(headers) };
  const get = (path: string, body?: unknown, timeoutMs = OWN_API_MS) => {
    const deadline = AbortSignal.timeout(timeoutMs);
    const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    return fetchJson(() => askServer(server, path, either, body));
  };
  const own = (path: string) => `${root(server)}${path}`;
  const [models, shown, props, lmStudio] = await Promise.all([
    get(endpointOf(baseUrl, "/models")),
    get(own("/api/show"), { model }),
    get(own("/props")),
    get(own("/api/v0/models")),
  ]);
  const settings = getProperty(props, "default_generation_settings");
  const listed = entryOf(Array.isArray(models) ? models : getProperty(models, "data"), model);
  return (
    lengthIn(getProperty(settings, "n_ctx")) ??
    lengthIn(getProperty(entryOf(getProperty(lmStudio, "data"), model), "loaded_context_length")) ??
    (isShown(shown)
      ? await lengthAtOllama(model, shown, recorded, (path, body, ms) => get(own(path), body, ms))
      : undefined) ??
    lengthOfEntry(listed)
  );
}

async function lengthAtOllama(
  model: string,
  shown: unknown,
  recorded: number | undefined,
  get: (path: string, body?: unknown, timeoutMs?: number) => Promise<unknown>,
): Promise<number> {
  const readRunningLength = async () =>
    lengthIn(getProperty(entryOf(getProperty(await get("/api/ps"), "models"), model), "context_length"));
  const set = /^\s*num_ctx\s+(\d+)\s*$/m.exec(toText(getProperty(shown, "parameters")) ?? "")?.[1];
  const known = lengthIn(set === undefined ? undefined : Number(set)) ?? (await readRunningLength()) ?? recorded;
  if (known !== undefined) return known;
  // Without a prompt, this only loads the model.
  await get("/api/generate", { model }, LOADING_MS);
  return (await readRunningLength()) ?? Math.min(OLLAMA_DEFAULT, longestOf(shown) ?? OLLAMA_DEFAULT);
}

function isShown(shown: unknown): boolean {
  return getProperty(shown, "model_info") !== undefined || getProperty(shown, "parameters") !== undefined;
}

/** What the model was trained for: "llama.context_length". */
function longestOf(shown: unknown): number | undefined {
  const info = getProperty(shown, "model_info");
  if (typeof info !== "object" || info === null) return undefined;
  const found = Object.entries(info).find(([name]) => name.endsWith(".context_length"));
  return lengthIn(found?.[1]);
}

/** vLLM and SGLang, llama.cpp, LM Studio, and many servers that report what their model allows. */
function lengthOfEntry(entry: unknown): number | undefined {
  const meta = getProperty(entry, "meta");
  const values = [
    getProperty(entry, "max_model_len"),
    getProperty(meta, "n_ctx"),
    getProperty(entry, "loaded_context_length"),
    getProperty(entry, "context_length"),
    getProperty(entry, "context_window"),
    getProperty(entry, "max_context_length"),
    getProperty(meta, "n_ctx_train"),
  ];
  return values.map(lengthIn).find((length) => length !== undefined);
}

/** The model of that name. Ollama adds ":latest", llama.cpp names a file, and answers for any name if it has one model. */
function entryOf(list: unknown, model: string): unknown {
  if (!Array.isArray(list)) return undefined;
  const nameOf = (entry: unknown) => toText(getProperty(entry, "id")) ?? toText(getProperty(entry, "name"));
  const named =
    list.find((entry) => nameOf(entry) === model) ?? list.find((entry) => nameOf(entry) === `${model}:latest`);
  return named ?? (list.length === 1 ? list[0] : undefined);
}

function lengthIn(value: unknown): number | undefined {
  const length = toNumber(value);
  return length !== undefined && Number.isSafeInteger(length) && length >= SHORTEST ? length : undefined;
}
