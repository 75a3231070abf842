/**
 * Which server and which model answer: what was said, most explicit first, else a local server that is running.
 *
 * Settings come in as data, layer by layer (flags, environment, config file); the first layer that has a field wins,
 * field by field: a base URL from a flag goes with a key from the environment, because both are the same user's word.
 */
import { direct, isLoopback } from "./exchange.ts";
import { property, text } from "./failure.ts";
import { LlmError } from "./llm.ts";
import { DEFAULT_MODEL, OPENAI_BASE_URL } from "./openai.ts";

export interface ProviderSettings {
  readonly baseUrl?: string;
  readonly apiKey?: string;
  readonly model?: string;
}

export interface ProviderLayer extends ProviderSettings {
  /** For messages: "flags", "environment", "/etc/llmfs.json". */
  readonly from: string;
}

export interface Provider {
  readonly baseUrl: string;
  /** Absent: none is sent. */
  readonly apiKey?: string;
  readonly model: string;
  /** For people: "environment", "Ollama, found at 127.0.0.1:11434". */
  readonly source: string;
}

export interface LocalServer {
  readonly name: string;
  readonly baseUrl: string;
}

/** Where people's own machines listen, in the order of preference when several answer. */
export const LOCAL_SERVERS: readonly LocalServer[] = [
  { name: "Ollama", baseUrl: "http://127.0.0.1:11434/v1" },
  { name: "LM Studio", baseUrl: "http://127.0.0.1:1234/v1" },
  { name: "llama.cpp", baseUrl: "http://127.0.0.1:8080/v1" },
];

export interface ProviderOptions {
  readonly localServers?: readonly LocalServer[];
  /** How long a local server may take to show that it is there. */
  readonly probeMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Chooses a provider. Opens no connection when a key or base URL is set and the model is known.
 * Rejects with LlmError "unconfigured" (nothing to ask, or no way to tell which model), in words that say every cure.
 */
export async function chooseProvider(
  layers: readonly ProviderLayer[],
  options: ProviderOptions = {},
): Promise<Provider> {
  const url = first(layers, "baseUrl");
  const key = first(layers, "apiKey");
  const model = first(layers, "model");
  const settings = { ...(key && { apiKey: checkedKey(key.value, key.from) }) };
  if (url !== undefined) {
    const baseUrl = checkedUrl(url.value, url.from);
    const named = model?.value ?? (await modelAt(baseUrl, key?.value, options));
    return { baseUrl, ...settings, model: named, source: url.from };
  }
  if (key !== undefined) {
    return { baseUrl: OPENAI_BASE_URL, ...settings, model: model?.value ?? DEFAULT_MODEL, source: key.from };
  }
  return localProvider(model?.value, options);
}

function first(
  layers: readonly ProviderLayer[],
  field: keyof ProviderSettings,
): { readonly value: string; readonly from: string } | undefined {
  for (const layer of layers) {
    const value = layer[field];
    if (value !== undefined && value !== "") return { value, from: layer.from };
  }
  return undefined;
}

function checkedUrl(value: string, from: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    // The value is not repeated: what is no URL may be a key in the wrong place.
    throw new LlmError(
      "unconfigured",
      `the base URL (from ${from}) is not a URL that begins with http:// or https://; an example: http://127.0.0.1:11434/v1`,
    );
  }
  return value.replace(/\/+$/, "");
}

/** A key becomes a header, which cannot hold everything. */
function checkedKey(value: string, from: string): string {
  if (/^[ -~]*$/.test(value)) return value;
  throw new LlmError(
    "unconfigured",
    `the key (from ${from}) holds a character that no key has, a line break perhaps; set OPENAI_API_KEY to the key alone`,
  );
}

/** The model of a server somebody named without naming a model. */
async function modelAt(baseUrl: string, apiKey: string | undefined, options: ProviderOptions): Promise<string> {
  const { host, hostname } = new URL(baseUrl);
  if (host === new URL(OPENAI_BASE_URL).host) return DEFAULT_MODEL;
  const { models = [], instead = SAYS_NOT } = await modelsOf(baseUrl, apiKey, 10_000, options.signal);
  if (models.includes(DEFAULT_MODEL)) return DEFAULT_MODEL;
  const [only, ...others] = models;
  if (only !== undefined && (others.length === 0 || isLoopback(hostname))) return only;
  const offers = models.length > 0 ? `it offers ${shortList(models)}` : instead;
  throw new LlmError(
    "unconfigured",
    `no model is named for ${host}; ${offers}; choose one with --model or LLMFS_MODEL`,
  );
}

async function localProvider(model: string | undefined, options: ProviderOptions): Promise<Provider> {
  const servers = options.localServers ?? LOCAL_SERVERS;
  const found = await Promise.all(
    servers.map(async (server) => {
      const { models } = await modelsOf(server.baseUrl, undefined, options.probeMs ?? 500, options.signal);
      return { ...server, host: new URL(server.baseUrl).host, models };
    }),
  );
  for (const { name, host, baseUrl, models } of found) {
    const chosen = model ?? models?.[0];
    if (models?.length && chosen !== undefined) {
      return { baseUrl, model: chosen, source: `${name}, found at ${host}` };
    }
  }
  throw new LlmError("unconfigured", unconfigured(found));
}

function unconfigured(tried: readonly (LocalServer & { readonly host: string; readonly models: unknown })[]): string {
  const silent = tried.filter(({ models }) => models === undefined).map(({ name, host }) => `${name} (${host})`);
  const empty = tried.filter(({ models }) => models !== undefined).map(({ name, host }) => `${name} (${host})`);
  return [
    "no language model is configured. Any one of these is enough:",
    "  export OPENAI_API_KEY=…           OpenAI, or with OPENAI_BASE_URL any service like it",
    "  --base-url URL [--model NAME]     any OpenAI-compatible server; local ones need no key",
    "  --mode replay --recordings DIR    answers recorded earlier; no model is asked",
    ...(silent.length > 0 ? [`  start a local server              none answers now: ${silent.join(", ")}`] : []),
    ...(empty.length > 0
      ? [`  load a model into                 ${empty.join(", ")}, which answers but has none`]
      : []),
  ].join("\n");
}

interface Offer {
  readonly models?: readonly string[];
  readonly instead?: string;
}

const SAYS_NOT = "it does not say which models it has";

/** The names of a server's models; if nothing that looks like such a server answers in time, what came instead. */
async function modelsOf(
  baseUrl: string,
  apiKey: string | undefined,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Offer> {
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(`${baseUrl}/models`, {
      ...direct(baseUrl),
      headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` },
      signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal]),
    });
    if (!response.ok) return { instead: `it answered ${response.status} when it was asked for its models` };
    const data = property(await response.json(), "data");
    if (data === null) return { models: [] };
    if (!Array.isArray(data)) return { instead: SAYS_NOT };
    return { models: data.map((model: unknown) => text(property(model, "id"))).filter((id) => id !== undefined) };
  } catch (error) {
    if (signal?.aborted)
      throw new LlmError("cancelled", `looking for a model at ${new URL(baseUrl).host} was cancelled`);
    if (deadline.aborted) return { instead: `it did not say within ${timeoutMs / 1000} s which models it has` };
    if (error instanceof SyntaxError) return { instead: SAYS_NOT };
    const code = text(property(error, "code"));
    if (error instanceof Error) return { instead: `it cannot be asked for its models${code ? ` (${code})` : ""}` };
    throw error;
  }
}

function shortList(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(", ");
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}
