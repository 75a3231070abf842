/** Settings about models: the server, the limits and the recordings. */

import { messageOf } from "../../errno.ts";
import type { BudgetLimits, ConfirmStep } from "../../generate/spending/ledger.ts";
import { secretsIn } from "../../llm/failure.ts";
import { type Price, parsePrice } from "../../llm/prices.ts";
import type { ProviderLayer } from "../../llm/provider.ts";
import type { RecordingMode } from "../../recording/recorded-model.ts";
import { defaultRecordings, schemeOf, secretsInAddress } from "../../recording/stores/address.ts";
import type { S3Settings } from "../../recording/stores/remote/s3-connection.ts";
import { createValueError, UserError } from "../errors.ts";
import { homeDirectory } from "../machine/home-dir.ts";
import type { Lookup } from "./environment.ts";
import { explainMissing, type GivenSettings, type Layer } from "./given.ts";
import type { SettingName } from "./table.ts";
import { parseAbsolutePath, parseAmount, parseCount, parseOptional, parseSwitch, parseTimeLimit } from "./values.ts";

/** The HTTP client runs at most this many requests. Further ones would wait in it while their deadlines run. */
const MOST_AT_ONCE = 256;

export interface ModelConfig {
  /** Where to find the model: the flags, the environment, the configuration files. */
  readonly providers: readonly ProviderLayer[];
  /** The maximum tokens requested for a layout. Undefined for the server's default. */
  readonly layoutTokens: number | undefined;
  readonly concurrency: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly limits: BudgetLimits;
  /** How much may be spent before somebody must confirm. */
  readonly confirmOver: ConfirmStep | undefined;
  /** Prices given by the user. */
  readonly prices: readonly (readonly [model: string, price: Price])[];
  readonly mode: RecordingMode;
  /** A folder or the URL of a shared store. */
  readonly recordings: string;
  /** Requests fail while these recordings are unavailable. */
  readonly recordingsRequired: boolean;
  /** If a shared store refuses new answers, they are paid for anyway. */
  readonly paysAlone: boolean;
  /** The user's own folder of recordings. */
  readonly ownRecordings: string;
  readonly s3: S3Settings;
  /** Keys that sign recordings, the current one first. */
  readonly recordingKeys: readonly string[];
  /** The owner of new recordings. */
  readonly owner: string | undefined;
}

/** No model answers faster than this. */
const LEAST_TIMEOUT_MS = 100;

/** Throws UserError("usage"). */
export function readModelConfig(given: GivenSettings, variable: Lookup): ModelConfig {
  const cache = variable("XDG_CACHE_HOME");
  const ownRecordings = defaultRecordings({
    home: homeDirectory(variable("HOME")),
    ...(cache && { xdgCacheHome: cache }),
  });
  const recordings = given.parse("recordings", parseLocation) ?? ownRecordings;
  return {
    providers: given.layers.map((layer) => createLayer(layer, variable)),
    layoutTokens: given.parse("layoutTokens", (source, text) => parseCount(source, text, 1)),
    concurrency: given.parse("concurrency", (source, text) => parseCount(source, text, 1, MOST_AT_ONCE)),
    timeoutMs: given.parse("timeout", (source, text) => parseTimeLimit(source, text, LEAST_TIMEOUT_MS)),
    limits: readLimits(given),
    confirmOver: given.parse("confirmOver", parseConfirmStep),
    prices: given.parse("price", parsePrices) ?? [],
    mode: given.parse("mode", parseMode) ?? "auto",
    recordings,
    ...readRequired(given, recordings === ownRecordings),
    ownRecordings,
    s3: readS3Settings(variable),
    recordingKeys: parseOptional(variable("LLMFS_RECORDINGS_KEY"), parseRecordingKeys) ?? [],
    owner: parseOptional(variable("LLMFS_OWNER"), (text) => parseOwner("LLMFS_OWNER", text)),
  };
}

/** A shorter key could be guessed by trying, because everyone who shares the store can read the recordings. */
const LEAST_KEY = 16;

function parseRecordingKeys(text: string): readonly string[] {
  const source = "LLMFS_RECORDINGS_KEY";
  const keys = text.split(/[\s,]+/).filter((key) => key !== "");
  // Do not repeat the value.
  const make = "make one with: openssl rand -hex 32";
  if (keys.length === 0) throw createValueError(source, `${source} is empty; unset it, or ${make}`);
  const short = keys.findIndex((key) => key.length < LEAST_KEY);
  if (short < 0) return keys;
  const which = keys.length === 1 ? "the key" : `key ${short + 1}`;
  throw createValueError(source, `${source}: ${which} has fewer than ${LEAST_KEY} characters; ${make}`);
}

/** The name appears in listings and on command lines. */
export function parseOwner(source: string, text: string): string {
  const name = text.trim();
  if (/^[\p{L}\p{N}][\p{L}\p{N}._/@-]{0,99}$/u.test(name)) return name;
  const expected = "letters, digits and ._/@- only, at most 100";
  throw createValueError(source, `${source} ${JSON.stringify(name.slice(0, 40))}: expected a name of ${expected}`);
}

/** The secrets in the configuration, both plain and as encoded in URLs. */
export function secretsOf({ providers, recordings, s3, recordingKeys }: ModelConfig): readonly string[] {
  const urls = providers.map(({ baseUrl }) => baseUrl ?? "").filter((url) => URL.canParse(url));
  const all = [
    ...providers.flatMap(({ apiKey = "", headers = {} }) => [apiKey, ...secretsIn(headers)]),
    ...urls.flatMap((url) => [new URL(url).password, decodeURIComponent(new URL(url).password)]),
    // Some gateways take a key in the query.
    ...urls.flatMap((url) =>
      [...new URL(url).searchParams].flatMap(([name, value]) => (name === "api-version" ? [] : value)),
    ),
    ...secretsInAddress(recordings),
    s3.secretAccessKey ?? "",
    s3.sessionToken ?? "",
    ...recordingKeys,
  ];
  return [...new Set(all)].filter((secret) => secret !== "");
}

const PROVIDER_SETTINGS = ["model", "baseUrl", "header"] as const;

/** The key is only in the environment: it must not be visible to `ps`, or lie in a file that may be shared. */
function createLayer({ from, find }: Layer, variable: Lookup): ProviderLayer {
  const missing = PROVIDER_SETTINGS.map(find).find((given) => given?.missing !== undefined);
  // The recordings may be enough, and then nothing is sent to the server.
  if (missing !== undefined) return { from, problem: explainMissing(missing) };
  const parse = <T>(name: SettingName, read: (source: string, text: string) => T) => {
    const given = find(name);
    return given && read(given.source, given.text);
  };
  const model = parse("model", (_, text) => text);
  const baseUrl = parse("baseUrl", parseBaseUrl);
  const headers = parse("header", parseHeaders);
  const apiKey =
    from === "the environment" ? parseApiKey("OPENAI_API_KEY", variable("OPENAI_API_KEY")?.trim()) : undefined;
  return {
    from,
    ...(model && { model }),
    ...(baseUrl && { baseUrl }),
    ...(apiKey && { apiKey }),
    ...(headers && { headers }),
  };
}

function parseBaseUrl(source: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return text;
  // Do not repeat the value: it may be a key in the wrong variable.
  const problem = `${source} is not an http:// or https:// URL; an example is http://127.0.0.1:11434/v1`;
  throw createValueError(source, problem);
}

/** A key is sent in a header, which cannot contain line breaks or characters outside Latin-1. */
function parseApiKey(source: string, key: string | undefined): string | undefined {
  const wrongAt = key === undefined ? -1 : [...key].findIndex((one) => !/[\t\x20-\x7e\x80-\xff]/.test(one));
  const culprit = wrongAt < 0 ? undefined : [...(key ?? "")][wrongAt];
  if (culprit === undefined) return key;
  const what = /[\r\n]/.test(culprit) ? "a line break" : `U+${toHex(culprit)}`;
  throw createValueError(
    source,
    `${source} is not a valid key: it has ${what} after its first ${wrongAt} characters; set it to the key alone`,
  );
}

/** Parses lines of "Name: value". A value may be a key, so errors do not repeat values. */
function parseHeaders(source: string, text: string): Readonly<Record<string, string>> | undefined {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const found = lines.flatMap((line, index): readonly (readonly [string, string])[] => {
    if (line === "") return [];
    const colon = line.indexOf(":");
    const [name, value] = [line.slice(0, Math.max(colon, 0)).trim(), line.slice(colon + 1).trim()];
    const problem = colon < 0 ? "has no colon" : findHeaderProblem(name, value);
    if (problem === undefined) return [[name, value]];
    const where = source.startsWith("--") ? "it" : `line ${index + 1}`;
    throw createValueError(source, `${source}: ${where} ${problem}; expected Name: value, such as "X-Team: data"`);
  });
  return found.length === 0 ? undefined : Object.fromEntries(found);
}

/** Checks the name and value of a header as RFC 9110 defines them. */
function findHeaderProblem(name: string, value: string): string | undefined {
  if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name)) return "does not start with a header name";
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value) ? undefined : "has a character that is not allowed in headers";
}

function toHex(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
}

function parseMode(source: string, text: string): RecordingMode {
  if (text === "auto" || text === "record" || text === "replay" || text === "off") return text;
  throw createValueError(source, `${source} ${text}: expected auto, record, replay or off`);
}

/** Makes a folder absolute. Keeps the URL of a shared store. */
export function parseLocation(name: string, text: string, folder?: string): string {
  try {
    return schemeOf(text) === undefined ? parseAbsolutePath(name, text, folder) : text;
  } catch (error) {
    throw error instanceof UserError ? error : createValueError(name, `${name}: ${messageOf(error)}`);
  }
}

function readRequired(given: GivenSettings, unnamed: boolean): Pick<ModelConfig, "recordingsRequired" | "paysAlone"> {
  const found = given.find("recordingsRequired");
  const required = found && parseSwitch(found.source, found.text);
  if (found !== undefined && required === true && unnamed) {
    const cure = "name the recordings with --recordings or LLMFS_RECORDINGS";
    throw createValueError(
      found.source,
      `${found.source}: your own folder of recordings is not a shared store; ${cure}`,
    );
  }
  return { recordingsRequired: required === true, paysAlone: required === false };
}

function readLimits(given: GivenSettings): BudgetLimits {
  const calls = given.parse("maxCalls", (source, text) => parseCount(source, text, 0));
  const tokens = given.parse("maxTokens", (source, text) => parseCount(source, text, 0));
  const usd = given.parse("maxUsd", parseAmount);
  return {
    ...(calls === undefined ? {} : { calls }),
    ...(tokens === undefined ? {} : { tokens }),
    ...(usd === undefined ? {} : { usd }),
  };
}

/** A number of requests, or an amount with a dollar sign. */
function parseConfirmStep(source: string, text: string): ConfirmStep {
  const wanted = text.startsWith("$") ? { usd: parseAmount(source, text) } : { calls: parseCount(source, text, 1) };
  if ("usd" in wanted && wanted.usd === 0) throw createValueError(source, `${source} ${text}: expected more than $0`);
  return wanted;
}

function parsePrices(source: string, text: string): readonly (readonly [string, Price])[] {
  try {
    return text.split(",").map(parsePrice);
  } catch (error) {
    throw createValueError(source, `${source}: ${messageOf(error)}`);
  }
}

function readS3Settings(variable: Lookup): S3Settings {
  const endpoint = variable("AWS_ENDPOINT_URL");
  const region = variable("AWS_REGION");
  const accessKeyId = variable("AWS_ACCESS_KEY_ID");
  const secretAccessKey = variable("AWS_SECRET_ACCESS_KEY");
  const sessionToken = variable("AWS_SESSION_TOKEN");
  return {
    ...(endpoint && { endpoint }),
    ...(region && { region }),
    ...(accessKeyId && { accessKeyId }),
    ...(secretAccessKey && { secretAccessKey }),
    ...(sessionToken && { sessionToken }),
  };
}
