/**
 * Writes a file whole or not at all: beside it, then in its place. Whatever goes wrong, what was there before is there
 * still, and nothing else.
 */
import type { Stats } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf } from "../../errno.ts";
import { SnapshotError } from "../error.ts";
import { RefusedDestination, resolveDestination } from "./destination.ts";
import { clearLeftOver, createBeside } from "./temporary.ts";

/**
 * Writes `chunks` to `path`. A new file can be read by its owner only, as a tree may hold anything; a file that is there
 * keeps its mode and its owner. destination.ts says which symlinks are followed. A device, fifo or socket (/dev/stdout)
 * is written to as it is, since it cannot be replaced.
 *
 * Rejects with SnapshotError that names `path`; with the error of `chunks` itself where that is what failed.
 */
export async function writeAtomically(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const place = await attempt(path, "cannot be written", () => resolveDestination(path));
  if (place.kind === "into") return writeInto(path, place.path, "w", chunks);
  if (place.kind === "append") return writeInto(path, place.path, "a", chunks);
  await clearLeftOver(place.path);
  await using temporary = await attempt(path, "cannot be written", () => createBeside(place.path));
  await pour(path, temporary.file, chunks);
  await attempt(path, "cannot be written", async () => {
    await temporary.file.sync();
    if (place.kind === "replace") await keepOwner(temporary.file, place.there);
    await rename(temporary.path, place.path);
  });
  await syncDirectory(dirname(place.path));
}

async function writeInto(
  path: string,
  target: string,
  flags: "w" | "a",
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const file = await attempt(path, "cannot be opened", () => open(target, flags));
  try {
    await pour(path, file, chunks);
  } finally {
    await file.close();
  }
}

interface Sink {
  write(bytes: Uint8Array): Promise<{ readonly bytesWritten: number }>;
}

async function pour(path: string, file: Sink, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of chunks)
    for (let rest = chunk; rest.length > 0; ) {
      const { bytesWritten } = await attempt(path, "cannot be written", () => file.write(rest));
      rest = rest.subarray(bytesWritten);
    }
}

/** Root may write what another owns. The group first: who is not root can give the file to a group of his at most. */
async function keepOwner(file: FileHandle, there: Stats): Promise<void> {
  const made = await file.stat();
  if (made.gid !== there.gid) await file.chown(made.uid, there.gid).catch(() => {});
  if (made.uid !== there.uid) await file.chown(there.uid, there.gid).catch(() => {});
  await file.chmod(there.mode & 0o7777);
}

/** The rename is on the disk too. Some filesystems can't say so, which is no failure of ours. */
async function syncDirectory(path: string): Promise<void> {
  try {
    await using directory = await open(path, "r");
    await directory.sync();
  } catch {}
}

async function attempt<T>(path: string, failed: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof RefusedDestination) throw new SnapshotError({ source: path }, error.message, error.cure);
    const code = codeOf(error);
    // Not a system call's: what the tree itself could not give.
    if (code === undefined || !(error instanceof Error && "syscall" in error)) throw error;
    throw new SnapshotError({ source: path }, `${failed}: ${explainReason(code, error)}`, CURES.get(code), {
      cause: error,
    });
  }
}

const CURES = new Map([
  ["ENOSPC", "what was there is untouched; free some space, or save elsewhere"],
  ["EDQUOT", "what was there is untouched; your quota is used up, save elsewhere"],
  ["EACCES", "save where you may write: the directory must be writable too"],
  ["EPERM", "save where you may write: the directory must be writable too"],
  ["EFBIG", "what was there is untouched; raise the limit to the size of files (ulimit -f)"],
  ["EROFS", "save elsewhere"],
  ["ENOENT", "make the directory first"],
]);

function explainReason(code: string, error: unknown): string {
  if (code === "ENOSPC") return "no space left on the device (ENOSPC)";
  if (code === "EFBIG")
    return "it is larger than the limit to the size of files (ulimit -f) of the process that writes (EFBIG)";
  return error instanceof Error ? error.message : code;
}
