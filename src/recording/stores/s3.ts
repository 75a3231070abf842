/**
 * Recordings on S3, or any server with the same protocol, for a fleet.
 *
 * Objects: `<prefix>/recordings/<key>.txt` holds the text of record.ts; `<prefix>/claims/<key>` belongs to the process
 * that is generating that answer. The holder of a claim rewrites it every few seconds; a claim that has not changed for
 * a while, by the observer's own clock, is dead. So clocks of different machines are never compared.
 */

import { S3Client } from "bun";
import { pause, within } from "../../abort.ts";
import { codeOf } from "../../errno.ts";
import { TooLongError } from "../../text/bounded-read.ts";
import { withoutTrailing } from "../../text/trailing.ts";
import { describeThisProcess, holderIn, LONGEST_TOKEN } from "../holder.ts";
import { LONGEST_RECORDING } from "../record.ts";
import type { Claim, RecordingStore } from "../recording.ts";
import { createRemoteStore, type RemoteObject, type RemoteObjects, type RemoteOptions, Unreachable } from "./remote.ts";

export interface S3Settings {
  /** Absent: Amazon's own, chosen by the region. */
  readonly endpoint?: string;
  readonly region?: string;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
}

export type S3Options = S3Settings & RemoteOptions;

/** The number of parallel reads when everything is listed. */
const PARALLEL = 16;
/** On a server that ignores conditions: how long to wait before checking whose claim was stored. */
const SETTLE_MS = 200;

/** `url` is `s3://bucket/prefix`. */
export function createS3Store(url: string, options: S3Options = {}): RecordingStore {
  const { warn, signer, who = describeThisProcess, claimMs = 30_000, timeoutMs = 15_000, ...settings } = options;
  const parsed = new URL(url);
  const prefix = decodeURIComponent(parsed.pathname).replace(/^\/+|\/+$/g, "");
  const name = withoutTrailing(url, "/");
  const at = (path: string) => (prefix === "" ? path : `${prefix}/${path}`);
  const client = new S3Client({ bucket: parsed.host, ...settings });
  const claims = new Claims(client, (key) => at(`claims/${key}`), claimMs, who);

  function asked<T>(work: () => Promise<T>): Promise<T> {
    return withTimeout(name, timeoutMs, () => retryBusy(work));
  }

  /** A list has no object that could be missing. */
  function named(error: unknown): never {
    throw isMissing(error) ? new Error(`${name}: ${reasonOf(error)}`) : error;
  }

  const objects: RemoteObjects = {
    name,
    parallel: PARALLEL,
    nameOf: (key) => at(`recordings/${key}.txt`),
    async read(object) {
      try {
        return await asked(() => textOf(client.file(object)));
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    },
    async write(object, text) {
      await asked(() => client.write(object, text, { type: "text/plain; charset=utf-8" }));
    },
    async remove(object) {
      await asked(() => client.delete(object));
    },
    async list() {
      const found: RemoteObject[] = [];
      let startAfter: string | undefined;
      for (;;) {
        const page = await asked(() =>
          client.list({ prefix: at("recordings/"), ...(startAfter && { startAfter }) }).catch(named),
        );
        for (const { key, lastModified } of page.contents ?? []) {
          found.push({ name: key, ...(lastModified && { age: Date.now() - Date.parse(lastModified) }) });
        }
        startAfter = found.at(-1)?.name;
        if (!page.isTruncated || startAfter === undefined) return found;
      }
    },
    claim: (key) => asked(() => claims.take(key)),
    holder: (key) => asked(() => claims.holder(key)),
  };
  return createRemoteStore(objects, { ...(warn && { warn }), ...(signer && { signer }) });
}

/** Reads piece by piece, up to the maximum length of a recording. */
async function textOf(file: Bun.S3File): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of file.stream()) {
    length += piece.length;
    if (length > LONGEST_RECORDING) throw new TooLongError(LONGEST_RECORDING);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

class Claims {
  readonly #client: S3Client;
  readonly #place: (key: string) => string;
  readonly #claimMs: number;
  readonly #who: () => string;
  /** Claims of others, with the time when we first saw their current version. */
  readonly #seen = new Map<string, { readonly etag: string; readonly since: number }>();
  /** Whether the server honours If-None-Match on a write; undefined until that is known. */
  #conditional: boolean | undefined;

  constructor(client: S3Client, place: (key: string) => string, claimMs: number, who: () => string) {
    this.#who = who;
    this.#client = client;
    this.#place = place;
    this.#claimMs = claimMs;
  }

  async take(key: string): Promise<Claim | undefined> {
    const place = this.#place(key);
    const standing = await this.#etag(place);
    if (standing !== undefined && !this.#isDead(key, standing)) return undefined;
    const token = `${crypto.randomUUID()} ${this.#who()}`;
    const condition = standing === undefined ? { "if-none-match": "*" } : { "if-match": standing };
    if (!(await this.#write(place, token, condition))) return undefined;
    this.#conditional ??= !(await this.#write(place, token, { "if-none-match": "*" }));
    if (!this.#conditional) {
      await pause(SETTLE_MS);
      if ((await this.#client.file(place).text()) !== token) return undefined;
    }
    this.#seen.delete(key);
    return this.#hold(place, token);
  }

  /** The holder, in words. */
  async holder(key: string): Promise<string | undefined> {
    try {
      return holderIn(await this.#client.file(this.#place(key)).slice(0, LONGEST_TOKEN).text());
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  #hold(place: string, token: string): Claim {
    let beat = 0;
    let renewed: Promise<unknown> = Promise.resolve();
    const renew = () => {
      beat += 1;
      renewed = this.#client.write(place, `${token}\n${beat}`).catch(() => {});
    };
    const timer = setInterval(renew, this.#claimMs / 3);
    return {
      [Symbol.asyncDispose]: async () => {
        clearInterval(timer);
        // A renewal that is still in flight would bring the claim back.
        await renewed;
        // If it cannot be dropped, others will notice that it no longer changes.
        await this.#client.delete(place).catch(() => {});
      },
    };
  }

  #isDead(key: string, etag: string): boolean {
    const seen = this.#seen.get(key);
    if (seen?.etag === etag) return performance.now() - seen.since > this.#claimMs;
    this.#seen.set(key, { etag, since: performance.now() });
    return false;
  }

  async #etag(place: string): Promise<string | undefined> {
    try {
      const { etag } = await this.#client.stat(place);
      if (!etag) throw new Error("the server is not an S3 server: it sent no ETag");
      return etag;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /**
   * Bun's client sends no conditions, but a signed URL accepts any header that was not signed. False: the condition
   * failed.
   */
  async #write(place: string, body: string, condition: Record<string, string>): Promise<boolean> {
    const url = this.#client.presign(place, { method: "PUT", expiresIn: 60 });
    const response = await fetch(url, { method: "PUT", body, headers: condition });
    if (response.ok) return true;
    if (response.status === 412 || response.status === 409 || response.status === 404) return false;
    throw new Error(`a claim could not be written: status ${response.status}`);
  }
}

function isMissing(error: unknown): boolean {
  return ["NoSuchKey", "NotFound"].includes(codeOf(error) ?? "");
}

/** How often to retry when a server is temporarily unable, as S3 is under load, and how long to wait. */
const ATTEMPTS = 4;
const BUSY_MS = 150;
const BUSY = new Set(["InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout", "ConnectionClosed"]);

async function retryBusy<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS || !BUSY.has(codeOf(error) ?? "")) throw error;
      await pause(BUSY_MS * 2 ** attempt * (0.5 + Math.random() / 2));
    }
  }
}

async function withTimeout<T>(name: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  try {
    return await within(timeoutMs, work(), () => new Error(`${name}: no answer within ${timeoutMs / 1000} s`));
  } catch (error) {
    if (isMissing(error) || error instanceof TooLongError) throw error;
    throw new Unreachable(
      error instanceof Error && error.message.startsWith(name) ? error.message : `${name}: ${reasonOf(error)}`,
    );
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = codeOf(error);
  if (code === "ERR_S3_MISSING_CREDENTIALS") return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
  // Bun reports "an unexpected error has occurred" and puts the reason into the code.
  return code === undefined ? error.message : `${error.message} (${code})`;
}
