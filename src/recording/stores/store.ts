/** Opens the store that `--recordings` names. */

import { describeThisProcess } from "../holder.ts";
import type { RecordingMode } from "../recorded-model.ts";
import type { Fault, Recording, RecordingStore } from "../recording.ts";
import { withFallback } from "./fallback.ts";
import { createFolderStore } from "./folder.ts";
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
}

/**
 * `redis://`, `rediss://`, `redis+unix://`, `s3://bucket/prefix`, or a folder. Opens no connection yet. Throws like
 * `schemeOf`.
 */
export async function openStore(location: string, options: OpenOptions): Promise<RecordingStore> {
  const { mode, local, warn, who = describeThisProcess, lookOnly = false } = options;
  const scheme = schemeOf(location);
  if (scheme === undefined) return createFolderStore(location, { warn, who });
  const shared = await openShared(scheme, location, options);
  if (mode !== "auto") return shared;
  return withFallback(shared, createFolderStore(local, { warn, who }), { warn, lookOnly });
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

async function openShared(
  scheme: "redis" | "s3",
  location: string,
  { warn, s3, who = describeThisProcess }: OpenOptions,
): Promise<RecordingStore> {
  if (scheme === "redis") {
    const { createRedisStore } = await import("./redis.ts");
    return createRedisStore(location, { warn, who });
  }
  const { createS3Store } = await import("./s3.ts");
  return createS3Store(location, { warn, who, ...s3 });
}

export interface PruneOptions {
  /** Keys that are still needed; every other recording is removed. */
  readonly keep: ReadonlySet<string>;
  /** Only report what would be removed. */
  readonly dryRun?: boolean;
}

/** What `prune` removed, or would remove. */
export interface Pruned {
  readonly recordings: readonly Recording[];
  readonly faults: readonly Fault[];
}

/**
 * Removes recordings that nothing needs, and anything that is not a recording, but nothing from another version of
 * llmfs.
 */
export async function prune(store: RecordingStore, { keep, dryRun = false }: PruneOptions): Promise<Pruned> {
  const recordings = (await store.list()).filter(({ key }) => !keep.has(key));
  const faults = ((await store.check?.()) ?? []).filter(({ foreign }) => foreign !== true);
  if (dryRun) return { recordings, faults };
  const { remove, discard } = store;
  if (remove === undefined) throw new Error(`${store.name} is read-only`);
  for (const { key } of recordings) await remove(key);
  for (const { name } of faults) await discard?.(name);
  return { recordings, faults };
}
