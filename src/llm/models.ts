/**
 * Which models a server has, and which of them can chat.
 *
 * `/v1/models` lists models for embeddings, speech and images like any other. What a server reports about a model
 * decides; if it reports nothing, the model's name does. Ollama and LM Studio report more in their own APIs.
 */
import { totalmem } from "node:os";
import { formatTimeSpan } from "../text/duration.ts";
import { endpointOf, keyHeaders, splitAddress } from "./connection/address.ts";
import { connectionOptions, isLoopback } from "./connection/http.ts";
import { jsonOf } from "./connection/json-body.ts";
import { type Failure, getProperty, secretsIn, toNumber, toText, toUnreachedFailure } from "./failure.ts";
import { LlmError } from "./llm.ts";

export interface ServerModel {
  readonly id: string;
  /** What it does instead of chatting: "embeddings", "images". Absent: it can chat, as far as is known. */
  readonly purpose?: string;
  /** It may answer, but is made for something else: a base model, or one for completions only. */
  readonly unlikely?: true;
  /** Whether it is loaded into the server's memory. Absent: unknown. */
  readonly loaded?: boolean;
  /** In bytes. Absent: unknown. */
  readonly size?: number;
}

/** One of these: the models, or what the server did instead of listing them. */
export interface Offer {
  readonly models?: readonly ServerModel[];
  readonly instead?: string;
  /** Why the server could not be asked: there was no connection. */
  readonly unreached?: Failure;
  /** The status with which the server rejected the key, or its absence. */
  readonly refused?: number;
}

export interface ServerAddress {
  readonly baseUrl: string;
  readonly apiKey?: string | undefined;
  readonly headers?: Readonly<Record<string, string | null>> | undefined;
}

const SAYS_NOT = "it does not list its models";

/** Asks a server for its models. Rejects only with LlmError "cancelled". */
export async function modelsAt(server: ServerAddress, timeoutMs: number, signal?: AbortSignal): Promise<Offer> {
  const deadline = AbortSignal.timeout(timeoutMs);
  const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
  try {
    const response = await askServer(server, endpointOf(server.baseUrl, "/models"), either);
    const { status } = response;
    if (status === 401 || status === 403) {
      return { instead: `it answered ${status} to the request for its models`, refused: status };
    }
    if (!response.ok) return { instead: `it answered ${status} to the request for its models` };
    const body = await jsonOf(response);
    const data = Array.isArray(body) ? body : getProperty(body, "data");
    if (data === null) return { models: [] };
    if (!Array.isArray(data)) return { instead: SAYS_NOT };
    const models = data.flatMap(modelIn);
    return {
      models: isLoopback(new URL(server.baseUrl).hostname) ? await addOwnApiDetails(server, models, either) : models,
    };
  } catch (error) {
    if (signal?.aborted) {
      throw new LlmError("cancelled", `looking for a model at ${new URL(server.baseUrl).host} was cancelled`);
    }
    if (deadline.aborted) return { instead: `it did not list its models within ${formatTimeSpan(timeoutMs)}` };
    if (error instanceof SyntaxError) return { instead: SAYS_NOT };
    const unreached = toUnreachedFailure(error, partyOf(server));
    if (unreached !== undefined) return { unreached };
    const code = toText(getProperty(error, "code"));
    if (error instanceof Error) return { instead: `it does not list its models${code ? ` (${code})` : ""}` };
    throw error;
  }
}

/** Whether anything accepts a connection at the server's address. An answer of any kind will do. Never rejects. */
export async function isReachable(server: ServerAddress, timeoutMs: number): Promise<boolean> {
  try {
    const response = await askServer(server, endpointOf(server.baseUrl, "/models"), AbortSignal.timeout(timeoutMs));
    response.body?.cancel().catch(() => {});
    return true;
  } catch (error) {
    return toUnreachedFailure(error, partyOf(server)) === undefined;
  }
}

function partyOf({ baseUrl, apiKey = "", headers = {} }: ServerAddress): { host: string; secrets: readonly string[] } {
  return { host: new URL(baseUrl).host, secrets: [apiKey, ...secretsIn(headers)] };
}

export function askServer(
  { baseUrl, apiKey, headers }: ServerAddress,
  url: string,
  signal: AbortSignal,
  body?: unknown,
) {
  const all = Object.entries({ ...keyHeaders(baseUrl, apiKey), ...headers });
  return fetch(url, {
    ...connectionOptions(baseUrl),
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    headers: all.flatMap(([name, value]) => (value === null ? [] : [[name, value]])),
    signal,
  });
}

/**
 * Sorts models by suitability for writing files, leaving out those that cannot chat: first loaded ones, because loading
 * takes time; then the largest that fits into this machine's memory; then in the order of the server's list.
 */
export function rankModels(models: readonly ServerModel[], memory: number = totalmem()): readonly ServerModel[] {
  const fits = ({ size = 0 }: ServerModel) => size * 1.2 <= memory;
  const rank = (model: ServerModel): readonly number[] => [
    model.unlikely === true ? 1 : 0,
    model.loaded === true ? 0 : 1,
    fits(model) ? 0 : 1,
    // Among those that do not fit, the smallest is the closest.
    (fits(model) ? -1 : 1) * (model.size ?? 0),
  ];
  return models
    .filter(({ purpose }) => purpose === undefined)
    .map((model, index) => ({ model, key: [...rank(model), index] }))
    .sort((a, b) => compare(a.key, b.key))
    .map(({ model }) => model);
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) {
    const difference = value - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * The model to use; undefined if none can chat. A model used before is preferred if it is available, since its answers
 * are recorded. Ollama is asked about the others, because its list does not report their capabilities.
 */
export async function chooseModel(
  server: ServerAddress,
  models: readonly ServerModel[],
  timeoutMs: number,
  { signal, usedBefore }: { readonly signal?: AbortSignal; readonly usedBefore?: string } = {},
): Promise<string | undefined> {
  const candidates = rankModels(models);
  if (candidates.some(({ id }) => id === usedBefore)) return usedBefore;
  if (!isLoopback(new URL(server.baseUrl).hostname)) return candidates[0]?.id;
  const deadline = AbortSignal.timeout(timeoutMs);
  const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
  for (const { id } of candidates.slice(0, MOST_SHOWN)) {
    const shown = await fetchJson(() => askServer(server, `${root(server)}/api/show`, either, { model: id }));
    if (purposeIn(shown) === undefined) return id;
  }
  return candidates[MOST_SHOWN]?.id;
}

const MOST_SHOWN = 10;

/** Adds what the APIs of LM Studio and Ollama report beyond `/v1/models`; other servers have neither. */
async function addOwnApiDetails(
  server: ServerAddress,
  models: readonly ServerModel[],
  signal: AbortSignal,
): Promise<readonly ServerModel[]> {
  const soon = AbortSignal.any([signal, AbortSignal.timeout(OWN_API_MS)]);
  const [lmStudio, tags, running] = await Promise.all(
    ["/api/v0/models", "/api/tags", "/api/ps"].map((path) =>
      fetchJson(() => askServer(server, `${root(server)}${path}`, soon)),
    ),
  );
  const more = new Map<string, ServerModel>();
  for (const model of [...(listIn(lmStudio, "data") ?? []), ...(listIn(tags, "models") ?? [])].flatMap(modelIn)) {
    more.set(model.id, model);
  }
  const loaded = listIn(running, "models")?.flatMap(modelIn);
  return models.map((model) => ({
    ...(more.get(model.id) ?? model),
    ...(loaded === undefined ? {} : { loaded: loaded.some(({ id }) => id === model.id) }),
  }));
}

/** Timeout of these APIs, which LM Studio and Ollama answer from memory. */
const OWN_API_MS = 1000;

/** The base address, next to the OpenAI-compatible API. */
export function root({ baseUrl }: ServerAddress): string {
  return splitAddress(baseUrl).address.replace(/\/v1$/, "");
}

/** Undefined if the server does not know the path, or answers with something else. */
export async function fetchJson(fetching: () => Promise<Response>): Promise<unknown> {
  try {
    const response = await fetching();
    return response.ok ? await jsonOf(response) : undefined;
  } catch {
    return undefined;
  }
}

/** LM Studio answers unknown paths with 200 and an unrelated object. */
function listIn(body: unknown, name: string): readonly unknown[] | undefined {
  const list = getProperty(body, name);
  return Array.isArray(list) ? list : undefined;
}

/** One entry of a list, in any of the APIs; nothing if it has no name or is disabled. */
function modelIn(entry: unknown): readonly ServerModel[] {
  const id = toText(getProperty(entry, "id")) ?? toText(getProperty(entry, "name"));
  // A name with a control character is not a real model, and would reach the terminal.
  if (id === undefined || /\p{Cc}/u.test(id) || getProperty(entry, "active") === false) return [];
  const purpose = findReportedPurpose(entry) ? purposeIn(entry) : (purposeIn(entry) ?? purposeOfName(id));
  const state = toText(getProperty(entry, "state")) ?? toText(getProperty(getProperty(entry, "status"), "value"));
  const size = toNumber(getProperty(entry, "size"));
  return [
    {
      id,
      ...(purpose === undefined ? {} : { purpose }),
      ...(isUnlikely(id) ? { unlikely: true as const } : {}),
      ...(state === undefined ? {} : { loaded: state === "loaded" }),
      ...(size === undefined ? {} : { size }),
    },
  ];
}

const CHATS = /^(chat|completion|completions|llm|vlm|language|code|text|text-generation|conversational)$/;

/**
 * How an entry describes itself: `type` of LM Studio and Together, `mode` of LiteLLM, `capabilities` of Ollama and
 * llama.cpp.
 */
function words(entry: unknown): readonly string[] {
  const capabilities = getProperty(entry, "capabilities");
  const list = Array.isArray(capabilities) ? capabilities : [];
  const one = ["type", "mode", "task", "pipeline_tag", "object"].map((name) => getProperty(entry, name));
  return [...list, ...one].flatMap((word) => (typeof word === "string" ? [word.toLowerCase()] : []));
}

/** Whether the server reports explicitly that a model can chat: then its name does not matter. */
function findReportedPurpose(entry: unknown): boolean {
  if (words(entry).some((word) => CHATS.test(word))) return true;
  if (getProperty(getProperty(entry, "capabilities"), "completion_chat") === true) return true;
  return getProperty(entry, "supports_chat") === true;
}

/** What a model does instead of chatting, judged by its entry. */
function purposeIn(entry: unknown): string | undefined {
  const all = words(entry);
  if (all.some((word) => CHATS.test(word))) return undefined;
  for (const word of all) {
    const purpose = word === "audio" ? "speech" : purposeOfName(word);
    if (purpose !== undefined) return purpose;
  }
  const capabilities = getProperty(entry, "capabilities");
  if (getProperty(capabilities, "completion_chat") === false || getProperty(entry, "supports_chat") === false) {
    return "something other than chat";
  }
  const outputs = getProperty(getProperty(entry, "architecture"), "output_modalities");
  if (Array.isArray(outputs) && !outputs.includes("text")) return outputs.join(", ");
  // Ollama reports the architecture of embedding models.
  const family = toText(getProperty(getProperty(entry, "details"), "family")) ?? "";
  return /bert/.test(family) ? "embeddings" : undefined;
}

/** Parts of names, as separated by hyphens and the like, and the purpose of such a model. The first match counts. */
const PURPOSES: readonly (readonly [part: RegExp, purpose: string])[] = [
  [/^re-?rank(er|ing)?\d*$|^marco$/, "reranking"],
  [/^(text)?embed(?!ded)|^(bge|gte|e5|minilm|mpnet|colpali|splade|voyage|instructor|paraphrase)\d*$/, "embeddings"],
  [/berta?$|^(clip|siglip|similarity|sentence)\d*$|^feature-extraction$/, "embeddings"],
  [/^(dall|dalle|sdxl|imagen|image|images|midjourney|kandinsky|seedream|hidream|cogview)\d*$/, "images"],
  [/^(flux|diffusion|sd3|ideogram|recraft|pixart)\d*$|^text-to-image$/, "images"],
  [/^(sora|veo|video|kling|cogvideo[x]?|seedance|videogeneration)\d*$|^text-to-video$/, "video"],
  [/^(distil)?whisper|^(x?tts|stt|asr|transcribe|transcription|transcriptions|speech|realtime)\d*$/, "speech"],
  [/^(parakeet|kokoro|bark|wav2vec|musicgen|lyria|suno)\d*$|^automatic-speech-recognition$/, "speech"],
  [
    /^(moderation|moderations)$|^(llama|prompt|wild|qwen\d*)?guard(ian)?\d*$|^(shieldgemma|safeguard)\d*$/,
    "moderation",
  ],
  [/^ocr\d*$|ocr$/, "OCR"],
  [/^reward$/, "rating answers"],
];

/** Made for completions, for an API that we do not use, or without any training in conversation. */
const UNLIKELY = /^(base|davinci|babbage|curie|starcoder\d*|santacoder|fim|pretrain(ed)?|audio|deep-?research)$/;
const UNLIKELY_NAMES = /^(gpt-3\.5-turbo-instruct|codex-mini|computer-use|o\d+-pro|.*deep-research)/;

function parts(id: string): readonly string[] {
  const name = id.toLowerCase();
  return [name, ...name.split(/[^a-z0-9]+/)];
}

function purposeOfName(id: string): string | undefined {
  const all = parts(id);
  return PURPOSES.find(([pattern]) => all.some((part) => pattern.test(part)))?.[1];
}

function isUnlikely(id: string): boolean {
  return UNLIKELY_NAMES.test(id.toLowerCase()) || parts(id).some((part) => UNLIKELY.test(part));
}
