/**
 * One request with everything around it: allowed hosts, addresses, redirects, retries, limits, and statuses as errnos.
 */

import { isIP } from "node:net";
import { pause } from "../../../abort.ts";
import { codeOf, type ErrnoName, FsError } from "../../../errno.ts";
import { connectionOptions } from "../../../llm/connection/http.ts";
import { formatTimeSpan } from "../../../text/duration.ts";
import type { GeneratorLog } from "../../contract.ts";
import { isExempt } from "./no-proxy.ts";

export interface HttpOptions {
  readonly method: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body?: string;
  /** The allowed hosts, "host" or "host:port". */
  readonly hosts: readonly string[];
  /** Whether private addresses are allowed. */
  readonly private: boolean;
  readonly maxBytes: number;
  readonly timeoutMs: number;
  readonly retries: number;
  /** The rest of a longer body is streamed as `more`, and the request is not retried any more. */
  readonly heldBytes?: number;
  /** The value of NO_PROXY. */
  readonly noProxy?: string;
  /** Finds the address to connect to, and refuses private ones. Replaced in tests. */
  readonly addressOf?: (host: string) => Promise<string>;
}

export interface Asking {
  readonly signal: AbortSignal;
  readonly log: GeneratorLog;
}

export interface HttpAnswer {
  /** 200 to 299 without 206, or 304. */
  readonly status: number;
  readonly headers: Headers;
  /** The final URL, after redirects. */
  readonly url: URL;
  /** The whole body, or its beginning if there is `more`. */
  readonly bytes: Uint8Array;
  /** The rest of a long body, as it arrives. Rejects with FsError, or the signal's reason. */
  readonly more?: AsyncIterable<Uint8Array>;
}

const MOST_REDIRECTS = 5;
const LONGEST_PAUSE_MS = 30_000;

/** Rejects with FsError, or the signal's reason. */
export async function ask(url: URL, options: HttpOptions, { signal, log }: Asking): Promise<HttpAnswer> {
  const late = AbortSignal.timeout(options.timeoutMs);
  const both = AbortSignal.any([signal, late]);
  const throwIfOver = () => {
    if (signal.aborted) throw signal.reason;
    if (late.aborted)
      throw new FsError(
        "ETIMEDOUT",
        `${showUrl(url)}: no complete response within ${formatTimeSpan(options.timeoutMs)}`,
      );
  };
  async function* explain(pieces: AsyncIterable<Uint8Array>) {
    try {
      yield* pieces;
    } catch (error) {
      throwIfOver();
      throw toFailure(error, url).error;
    }
  }
  // A request that changes something is not repeated.
  const tries = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"].includes(options.method) ? options.retries : 0;
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await followRedirects(url, options, both);
      return answer.more === undefined ? answer : { ...answer, more: explain(answer.more) };
    } catch (error) {
      throwIfOver();
      const failure = toFailure(error, url);
      if (attempt >= tries || !failure.again) throw failure.error;
      const delay = Math.min(failure.after ?? 250 * 2 ** attempt, LONGEST_PAUSE_MS);
      log.info(`${failure.error.message}; retrying in ${delay} ms`);
      await pause(delay, both).catch(() => {
        throw signal.aborted ? signal.reason : failure.error;
      });
    }
  }
}

/** A URL for messages: the query may contain a secret, and so may user and password. */
export function showUrl(url: URL): string {
  const bare = new URL(url);
  bare.username = bare.password = bare.search = bare.hash = "";
  return bare.href;
}

async function followRedirects(start: URL, options: HttpOptions, signal: AbortSignal): Promise<HttpAnswer> {
  let url = start;
  let { method } = options;
  let headers = new Headers([...options.headers]);
  let streamBody = options.body;
  for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
    const response = await sendOnce(
      url,
      { method, headers, ...(streamBody !== undefined && { body: streamBody }) },
      options,
      signal,
    );
    const target = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || target === null) {
      return answerOf(response, url, options);
    }
    await response.body?.cancel();
    const next = URL.canParse(target, url.href) ? new URL(target, url) : undefined;
    if (next === undefined) throw new FsError("EIO", `${showUrl(url)} redirects to an invalid URL`);
    if (response.status === 303 || (method === "POST" && response.status < 303)) {
      method = "GET";
      streamBody = undefined;
    }
    // Credentials are for the original server only.
    if (next.origin !== url.origin) headers = new Headers();
    url = next;
  }
  throw new FsError("ELOOP", `${showUrl(start)}: more than ${MOST_REDIRECTS} redirects`);
}

async function sendOnce(
  url: URL,
  init: { readonly method: string; readonly headers: Headers; readonly body?: string },
  options: HttpOptions,
  signal: AbortSignal,
): Promise<Response> {
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new FsError("EACCES", `${showUrl(url)}: not an http or https URL`);
  }
  if (!options.hosts.includes(url.host) && !options.hosts.includes(url.hostname)) {
    throw new FsError("EACCES", `${url.host} is not among the allowed hosts: ${options.hosts.join(", ")}`);
  }
  const settings = { ...init, redirect: "manual", signal, ...connectionOptions(url) } as const;
  if (options.private) return fetch(url.href, settings);
  const addressOf = options.addressOf ?? (await import("./addresses.ts")).resolvePublicAddress;
  const address = await addressOf(url.hostname);
  const pinned = new URL(url);
  pinned.hostname = isIP(address) === 6 ? `[${address}]` : address;
  const headers = new Headers(init.headers);
  headers.set("Host", url.host);
  // An exception from the proxy applies to the name, which the pinned URL no longer has.
  const exempt = isExempt(url, options.noProxy) ? ({ proxy: false } as const) : {};
  return fetch(pinned.href, { ...settings, ...exempt, headers, tls: { serverName: url.hostname } });
}

const STATUSES = new Map<number, ErrnoName>([
  [401, "EACCES"],
  [403, "EACCES"],
  [404, "ENOENT"],
  [408, "ETIMEDOUT"],
  [410, "ENOENT"],
  [429, "EBUSY"],
  [504, "ETIMEDOUT"],
]);

async function answerOf(response: Response, url: URL, { maxBytes, heldBytes }: HttpOptions): Promise<HttpAnswer> {
  const { status, headers } = response;
  // 206 is a part of the content, which was not asked for.
  if ((status < 200 || status > 299 || status === 206) && status !== 304) {
    await response.body?.cancel();
    const error = new FsError(
      STATUSES.get(status) ?? "EIO",
      `${showUrl(url)}: HTTP ${status} ${response.statusText}`.trim(),
    );
    throw new HttpRefusal(error, status, headers.get("retry-after"));
  }
  const pieces = body(response, url, maxBytes);
  const head: Uint8Array[] = [];
  let length = 0;
  for (let one = await pieces.next(); one.done !== true; one = await pieces.next()) {
    head.push(one.value);
    length += one.value.length;
    if (length > (heldBytes ?? maxBytes)) return { status, headers, url, bytes: Buffer.concat(head), more: pieces };
  }
  return { status, headers, url, bytes: Buffer.concat(head) };
}

/** Throws HttpRefusal if the body is shorter than announced. */
async function* body({ status, headers, body }: Response, url: URL, limit: number): AsyncGenerator<Uint8Array> {
  const announced = headers.has("content-encoding") ? 0 : Number(headers.get("content-length") ?? 0);
  const tooLarge = () =>
    new FsError("EFBIG", `${showUrl(url)}: more than ${limit} bytes; raise the limit with "maxBytes"`);
  if (announced > limit && status !== 304) {
    await body?.cancel();
    throw tooLarge();
  }
  let length = 0;
  for await (const piece of body ?? []) {
    length += piece.length;
    if (length > limit) throw tooLarge();
    yield piece;
  }
  if (announced > length && status !== 304) {
    throw new HttpRefusal(new FsError("EIO", `${showUrl(url)}: only ${length} of ${announced} bytes arrived`), 0, null);
  }
}

/** A failure that a retry may fix. */
class HttpRefusal extends Error {
  readonly error: FsError;
  readonly status: number;
  readonly after: string | null;

  constructor(error: FsError, status: number, after: string | null) {
    super(error.message);
    this.error = error;
    this.status = status;
    this.after = after;
  }
}

interface FailedRequest {
  readonly error: FsError;
  readonly again: boolean;
  readonly after?: number;
}

function toFailure(error: unknown, url: URL): FailedRequest {
  if (error instanceof FsError) return { error, again: false };
  if (error instanceof HttpRefusal) {
    const seconds = Number(error.after ?? Number.NaN);
    const again = error.status === 0 || error.status === 429 || error.status >= 500;
    return { error: error.error, again, ...(Number.isFinite(seconds) && { after: seconds * 1000 }) };
  }
  const code = codeOf(error) ?? "";
  const message = error instanceof Error ? reasonOf(error.message) : String(error);
  const errno = /refused|reset|closed|resolve|unreachable|ENOTFOUND|FailedToOpenSocket|CERT/i.test(
    `${code} ${message}`,
  );
  return {
    error: new FsError(errno ? "EHOSTUNREACH" : "EIO", `${showUrl(url)}: ${message}`),
    again: !code.includes("CERT"),
  };
}

/** Without Bun's hints for programmers. */
function reasonOf(message: string): string {
  const [reason = ""] = message.split(/ fetching |\.? (?:For more information, pass|Is the computer able)/);
  return reason;
}
