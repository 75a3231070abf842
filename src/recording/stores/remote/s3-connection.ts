/**
 * Requests to S3, or any server with the same protocol, with the retries, credentials and clock correction of Amazon's
 * client. This file adds limits in time, conditions, and errors for people.
 */

import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { FetchHttpHandler } from "@smithy/fetch-http-handler";
import { memoizeSuccess, within } from "../../../abort.ts";
import { codeOf } from "../../../errno.ts";
import { TooLongError } from "../../../text/bounded-read.ts";
import { formatTimeSpan } from "../../../text/duration.ts";
import { Unreachable } from "../../recording.ts";
import type { S3Address } from "../address.ts";
import type { RemoteObject } from "./remote.ts";

export interface S3Settings {
  /** Absent: Amazon's own, chosen by the region. */
  readonly endpoint?: string;
  readonly region?: string;
  /** Absent: found where Amazon's tools look: profiles, roles, web identity, the machine. */
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
}

/** An object without its content. */
export interface ObjectHead {
  readonly etag: string;
  /** How old it is by the server's own clock; undefined if the server does not say what time it is. */
  readonly ageMs: number | undefined;
}

/** For writing. Neither: whatever is there is replaced. */
export type Condition = { readonly ifMatch?: string; readonly ifNoneMatch?: "*" };

export interface S3Connection {
  /** Undefined if there is none. Rejects with TooLongError. */
  read(key: string, most: number): Promise<{ readonly text: string; readonly ageMs: number | undefined } | undefined>;
  head(key: string): Promise<ObjectHead | undefined>;
  /** The new ETag; undefined if the condition does not hold. */
  write(key: string, text: string, condition?: Condition): Promise<string | undefined>;
  remove(key: string): Promise<void>;
  /** All objects with a prefix, or at most this many of them. */
  list(prefix: string, most?: number): Promise<readonly RemoteObject[]>;
  /** How long the slowest of the latest writes took, roughly. */
  readonly slowestWriteMs: number;
  close(): void;
}

/** As often as a request is sent: about 5 s if the server refuses each. */
const ATTEMPTS = 5;
/** Long texts get more time: as much as at this many characters per millisecond. */
const SLOWEST_LINK = 50;
/** How fast a slow write is forgotten: after some twenty faster ones. */
const FADING = 0.9;
const FALLBACK_REGION = "us-east-1";

export function connectS3({ bucket, name }: S3Address, settings: S3Settings, timeoutMs: number): S3Connection {
  const client = memoizeSuccess(() => createClient(settings, timeoutMs));

  /** Rejects with Unreachable, or with TooLongError. Undefined for a missing object. */
  async function ask<T>(
    work: (client: S3Client, options: { abortSignal: AbortSignal }) => Promise<T>,
    sent = 0,
  ): Promise<T | undefined> {
    const stop = new AbortController();
    const limit = timeoutMs + sent / SLOWEST_LINK;
    try {
      const answer = client().then((opened) => work(opened, { abortSignal: stop.signal }));
      return await within(limit, answer, () => new Error(`no answer within ${formatTimeSpan(Math.round(limit))}`));
    } catch (error) {
      stop.abort();
      if (isNamed(error, "NoSuchKey", "NotFound")) return undefined;
      if (error instanceof TooLongError) throw error;
      throw new Unreachable(`${name}: ${reasonOf(error)}`, { refused: isRefusal(error) });
    }
  }

  let slowestWriteMs = 0;

  return {
    get slowestWriteMs() {
      return slowestWriteMs;
    },
    async read(key, most) {
      const found = await ask(async (s3, options) => {
        const {
          Body,
          ContentLength = 0,
          LastModified,
          $metadata,
        } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }), options);
        if (ContentLength > most) throw new TooLongError(most);
        return { body: Body?.transformToWebStream(), ageMs: ageOf(LastModified, $metadata) };
      });
      if (found === undefined) return undefined;
      // A long object may take long, as long as it makes progress.
      const text = found.body === undefined ? "" : await textOf(found.body, most, ask);
      return { text, ageMs: found.ageMs };
    },
    head: (key) =>
      ask(async (s3, options) => {
        const { ETag, LastModified, $metadata } = await s3.send(
          new HeadObjectCommand({ Bucket: bucket, Key: key }),
          options,
        );
        if (!ETag) throw new Error("the server is not an S3 server: it sent no ETag");
        return { etag: ETag, ageMs: ageOf(LastModified, $metadata) };
      }),
    write: (key, text, { ifMatch, ifNoneMatch } = {}) =>
      ask(async (s3, options) => {
        const begun = performance.now();
        try {
          const { ETag } = await s3.send(
            new PutObjectCommand({
              Bucket: bucket,
              Key: key,
              Body: text,
              ContentType: "text/plain; charset=utf-8",
              ...(ifMatch && { IfMatch: ifMatch }),
              ...(ifNoneMatch && { IfNoneMatch: ifNoneMatch }),
            }),
            options,
          );
          return ETag ?? "";
        } catch (error) {
          // 409: another conditional write to the same object is under way.
          if ((ifMatch || ifNoneMatch) && [409, 412].includes(statusOf(error) ?? 0)) return undefined;
          throw error;
        } finally {
          slowestWriteMs = Math.max(slowestWriteMs * FADING, performance.now() - begun);
        }
      }, text.length),
    async remove(key) {
      await ask((s3, options) => s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }), options));
    },
    async list(prefix, most) {
      const found: RemoteObject[] = [];
      for (;;) {
        // The newer operation needs tokens that some servers cannot make.
        const last = found.at(-1);
        const from = {
          Bucket: bucket,
          Prefix: prefix,
          ...(last !== undefined && { Marker: last.name }),
          ...(most !== undefined && { MaxKeys: most }),
        };
        const page = await ask((s3, options) => s3.send(new ListObjectsCommand(from), options));
        if (page === undefined) throw new Unreachable(`${name}: there is no such bucket`, { refused: true });
        const objects = page.Contents ?? [];
        for (const { Key, LastModified } of objects) {
          if (Key !== undefined) found.push({ name: Key, age: ageOf(LastModified, page.$metadata) });
        }
        const enough = most !== undefined && found.length >= most;
        if (page.IsTruncated !== true || objects.length === 0 || enough) return found;
      }
    },
    close() {
      client().then(
        (opened) => opened.destroy(),
        () => {},
      );
    },
  };
}

/** By the metadata of an answer: the time of the server that sent it. */
const serverTimes = new WeakMap<object, number>();

/** In milliseconds, by the server's clock. */
function ageOf(changed: Date | undefined, answer: object): number | undefined {
  const now = serverTimes.get(answer);
  return now === undefined || changed === undefined ? undefined : now - changed.getTime();
}

async function createClient(settings: S3Settings, timeoutMs: number): Promise<S3Client> {
  const { endpoint, region, accessKeyId, secretAccessKey, sessionToken } = settings;
  const config: S3ClientConfig = {
    ...(endpoint && { endpoint }),
    ...(region && { region }),
    ...(accessKeyId &&
      secretAccessKey && { credentials: { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) } }),
    // Every server knows this style, and every bucket name works with it.
    forcePathStyle: true,
    followRegionRedirects: true,
    maxAttempts: ATTEMPTS,
    // Servers other than Amazon's do not know the newer checksums.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // The platform's own fetch knows HTTP_PROXY and NODE_EXTRA_CA_CERTS.
    requestHandler: new FetchHttpHandler({ keepAlive: true, customFetch: fetchWithin(timeoutMs / 2) }),
  };
  const client = new S3Client(config);
  try {
    await client.config.region();
    return noteServerTime(client);
  } catch {
    return noteServerTime(new S3Client({ ...config, region: FALLBACK_REGION }));
  }
}

/** Notes the time of the server. */
function noteServerTime(client: S3Client): S3Client {
  client.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const { response } = result;
      const date = isRecord(response) && isRecord(response.headers) ? response.headers.date : undefined;
      const now = typeof date === "string" ? Date.parse(date) : Number.NaN;
      const output: unknown = result.output;
      if (!Number.isNaN(now) && isRecord(output) && isRecord(output.$metadata)) serverTimes.set(output.$metadata, now);
      return result;
    },
    { step: "deserialize", priority: "high", name: "llmfsServerTime" },
  );
  return client;
}

/** Limits the wait for the headers of an answer, and names failures as Amazon's client knows them, so that it retries. */
function fetchWithin(ms: number): typeof fetch {
  const fetchInTime = async (input: Request | string | URL, init?: RequestInit): Promise<Response> => {
    const stop = new AbortController();
    const sent = Number(input instanceof Request ? input.headers.get("content-length") : 0);
    const timer = setTimeout(() => stop.abort(), ms + sent / SLOWEST_LINK);
    const given = init?.signal ?? (input instanceof Request ? input.signal : undefined);
    try {
      const signal = given ? AbortSignal.any([given, stop.signal]) : stop.signal;
      return await fetch(input, { ...init, signal });
    } catch (error) {
      if (given?.aborted) throw error;
      const message = stop.signal.aborted ? `no answer within ${formatTimeSpan(ms)}` : explainLoss(error);
      throw Object.assign(new Error(message, { cause: error }), { name: "TimeoutError" });
    } finally {
      clearTimeout(timer);
    }
  };
  return Object.assign(fetchInTime, { preconnect: fetch.preconnect });
}

/** Reads piece by piece, up to a maximum length; `ask` limits the wait for each piece. */
async function textOf(
  stream: ReadableStream<Uint8Array>,
  most: number,
  ask: <T>(work: () => Promise<T>) => Promise<T | undefined>,
): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = stream.getReader();
  try {
    for (;;) {
      const next = await ask(() => reader.read());
      if (next?.value === undefined) return Buffer.concat(pieces).toString("utf8");
      length += next.value.length;
      if (length > most) throw new TooLongError(most);
      pieces.push(next.value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function explainLoss(error: unknown): string {
  const code = codeOf(error);
  if (code === "ConnectionRefused" || code === "ECONNREFUSED") return "connection refused; is the server running?";
  return error instanceof Error ? `${error.message}${code === undefined ? "" : ` (${code})`}` : String(error);
}

/** The server answered, and waiting does not help. */
function isRefusal(error: unknown): boolean {
  if (isNamed(error, "CredentialsProviderError")) return true;
  const status = statusOf(error);
  if (status === undefined || status === 408 || status === 429) return false;
  // 501: not implemented. 507: full.
  return status === 501 || status === 507 || (status >= 300 && status < 500);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (isNamed(error, "CredentialsProviderError")) {
    return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this machine a role";
  }
  const status = statusOf(error);
  const detail = status === undefined ? "" : ` (${error.name}, status ${status})`;
  return `${error.message}${detail}`;
}

function isNamed(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof Error && names.includes(error.name);
}

function statusOf(error: unknown): number | undefined {
  if (!isRecord(error) || !isRecord(error.$metadata)) return undefined;
  return typeof error.$metadata.httpStatusCode === "number" ? error.$metadata.httpStatusCode : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
