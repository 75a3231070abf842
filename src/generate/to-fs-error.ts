/** Turns the error of a failed generation into an errno for readers. Keeps the message for users. */
import { type ErrnoName, FsError, isErrnoName } from "../errno.ts";
import { LlmError, type LlmErrorKind } from "../llm/llm.ts";

const ERRNO_OF: Record<LlmErrorKind, ErrnoName> = {
  unconfigured: "EIO",
  "refused-key": "EACCES",
  "no-connection": "EHOSTUNREACH",
  timeout: "ETIMEDOUT",
  "rate-limited": "EBUSY",
  recordings: "EIO",
  quota: "EDQUOT",
  server: "EIO",
  "bad-request": "EIO",
  refusal: "EIO",
  truncated: "EIO",
  empty: "EIO",
  unusable: "EIO",
  cancelled: "EINTR",
  unrecorded: "EIO",
};

/**
 * `origin` names the file and the generator. A generator can choose the errno by throwing an error with the name "FsError"
 * and an errno's name as its code. It need not be our class, because a user's module cannot import that.
 */
export function toFsError(error: unknown, origin: string): FsError {
  if (error instanceof FsError) return error;
  if (error instanceof LlmError) return new FsError(ERRNO_OF[error.kind], error.message, { cause: error });
  if (error instanceof Error) {
    const code: unknown = "code" in error ? error.code : undefined;
    const chosen = error.name === "FsError" && typeof code === "string" && isErrnoName(code);
    return new FsError(chosen ? code : "EIO", `${origin} failed: ${error.message}`, { cause: error });
  }
  return new FsError("EIO", `${origin} failed: ${String(error)}`, { cause: error });
}
