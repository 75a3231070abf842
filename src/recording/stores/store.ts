/** Opens the store that `--recordings` names. */

import { describeThisProcess } from "../holder.ts";
import type { RecordingMode } from "../recorded-model.ts";
import type { RecordingStore } from "../recording.ts";
import { createSigner } from "../signature.ts";
import { schemeOf } from "./address.ts";
import { createFolderStore } from "./folder.ts";
import type { RemoteOptions } from "./remote/remote.ts";
import type { S3Settings } from "./remote/s3-connection.ts";
import { createSharedStore } from "./shared.ts";

export interface OpenOptions {
  /** In `auto`, the local store replaces a shared one that is down; in every other mode that is an error. */
  readonly mode: RecordingMode;
  /** The folder of the user's own recordings: see `defaultRecordings`. */
  readonly local: string;
  readonly warn: (message: string) => void;
  /** For commands that only read: see SharedOptions. */
  readonly lookOnly?: boolean;
  /** In `auto` too, nothing is answered without the shared store. */
  readonly required?: boolean;
  /** A shared store that refuses requests is replaced by the local one: see SharedOptions. */
  readonly alone?: boolean;
  /** Wait for a shared store that does not answer. */
  readonly patient?: boolean;
  /** The time limit of an answer: see --timeout. */
  readonly timeoutMs?: number | undefined;
  /** For s3://. The caller passes all settings: nothing here reads the environment. */
  readonly s3?: S3Settings;
  /** Describes this process to others that wait for its answer. */
  readonly who?: () => string;
  /** Called whenever the store's `health` may have changed. */
  readonly onChange?: () => void;
  /** Keys that sign recordings, the current one first: see signature.ts. */
  readonly keys?: readonly string[];
}

/**
 * An address as in address.ts, or a folder. Opens no connection yet. Throws like
 * `schemeOf`.
 */
export async function openStore(location: string, options: OpenOptions): Promise<RecordingStore> {
  const { mode, local, warn, who = describeThisProcess, lookOnly = false } = options;
  const { required = false, alone = false, patient = false, timeoutMs, onChange = () => {} } = options;
  const signed = options.keys === undefined || options.keys.length === 0 ? {} : { signer: createSigner(options.keys) };
  const scheme = schemeOf(location);
  if (scheme === undefined) return createFolderStore(location, { warn, who, ...signed });
  const remote: RemoteOptions = {
    warn,
    who,
    ...signed,
    ...(timeoutMs !== undefined && { timeoutMs: Math.min(REQUEST_MS, timeoutMs / WAITS) }),
  };
  const shared = await openShared(scheme, location, remote, options.s3);
  if (mode !== "auto" && !patient) return shared;
  const limit = timeoutMs === undefined ? Number.POSITIVE_INFINITY : timeoutMs / WAITS;
  const waits = patient ? { lostMs: Math.min(LOST_MS, limit), absentMs: Math.min(ABSENT_MS, limit) } : NO_WAITS;
  if (mode !== "auto") {
    return createSharedStore(shared, { warn, lookOnly: mode === "replay", ...waits, absentMs: 0, onChange });
  }
  const own = createFolderStore(local, { warn, who, ...signed });
  return createSharedStore(shared, { local: own, warn, lookOnly, required, alone, ...waits, onChange });
}

/** How long a request to the store may take. */
const REQUEST_MS = 15_000;
/** How long to wait for a store that does not answer: if it has answered before, and if it has not. */
const LOST_MS = 60_000;
const ABSENT_MS = 30_000;
const NO_WAITS = { lostMs: 0, absentMs: 0 };
/** A request to the model may wait for an answer of the store, for its return, and then for the answer of the model. */
const WAITS = 3;

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
