import { type ErrnoName, FsError, isErrnoName } from "../../errno.ts";

/** Across processes, an error keeps its name and its code; the code of any other error says nothing about the file. */
export function toFsError(error: unknown): FsError {
  if (error instanceof FsError) return error;
  if (!(error instanceof Error)) return new FsError("EIO", String(error), { cause: error });
  const chosen = (error.name === "FsError" || error.name === "HelperDied") && "code" in error;
  const code = chosen ? String(error.code) : "";
  const errno: ErrnoName = isErrnoName(code) ? code : "EIO";
  return new FsError(errno, error.message, { cause: error });
}
