/** Opens the store that `--recordings` names. */

import { describeThisProcess } from "../holder.ts";
import type { RecordingMode } from "../recorded-model.ts";
import type { RecordingStore } from "../recording.ts";
import { createSigner } from "../signature.ts";
import { withFallback } from "./fallback.ts";
import { createFolderStore } from "./folder.ts";
import type { RemoteOptions } from "./remote.ts";
import type { S3Settings } from "./s3.ts";

export interface OpenOptions {
  /** In `auto`, the local store replaces a shared one that is down; in every other mode that is an error. */
  readonly mode: RecordingMode;
  /** The folder of the user's own recordings: see `defaultRecordings`. */
  readonly local: string;
  readonly warn: (message: string) => void;
  /** For commands that only read: see FallbackOptions. */
  readonly lookOnly?: boolean;
  /** For s3://. The caller passes all settings: nothing here reads the environment. */
  readonly s3?: S3Settings;
  /** Describes this process to others that wait for its answer. */
  readonly who?: () => string;
  /** Keys that sign recordings, the current one first: see signature.ts. */
  readonly keys?: readonly string[];
}

/**
 * `redis://`, `rediss://`, `redis+unix://`, `s3://bucket/prefix`, or a folder. Opens no connection yet. Throws like
 * `schemeOf`.
 */
export async function openStore(location: string, options: OpenOptions): Promise<RecordingStore> {
  const { mode, local, warn, who = describeThisProcess, lookOnly = false } = options;
  const signed = options.keys === undefined || options.keys.length === 0 ? {} : { signer: createSigner(options.keys) };
  const scheme = schemeOf(location);
  if (scheme === undefined) return createFolderStore(location, { warn, who, ...signed });
  const remote: RemoteOptions = { warn, who, ...signed };
  const shared = await openShared(scheme, location, remote, options.s3);
  if (mode !== "auto") return shared;
  return withFallback(shared, createFolderStore(local, { warn, who, ...signed }), { warn, lookOnly });
}

/** The scheme of a shared store's URL; undefined for a folder. Throws an Error for people for any other URL. */
export function schemeOf(location: string): "redis" | "s3" | undefined {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(location)?.[1]?.toLowerCase();
  if (scheme === undefined) return undefined;
  if (!URL.canParse(location)) throw new Error(`not a URL (it begins with ${scheme}://)`);
  if (/^(redis|rediss|redis\+unix|redis\+tls|valkey|valkeys)$/.test(scheme)) return "redis";
  if (scheme !== "s3") throw new Error(`${scheme}:// is not supported; use a folder, redis:// or s3://`);
  if (new URL(location).host === "") throw new Error("s3://: the bucket name is missing; write s3://BUCKET/PREFIX");
  return scheme;
}

/**
 * Whether the place can be expected to belong to whoever names it: a folder, or a prefix of a shared store other than the
 * one that everybody gets who names none.
 */
export function hasOwnPrefix(location: string): boolean {
  const scheme = schemeOf(location);
  if (scheme === undefined) return true;
  const { searchParams, pathname } = new URL(location);
  if (scheme === "s3") return pathname.replaceAll("/", "") !== "";
  const prefix = searchParams.get("prefix") ?? "";
  return prefix !== "" && prefix !== DEFAULT_PREFIX;
}

/** The prefix of keys on Redis if the URL names none. */
const DEFAULT_PREFIX = "llmfs";

async function openShared(
  scheme: "redis" | "s3",
  location: string,
  options: RemoteOptions,
  s3: S3Settings | undefined,
): Promise<RecordingStore> {
  if (scheme === "redis") {
    const { createRedisStore } = await import("./redis.ts");
    return createRedisStore(location, options);
  }
  const { createS3Store } = await import("./s3.ts");
  return createS3Store(location, { ...options, ...s3 });
}
