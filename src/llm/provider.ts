/**
 * Which server and which model to use: the most explicit setting first, otherwise a local server that is running.
 *
 * Settings come in as data, layer by layer (flags, environment, config file). The first layer that has a field wins,
 * field by field: a base URL from a flag goes with a key from the environment, because both come from the same user.
 */
import { deploymentIn, endpointOf } from "./connection/address.ts";
import { isLoopback } from "./connection/http.ts";
import { LlmError } from "./llm.ts";
import { chooseModel, modelsAt, type Offer, rankModels, type ServerAddress, type ServerModel } from "./models.ts";
import { DEFAULT_MODEL, OPENAI_BASE_URL } from "./openai-service.ts";

export interface ProviderSettings {
  readonly baseUrl?: string;
  readonly apiKey?: string;
  readonly model?: string;
  /** Sent with every request, for gateways that need them. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ProviderLayer extends ProviderSettings {
  /** For messages: "flags", "environment", "/etc/llmfs.json". */
  readonly from: string;
  /** Why this layer cannot be used, if it refers to an environment variable that is not set. */
  readonly problem?: string;
}

export interface Provider {
  readonly baseUrl: string;
  /** Absent: no key is sent. */
  readonly apiKey?: string;
  readonly model: string;
  /** Set if nobody named the model and it was chosen from the server's list: the other models that could be used. */
  readonly others?: readonly string[];
  /** As in ProviderSettings; null for a header that must not be sent even if the environment contains it. */
  readonly headers?: Readonly<Record<string, string | null>>;
  /** For people: "environment", "Ollama, found at 127.0.0.1:11434". */
  readonly source: string;
}

export interface LocalServer {
  readonly name: string;
  readonly baseUrl: string;
}

/** The default addresses of local servers, in the order of preference if several answer. */
export const LOCAL_SERVERS: readonly LocalServer[] = [
  { name: "Ollama", baseUrl: "http://127.0.0.1:11434/v1" },
  { name: "LM Studio", baseUrl: "http://127.0.0.1:1234/v1" },
  { name: "llama.cpp", baseUrl: "http://127.0.0.1:8080/v1" },
];

export interface ProviderOptions {
  readonly localServers?: readonly LocalServer[];
  /** How long a local server may take to answer the probe. */
  readonly probeMs?: number;
  /** The model whose answers are recorded; used if nobody names one and it is available. */
  readonly usedBefore?: string;
  readonly signal?: AbortSignal;
}

/**
 * Chooses a provider. Opens no connection if a key or base URL is set and the model is known. Rejects with LlmError
 * "unconfigured" (no server, or no way to choose a model), "no-connection" or "refused-key". The message lists every way to fix it.
 */
export async function chooseProvider(
  layers: readonly ProviderLayer[],
  options: ProviderOptions = {},
): Promise<Provider> {
  const problem = layers.find((layer) => layer.problem !== undefined)?.problem;
  if (problem !== undefined) throw new LlmError("unconfigured", problem);
  const url = findFirst(layers, "baseUrl");
  const key = findFirst(layers, "apiKey");
  const model = findFirst(layers, "model");
  const headers = mergeHeaders(layers);
  // A header that authenticates replaces the key, which may be for another server.
  const replaced = Object.keys(headers ?? {}).some((name) => /^(authorization|api-key)$/i.test(name));
  const settings = {
    ...(key && !replaced && { apiKey: checkKey(key.value, key.from) }),
    ...(headers && { headers }),
  };
  if (url !== undefined) {
    const baseUrl = checkUrl(url.value, url.from);
    const deployment = deploymentIn(baseUrl);
    if (deployment !== undefined) {
      requireVersion(baseUrl, url.from);
      return { baseUrl, ...settings, model: model?.value ?? deployment, source: url.from };
    }
    const chosen = model ? { model: model.value } : await modelAt({ baseUrl, ...settings }, key?.from, options);
    return { baseUrl, ...settings, ...chosen, source: url.from };
  }
  if (key !== undefined) {
    return { baseUrl: OPENAI_BASE_URL, ...settings, model: model?.value ?? DEFAULT_MODEL, source: key.from };
  }
  return findLocalProvider(model?.value, headers, options);
}

/** The headers of all layers. If several layers set the same header, the first layer wins. */
function mergeHeaders(layers: readonly ProviderLayer[]): Readonly<Record<string, string>> | undefined {
  const merged = new Map<string, readonly [name: string, value: string]>();
  for (const header of layers.flatMap(({ headers = {} }) => Object.entries(headers))) {
    const name = header[0].toLowerCase();
    if (!merged.has(name)) merged.set(name, header);
  }
  return merged.size === 0 ? undefined : Object.fromEntries(merged.values());
}

function findFirst(
  layers: readonly ProviderLayer[],
  field: "baseUrl" | "apiKey" | "model",
): { readonly value: string; readonly from: string } | undefined {
  for (const layer of layers) {
    const value = layer[field];
    if (value !== undefined && value !== "") return { value, from: layer.from };
  }
  return undefined;
}

function checkUrl(value: string, from: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    // The value is not repeated: an invalid URL may be a key in the wrong place.
    throw new LlmError(
      "unconfigured",
      `the base URL (from ${from}) is not an http:// or https:// URL; write it like http://127.0.0.1:11434/v1`,
    );
  }
  return endpointOf(value, "");
}

/** Azure answers 404 to everything without a version. */
function requireVersion(baseUrl: string, from: string): void {
  if (new URL(baseUrl).searchParams.has("api-version")) return;
  throw new LlmError(
    "unconfigured",
    `the base URL (from ${from}) is of an Azure deployment, which needs a version: add ?api-version=2024-10-21 to it`,
  );
}

/** A key becomes a header, which cannot contain every character. */
function checkKey(value: string, from: string): string {
  if (/^[ -~]*$/.test(value)) return value;
  throw new LlmError(
    "unconfigured",
    `the key (from ${from}) contains an invalid character, perhaps a line break; set OPENAI_API_KEY to the key only`,
  );
}

/** The model of a server that was configured without a model. */
async function modelAt(server: ServerAddress, keyFrom: string | undefined, options: ProviderOptions) {
  const { host, hostname } = new URL(server.baseUrl);
  if (host === new URL(OPENAI_BASE_URL).host) return { model: DEFAULT_MODEL };
  const { models, instead, refused, unreached } = await modelsAt(server, MODELS_MS, options.signal);
  if (unreached !== undefined) throw unreached.toLlmError(1, "");
  if (refused !== undefined) throw createKeyRefusal(host, refused, keyFrom);
  if (models?.some(({ id }) => id === DEFAULT_MODEL)) return { model: DEFAULT_MODEL };
  const able = rankModels(models ?? []);
  if (able.length === 1 || isLoopback(hostname)) {
    const model = await chooseModel(server, models ?? [], MODELS_MS, options);
    if (model !== undefined) return { model, others: namesBut(model, able) };
  }
  const cure = "choose one with --model or LLMFS_MODEL";
  if (models !== undefined && models.length > 0 && (able.length === 0 || isLoopback(hostname))) {
    const none = `it seems that none of the models at ${host} can chat: ${listPurposes(models)}`;
    throw new LlmError("unconfigured", `${none}; load one that can, or name one anyway with --model or LLMFS_MODEL`);
  }
  const offers = able.length > 0 ? `it offers ${shortList(able.map(({ id }) => id))}` : (instead ?? SAYS_NOT);
  throw new LlmError("unconfigured", `no model is set for ${host}; ${offers}; ${cure}`);
}

const MODELS_MS = 10_000;

const SAYS_NOT = "it does not list its models";

function createKeyRefusal(host: string, status: number, keyFrom: string | undefined): LlmError {
  const cure =
    keyFrom === undefined
      ? "it requires a key; set OPENAI_API_KEY to one that it accepts"
      : `it rejects the key (from ${keyFrom}); set OPENAI_API_KEY to one that it accepts`;
  const otherwise = "if the key only lacks access to the list of models, name a model with --model or LLMFS_MODEL";
  return new LlmError("refused-key", `${host} answered ${status} to the request for its models; ${cure}; ${otherwise}`);
}

async function findLocalProvider(
  model: string | undefined,
  headers: ProviderSettings["headers"],
  options: ProviderOptions,
): Promise<Provider> {
  const servers = options.localServers ?? LOCAL_SERVERS;
  const probeMs = options.probeMs ?? 500;
  const found: ProbedServer[] = await Promise.all(
    servers.map(async (server) => {
      const offer = await modelsAt({ baseUrl: server.baseUrl }, probeMs, options.signal);
      return { ...server, host: new URL(server.baseUrl).host, offer };
    }),
  );
  // The headers are for the server that OPENAI_BASE_URL or a key belongs to, not for a local server.
  const unsent = Object.fromEntries(Object.keys(headers ?? {}).map((name) => [name, null]));
  const more = headers === undefined ? {} : { headers: unsent };
  const offering = found.filter(({ offer }) => (offer.models ?? []).length > 0);
  const offersModel = ({ offer }: ProbedServer) =>
    offer.models?.some(({ id }) => id === model || id === `${model}:latest`);
  for (const server of model === undefined
    ? offering
    : offering.toSorted((a, b) => Number(offersModel(b)) - Number(offersModel(a)))) {
    const { name, host, baseUrl, offer } = server;
    const models = offer.models ?? [];
    const chosen = model ?? (await chooseModel({ baseUrl }, models, MODELS_MS, options));
    if (chosen === undefined) continue;
    const others = model === undefined ? { others: namesBut(chosen, rankModels(models)) } : {};
    return { baseUrl, model: chosen, source: `${name}, found at ${host}`, ...others, ...more };
  }
  throw new LlmError("unconfigured", explainUnconfigured(found));
}

interface ProbedServer extends LocalServer {
  readonly host: string;
  readonly offer: Offer;
}

function explainUnconfigured(tried: readonly ProbedServer[]): string {
  const places = (which: (offer: Offer) => boolean) =>
    tried.filter(({ offer }) => which(offer)).map(({ name, host }) => `${name} (${host})`);
  const silent = places(({ models, refused }) => models === undefined && refused === undefined);
  const closed = places(({ refused }) => refused !== undefined);
  const empty = places(({ models }) => models?.length === 0);
  const unable = tried.filter(({ offer }) => (offer.models ?? []).length > 0);
  return [
    "no language model is configured. Any one of these is enough:",
    "  export OPENAI_API_KEY=…           OpenAI, or with OPENAI_BASE_URL any compatible service",
    "  --base-url URL [--model NAME]     any OpenAI-compatible server; local servers need no key",
    "  --mode replay --recordings DIR    recorded answers; no model is needed",
    ...(silent.length > 0 ? [`  start a local server              none is answering now: ${silent.join(", ")}`] : []),
    ...(closed.length > 0
      ? [`  --base-url URL, OPENAI_API_KEY    ${closed.join(", ")}, which answers but requires a key`]
      : []),
    ...(empty.length > 0
      ? [`  load a model into                 ${empty.join(", ")}, which answers but has no model`]
      : []),
    ...unable.map(
      ({ name, host, offer }) =>
        `  load a model that can chat into   ${name} (${host}), which has only ${listPurposes(offer.models ?? [])}`,
    ),
  ].join("\n");
}

/** "nomic-embed-text (embeddings), whisper-1 (speech)". */
function listPurposes(models: readonly ServerModel[]): string {
  return shortList(models.map(({ id, purpose }) => (purpose === undefined ? id : `${id} (${purpose})`)));
}

function namesBut(model: string, models: readonly ServerModel[]): readonly string[] {
  return models.map(({ id }) => id).filter((id) => id !== model);
}

function shortList(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(", ");
  return names.length > 8 ? `${shown} and ${names.length - 8} more` : shown;
}
