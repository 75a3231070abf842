/**
 * Writes a file atomically: to a temporary file next to it, which then replaces it. If anything fails, the previous
 * file is unchanged and nothing else is left behind.
 */
import type { Stats } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf, readCall } from "../../errno.ts";
import { SnapshotError } from "../error.ts";
import { RefusedDestination, resolveDestination } from "./destination.ts";
import { clearLeftOver, createBeside } from "./temporary.ts";

/**
 * Writes `chunks` to `path`. A new file can be read by its owner only, since a tree may contain anything; an existing
 * file keeps its mode and its owner. destination.ts decides which symlinks are followed. A device, fifo or socket
 * (/dev/stdout) is written to directly, since it cannot be replaced.
 *
 * Rejects with a SnapshotError that names `path`, or with the error of `chunks` itself if that failed.
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

/**
 * Root may write a file of another owner. Set the group first: other users can only give the file to one of their
 * groups.
 */
async function keepOwner(file: FileHandle, there: Stats): Promise<void> {
  const made = await file.stat();
  if (made.gid !== there.gid) await file.chown(made.uid, there.gid).catch(() => {});
  if (made.uid !== there.uid) await file.chown(there.uid, there.gid).catch(() => {});
  await file.chmod(there.mode & 0o7777);
}

/** Makes the rename durable. Some filesystems do not support this, which is not a failure. */
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
    // This is not the error of a system call: the tree itself failed to deliver its data.
    if (code === undefined || !(error instanceof Error && "syscall" in error)) throw error;
    throw new SnapshotError({ source: path }, `${failed}: ${explainReason(code, error)}`, CURES.get(code), {
      cause: error,
    });
  }
}

const CURES = new Map([
  ["ENOSPC", "the existing file is unchanged; free some space or save elsewhere"],
  ["EDQUOT", "your disk quota is used up and the existing file is unchanged; save elsewhere"],
  ["EACCES", "choose a directory that you can write to"],
  ["EPERM", "choose a directory that you can write to"],
  ["EFBIG", "the existing file is unchanged; raise the file size limit (ulimit -f)"],
  ["EROFS", "save elsewhere"],
  ["ENOENT", "create the directory first"],
]);

function explainReason(code: string, error: unknown): string {
  if (code === "ENOSPC") return "no space left on the device (ENOSPC)";
  if (code === "EFBIG") return "it exceeds the file size limit (ulimit -f) of the writing process (EFBIG)";
  return readCall(error)?.reason ?? (error instanceof Error ? error.message : code);
}
