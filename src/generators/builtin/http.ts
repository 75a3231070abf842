/**
 * What a server answers as content.
 *
 * | option | |
 * |---|---|
 * | `url` | `https://api.example.com/users/{id}`: parts of the path, encoded |
 * | `method`, `headers`, `body` | default GET; secrets as `${TOKEN}` |
 * | `hosts` | which hosts may be asked, redirects included; default: the one of `url` |
 * | `private` | true: addresses of this machine and of private networks may be asked too |
 * | `json` | true: the answer is JSON and is indented, its numbers as they are |
 * | `maxBytes`, `timeout`, `retries` | default 64 MiB, 30s for all tries together, 2 |
 * | `list` | the URL of a collection: its items are the files of the directory |
 * | `collect` | true: the file is a collection, all its pages as one |
 * | `items` | where in an answer they are: JSONPath (`$.results[*]`) or JSON pointer (`/results`); default: the whole |
 * | `next` | where in an answer the next page's URL is; a `Link: …; rel="next"` is followed by itself |
 * | `cursor` | the URL's parameter that gets what is at `next`, where that is no URL |
 * | `page`, `offset` | the URL's parameter that counts pages, or items, until there are none |
 * | `format`, `columns` | of `collect`: `json`, `ndjson`, `csv`, `tsv`, `md`, else by the path's ending; members to be columns |
 *
 * An item is an object with a member for every `{name}` of `match`, or a value for its only one. Statuses become
 * errnos: 404 ENOENT, 401 and 403 EACCES, 429 EBUSY, others EIO. Where the source has ETag or Last-Modified, content
 * that is made anew asks whether it has changed.
 */
import { FsError } from "../../errno.ts";
import {
  countOption,
  durationOption,
  flagOption,
  isRecord,
  neededText,
  type Options,
  onlyOptions,
  textMapOption,
  textOption,
  textsOption,
} from "../config/options.ts";
import { pattern } from "../config/patterns.ts";
import type { FileContent, GeneratorContext, ListContext, ListedEntry } from "../contract.ts";
import type { SourceGenerator, SourceParts } from "../source.ts";
import { collection, items, smallItem } from "./http/collection.ts";
import { Documents } from "./http/documents.ts";
import { PAGING, pages, pagingOf } from "./http/pagination.ts";
import { type Answer, ask, type HttpOptions, shown } from "./http/request.ts";
import { checkFormat, formatOption, neededFormat } from "./sql/row-format.ts";

const KNOWN = ["url", "method", "headers", "body", "hosts", "private", "json", "maxBytes", "timeout", "retries"];
const KNOWN_COLLECTION = ["list", ...PAGING, "collect", "format", "columns"];
const EXAMPLE = '"https://api.example.com/users/{id}"';
const MAX_BYTES = 64 * 1024 * 1024;
/** Of all pages together, where no rule says how large a content may be. */
const MAX_COLLECTED = 256 * 1024 * 1024;
const TIMEOUT_MS = 30_000;
const RETRIES = 2;
/** A longer answer goes to the file as it comes, and is not asked for again when it breaks off. */
const HELD_BYTES = 4 * 1024 * 1024;

export function httpGenerator(parts: SourceParts): SourceGenerator {
  const { environment } = parts;
  const documents = new Documents(parts);
  const noProxy = environment.no_proxy ?? environment.NO_PROXY;
  const settingsOf = (options: Options): HttpOptions => ({
    ...httpOptions(options),
    ...(noProxy !== undefined && { noProxy }),
  });

  return {
    lists: (options) => options.list !== undefined,
    validate(options) {
      onlyOptions(options, [...KNOWN, ...KNOWN_COLLECTION]);
      hostOf(neededText(options, "url", EXAMPLE));
      if (options.list !== undefined) hostOf(neededText(options, "list", '"https://api.example.com/users"'));
      httpOptions(options);
      pagingOf(options);
      formatOption(options);
      textsOption(options, "columns");
      flagOption(options, "json");
      if (flagOption(options, "collect") && flagOption(options, "json")) {
        throw new Error('the option "json" is for one answer: with "collect" the file is made of many');
      }
    },
    suits(match, options) {
      if (flagOption(options, "collect")) checkFormat(match, options);
    },
    async generate(path, context) {
      const { options, params, previous = {} } = context;
      const url = filled(neededText(options, "url", EXAMPLE), params);
      const settings = settingsOf(options);
      if (flagOption(options, "collect")) return collected(path, url, settings, context, documents);
      const headers = new Map(settings.headers);
      if (previous.etag !== undefined) headers.set("If-None-Match", previous.etag);
      else if (previous.last_modified !== undefined) headers.set("If-Modified-Since", previous.last_modified);
      if (flagOption(options, "json")) {
        const answer = await ask(url, { ...settings, headers }, context);
        if (answer.status === 304) return { unchanged: true };
        return { content: indentedAnswer(answer, path, context.signal, documents), metadata: metadataOf(answer) };
      }
      const answer = await ask(url, { ...settings, headers, heldBytes: HELD_BYTES }, context);
      if (answer.status === 304) return { unchanged: true };
      return { content: answer.more === undefined ? answer.bytes : joined(answer), metadata: metadataOf(answer) };
    },
    list: (path, context) => listed(path, settingsOf(context.options), context, documents),
    dispose: () => documents[Symbol.asyncDispose](),
  };
}

async function* joined({ bytes, more }: Answer): AsyncGenerator<Uint8Array> {
  yield bytes;
  yield* more ?? [];
}

async function* listed(
  path: string,
  common: HttpOptions,
  context: ListContext,
  documents: Documents,
): AsyncGenerator<ListedEntry> {
  const { options, match } = context;
  const shape = pattern(match ?? "*");
  const below = path === "/" ? "/" : `${path}/`;
  const start = new URL(neededText(options, "list", '"https://api.example.com/users"'));
  const settings = { ...common, method: "GET" };
  for await (const item of items(pages(start, pagingOf(options), settings, context, documents))) {
    const file = shape.fill(valuesOf(smallItem(item), shape.names));
    if (file === undefined) throw new FsError("EIO", `${shown(start)}: an item without ${shape.names.join(", ")}`);
    if (file.startsWith(below)) yield { path: file.slice(below.length) };
  }
}

/** All pages of a collection as one file. */
function collected(
  path: string,
  url: URL,
  settings: HttpOptions,
  context: GeneratorContext,
  documents: Documents,
): FileContent {
  const { options, maxBytes = MAX_COLLECTED } = context;
  const format = neededFormat(path, options);
  const columns = options.columns === undefined ? undefined : textsOption(options, "columns");
  const found = pages(url, pagingOf(options), settings, context, documents);
  return { content: collection(found, format, columns, maxBytes), metadata: { source: shown(url) } };
}

function valuesOf(item: unknown, names: readonly string[]): ReadonlyMap<string, string> {
  const [only, ...more] = names;
  if (isRecord(item) && !JSON.isRawJSON(item)) {
    const known = names.flatMap((name): [string, string][] => {
      const value = item[name];
      return isPlain(value) ? [[name, plainText(value)]] : [];
    });
    return new Map(known);
  }
  return only === undefined || more.length > 0 ? new Map() : new Map([[only, plainText(item)]]);
}

function isPlain(value: unknown): boolean {
  return ["string", "number", "boolean"].includes(typeof value) || JSON.isRawJSON(value);
}

function plainText(value: unknown): string {
  return JSON.isRawJSON(value) ? JSON.stringify(value) : String(value);
}

async function* indentedAnswer({ bytes, url }: Answer, path: string, signal: AbortSignal, documents: Documents) {
  try {
    yield* documents.indented(bytes, signal);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw new FsError(error.code, `${path}: ${shown(url)}: ${error.message}`, { cause: error });
  }
}

function metadataOf({ headers, url, status }: Answer): Readonly<Record<string, string | number>> {
  const kept = {
    etag: headers.get("etag"),
    last_modified: headers.get("last-modified"),
    type: headers.get("content-type"),
  };
  const known = Object.entries(kept).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
  return { status, source: shown(url), ...Object.fromEntries(known) };
}

function httpOptions(options: Options): HttpOptions {
  const { body } = options;
  const url = neededText(options, "url", EXAMPLE);
  const hosts = textsOption(options, "hosts");
  const list = textOption(options, "list");
  return {
    method: (textOption(options, "method") ?? "GET").toUpperCase(),
    headers: textMapOption(options, "headers"),
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    hosts: hosts.length > 0 ? hosts : [hostOf(url), ...(list === undefined ? [] : [hostOf(list)])],
    private: flagOption(options, "private"),
    maxBytes: countOption(options, "maxBytes", MAX_BYTES, 1),
    timeoutMs: durationOption(options, "timeout") ?? TIMEOUT_MS,
    retries: countOption(options, "retries", RETRIES),
  };
}

/** Throws Error unless the URL's host stands fast: no part of a path may choose it. */
function hostOf(template: string): string {
  const [, host] = /^https?:\/\/([^/?#{}@]+)(?=[/?#]|$)/.exec(template) ?? [];
  if (host === undefined)
    throw new Error(`the URL ${template.split("?")[0]} must begin with http:// or https:// and a host`);
  return new URL(`http://${host}`).host === host.toLowerCase() ? host.toLowerCase() : new URL(template).host;
}

/** Throws FsError for parts that would lead to another place on the server. */
function filled(template: string, params: GeneratorContext["params"]): URL {
  const text = template.replace(/\{(\w+)\}/g, (braces, name: string) => {
    if (!Object.hasOwn(params, name))
      throw new FsError("EIO", `the URL wants ${braces}, which the rule's match has not`);
    const value = params[name] ?? "";
    // These two are steps within a path, however they are encoded.
    if (value === "." || value === "..") throw new FsError("ENOENT", `${JSON.stringify(value)} is no name on a server`);
    return encodeURIComponent(value);
  });
  return new URL(text);
}
