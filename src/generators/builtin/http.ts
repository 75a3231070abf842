/**
 * Content from a server's response.
 *
 * | option | |
 * |---|---|
 * | `url` | `https://api.example.com/users/{id}`: parts of the path, encoded |
 * | `method`, `headers`, `body` | default GET; secrets as `${TOKEN}` |
 * | `hosts` | the allowed hosts, also for redirects; default: the host of `url` |
 * | `private` | true: also allow addresses of this machine and of private networks |
 * | `json` | true: the response is JSON and is indented, with its numbers unchanged |
 * | `maxBytes`, `timeout`, `retries` | default 64 MiB, 30s for all attempts together, 2 |
 * | `list` | the URL of a collection: its items are the files of the directory |
 * | `collect` | true: the file is a collection, with all its pages in one |
 * | `items` | where the items are in a response: JSONPath (`$.results[*]`) or JSON pointer (`/results`); default: all
 * of it |
 * | `next` | where the next page's URL is in a response; a `Link: …; rel="next"` header is followed automatically |
 * | `cursor` | the URL parameter for the value at `next`, if that is not a URL |
 * | `page`, `offset` | the URL parameter that counts pages, or items, until there are none left |
 * | `format`, `columns` | for `collect`: `json`, `ndjson`, `csv`, `tsv`, `md`, default: by the path's extension; the
 * members to use as columns |
 *
 * An item is an object with a member for every `{name}` of `match`, or a plain value if there is only one. Statuses
 * become errnos: 404 ENOENT, 401 and 403 EACCES, 429 EBUSY, others EIO. If the source has ETag or Last-Modified,
 * regenerating the content asks the server whether it has changed.
 */
import { FsError } from "../../errno.ts";
import {
  isRecord,
  type Options,
  readCount,
  readDuration,
  readFlag,
  readText,
  readTextMap,
  readTexts,
  refuseUnknownOptions,
  requireText,
} from "../config/options.ts";
import { parsePattern } from "../config/patterns.ts";
import type { FileContent, GeneratorContext, ListContext, ListedEntry } from "../contract.ts";
import type { SourceGenerator, SourceParts } from "../source.ts";
import { toUtf8 } from "./http/charset.ts";
import { parseItem, streamCollection, streamItems } from "./http/collection.ts";
import { Documents } from "./http/documents.ts";
import { fetchPages, PAGING, pagingOf } from "./http/pagination.ts";
import { ask, type HttpAnswer, type HttpOptions, showUrl } from "./http/request.ts";
import { checkFormat, readFormat, requireFormat } from "./sql/row-format.ts";

const KNOWN = ["url", "method", "headers", "body", "hosts", "private", "json", "maxBytes", "timeout", "retries"];
const KNOWN_COLLECTION = ["list", ...PAGING, "collect", "format", "columns"];
const EXAMPLE = '"https://api.example.com/users/{id}"';
const MAX_BYTES = 64 * 1024 * 1024;
/** For all pages together, if no rule limits the size of the content. */
const MAX_COLLECTED = 256 * 1024 * 1024;
const TIMEOUT_MS = 30_000;
const RETRIES = 2;
/** A longer response is streamed into the file, and is not requested again if it breaks off. */
const HELD_BYTES = 4 * 1024 * 1024;

export function createHttpGenerator(parts: SourceParts): SourceGenerator {
  const { environment } = parts;
  const documents = new Documents(parts);
  const noProxy = environment.no_proxy ?? environment.NO_PROXY;
  const settingsOf = (options: Options): HttpOptions => ({
    ...parseHttpOptions(options),
    ...(noProxy !== undefined && { noProxy }),
  });

  return {
    lists: (options) => options.list !== undefined,
    validate(options) {
      refuseUnknownOptions(options, [...KNOWN, ...KNOWN_COLLECTION]);
      hostOf(requireText(options, "url", EXAMPLE));
      if (options.list !== undefined) hostOf(requireText(options, "list", '"https://api.example.com/users"'));
      parseHttpOptions(options);
      pagingOf(options);
      readFormat(options);
      readTexts(options, "columns");
      readFlag(options, "json");
      if (readFlag(options, "collect") && readFlag(options, "json")) {
        throw new Error('the option "json" is for one response; "collect" combines many');
      }
    },
    suits(match, options) {
      if (readFlag(options, "collect")) checkFormat(match, options);
    },
    async generate(path, context) {
      const { options, params, previous = {} } = context;
      const url = fillTemplate(requireText(options, "url", EXAMPLE), params);
      const settings = settingsOf(options);
      if (readFlag(options, "collect")) return collect(path, url, settings, context, documents);
      const headers = new Map(settings.headers);
      if (previous.etag !== undefined) headers.set("If-None-Match", previous.etag);
      else if (previous.last_modified !== undefined) headers.set("If-Modified-Since", previous.last_modified);
      if (readFlag(options, "json")) {
        const answer = await ask(url, { ...settings, headers }, context);
        if (answer.status === 304) return { unchanged: true };
        return { content: indentAnswer(answer, path, context.signal, documents), metadata: metadataOf(answer) };
      }
      const answer = await ask(url, { ...settings, headers, heldBytes: HELD_BYTES }, context);
      if (answer.status === 304) return { unchanged: true };
      return { content: answer.more === undefined ? answer.bytes : joinNames(answer), metadata: metadataOf(answer) };
    },
    list: (path, context) => listItems(path, settingsOf(context.options), context, documents),
    dispose: () => documents[Symbol.asyncDispose](),
  };
}

async function* joinNames({ bytes, more }: HttpAnswer): AsyncGenerator<Uint8Array> {
  yield bytes;
  yield* more ?? [];
}

async function* listItems(
  path: string,
  common: HttpOptions,
  context: ListContext,
  documents: Documents,
): AsyncGenerator<ListedEntry> {
  const { options, match } = context;
  const shape = parsePattern(match ?? "*");
  const below = path === "/" ? "/" : `${path}/`;
  const start = new URL(requireText(options, "list", '"https://api.example.com/users"'));
  const settings = { ...common, method: "GET" };
  for await (const item of streamItems(fetchPages(start, pagingOf(options), settings, context, documents))) {
    const file = shape.fill(valuesOf(parseItem(item), shape.names));
    if (file === undefined) throw new FsError("EIO", `${showUrl(start)}: an item has no ${shape.names.join(", ")}`);
    if (file.startsWith(below)) yield { path: file.slice(below.length) };
  }
}

/** All pages of a collection in one file. */
function collect(
  path: string,
  url: URL,
  settings: HttpOptions,
  context: GeneratorContext,
  documents: Documents,
): FileContent {
  const { options, maxBytes = MAX_COLLECTED } = context;
  const format = requireFormat(path, options);
  const columns = options.columns === undefined ? undefined : readTexts(options, "columns");
  const found = fetchPages(url, pagingOf(options), settings, context, documents);
  return { content: streamCollection(found, format, columns, maxBytes), metadata: { source: showUrl(url) } };
}

function valuesOf(item: unknown, names: readonly string[]): ReadonlyMap<string, string> {
  const [only, ...more] = names;
  if (isRecord(item) && !JSON.isRawJSON(item)) {
    const known = names.flatMap((name): [string, string][] => {
      const value = item[name];
      return isPlain(value) ? [[name, toPlainText(value)]] : [];
    });
    return new Map(known);
  }
  return only === undefined || more.length > 0 ? new Map() : new Map([[only, toPlainText(item)]]);
}

function isPlain(value: unknown): boolean {
  return ["string", "number", "boolean"].includes(typeof value) || JSON.isRawJSON(value);
}

function toPlainText(value: unknown): string {
  return JSON.isRawJSON(value) ? JSON.stringify(value) : String(value);
}

async function* indentAnswer(answer: HttpAnswer, path: string, signal: AbortSignal, documents: Documents) {
  const { bytes, headers, url } = answer;
  try {
    yield* documents.indent(toUtf8(bytes, headers), signal);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    throw error.at(showUrl(url)).at(path);
  }
}

function metadataOf({ headers, url, status }: HttpAnswer): Readonly<Record<string, string | number>> {
  const kept = {
    etag: headers.get("etag"),
    last_modified: headers.get("last-modified"),
    type: headers.get("content-type"),
  };
  const known = Object.entries(kept).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
  return { status, source: showUrl(url), ...Object.fromEntries(known) };
}

function parseHttpOptions(options: Options): HttpOptions {
  const { body } = options;
  const url = requireText(options, "url", EXAMPLE);
  const hosts = readTexts(options, "hosts");
  const list = readText(options, "list");
  return {
    method: (readText(options, "method") ?? "GET").toUpperCase(),
    headers: readTextMap(options, "headers"),
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    hosts: hosts.length > 0 ? hosts : [hostOf(url), ...(list === undefined ? [] : [hostOf(list)])],
    private: readFlag(options, "private"),
    maxBytes: readCount(options, "maxBytes", MAX_BYTES, 1),
    timeoutMs: readDuration(options, "timeout") ?? TIMEOUT_MS,
    retries: readCount(options, "retries", RETRIES),
  };
}

/** Throws Error unless the URL has a fixed host: no part of a path may choose it. */
function hostOf(template: string): string {
  const [, host] = /^https?:\/\/([^/?#{}@]+)(?=[/?#]|$)/.exec(template) ?? [];
  if (host === undefined)
    throw new Error(`the URL ${template.split("?")[0]} must begin with http:// or https:// and a host`);
  return new URL(`http://${host}`).host === host.toLowerCase() ? host.toLowerCase() : new URL(template).host;
}

/** Throws FsError for parts that would lead to another place on the server. */
function fillTemplate(template: string, params: GeneratorContext["params"]): URL {
  const text = template.replace(/\{(\w+)\}/g, (braces, name: string) => {
    if (!Object.hasOwn(params, name))
      throw new FsError("EIO", `the URL needs ${braces}, which the rule's match does not define`);
    const value = params[name] ?? "";
    // Encoded or not, these two are steps within a path.
    if (value === "." || value === "..")
      throw new FsError("ENOENT", `${JSON.stringify(value)} is not a valid name on a server`);
    return encodeURIComponent(value);
  });
  return new URL(text);
}
