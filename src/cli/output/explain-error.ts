/** Turns any error into a message for the user and an exit status. */

import { type FailureKind, UserError } from "../../app/errors.ts";
import { FsError, messageOf } from "../../errno.ts";
import { MountError, type MountFailure } from "../../fuse/mounting/unmount.ts";
import { LlmError, type LlmErrorKind } from "../../llm/llm.ts";
import { MountFailed } from "../process/launcher.ts";
import { Interrupted } from "../process/signals.ts";
import { EXIT, type Explanation } from "./exit-codes.ts";

const OF_MOUNT = {
  "no-device": "fuse",
  "not-permitted": "fuse",
  "no-helper": "fuse",
  "bad-mountpoint": "mountpoint",
  busy: "busy",
  failed: "fuse",
} satisfies Record<MountFailure, FailureKind>;

const OF_MODEL = {
  unconfigured: "model",
  "refused-key": "model",
  "no-connection": "model",
  timeout: "model",
  "rate-limited": "model",
  recordings: "recordings",
  quota: "model",
  server: "model",
  "bad-request": "model",
  refusal: "answer",
  truncated: "answer",
  empty: "answer",
  unusable: "answer",
  cancelled: "failure",
  unrecorded: "unrecorded",
} satisfies Record<LlmErrorKind, FailureKind>;

/** The kind of failure that a mount reported as this kind of a model's failure. */
export function failureOfModel(kind: string | undefined): FailureKind | undefined {
  return Object.entries(OF_MODEL).find(([name]) => name === kind)?.[1];
}

export function explain(error: unknown): Explanation {
  if (error instanceof Interrupted) return { status: error.status };
  if (error instanceof MountFailed) return error.explanation;
  const exit = exitOf(error);
  if (exit !== undefined) return { status: EXIT[exit].code, message: messageOf(error) };
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { status: EXIT.failure.code, message: `this is a bug: ${stack}` };
}

/** Undefined for a bug in llmfs, which the user cannot fix. */
function exitOf(error: unknown): FailureKind | undefined {
  if (error instanceof UserError) return isNativeCodeError(error.cause) ? "fuse" : error.exit;
  if (error instanceof MountError) return OF_MOUNT[error.reason];
  if (error instanceof LlmError) return OF_MODEL[error.kind];
  if (error instanceof FsError) return "failure";
  // Compared by name, because an error from the filesystem thread is a copy without its class.
  if (error instanceof Error && STARTING_TREE_ERRORS.includes(error.name)) return "snapshot";
  if (isNativeCodeError(error)) return "fuse";
  return undefined;
}

const STARTING_TREE_ERRORS = ["SnapshotError", "DirectoryCopyError"];

/** Compared by name for the same reason. */
function isNativeCodeError(error: unknown): boolean {
  return error instanceof Error && error.name === "NativeCodeError";
}
