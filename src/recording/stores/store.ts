/** Opens the store that `--recordings` names. */

import { describeThisProcess } from "../holder.ts";
import type { RecordingMode } from "../recorded-model.ts";
import type { RecordingStore } from "../recording.ts";
import { createSigner } from "../signature.ts";
import { schemeOf } from "./address.ts";
import { withFallback } from "./fallback.ts";
import { createFolderStore } from "./folder.ts";
import type { RemoteOptions } from "./remote/remote.ts";
import type { S3Settings } from "./remote/s3-connection.ts";

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
 * An address as in address.ts, or a folder. Opens no connection yet. Throws like
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

async function openShared(
  scheme: "redis" | "s3",
  location: string,
  options: RemoteOptions,
  s3: S3Settings | undefined,
): Promise<RecordingStore> {
  if (scheme === "redis") {
    const { createRedisStore } = await import("./remote/redis.ts");
    return createRedisStore(location, options);
  }
  const { createS3Store } = await import("./remote/s3.ts");
  return createS3Store(location, { ...options, ...s3 });
}
