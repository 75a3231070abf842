/**
 * Writes a file whole or not at all: beside it, then in its place. Whatever goes wrong, what was there before is there
 * still, and nothing else.
 */
import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { chmod, chown, lstat, open, readlink, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { codeOf } from "../errno.ts";
import { SnapshotError } from "./problem.ts";

const MAX_SYMLINKS = 40;

/**
 * Writes `chunks` to `path`. A file that is there keeps its mode and its owner; a symlink is followed, also where its
 * target does not exist yet; a device, fifo or socket (/dev/stdout) is written to as it is, since it can't be replaced.
 *
 * Rejects with SnapshotError that names `path`; with the error of `chunks` itself where that is what failed.
 */
export async function writeAtomically(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const target = await attempt(path, "cannot be found", () => followed(path));
  const there = await attempt(path, "cannot be looked at", () => existing(target));
  if (there?.isDirectory() === true)
    throw new SnapshotError({ source: path }, "is a directory", "name a file to write to");
  if (there !== undefined && !there.isFile()) return writeInto(path, target, chunks);

  const temporary = join(dirname(target), `.${basename(target).slice(0, 100)}.${randomBytes(6).toString("hex")}.tmp`);
  await attempt(path, "cannot be written", () => writeNew(path, temporary, there?.mode, chunks));
  try {
    await attempt(path, "cannot be written", async () => {
      if (there !== undefined) await keepOwner(temporary, there);
      await rename(temporary, target);
    });
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(target));
}

/** The file is on the disk when this resolves, and gone when it rejects. */
async function writeNew(
  path: string,
  temporary: string,
  mode: number | undefined,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  await using file = await open(temporary, "wx", mode === undefined ? 0o666 : mode & 0o777);
  try {
    await pour(path, file, chunks);
    await attempt(path, "cannot be written", () => file.sync());
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
}

async function writeInto(path: string, target: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await attempt(path, "cannot be opened", () => open(target, "w"));
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

/** The open mode is cut by the umask, and root may write what another owns: both are put right. */
async function keepOwner(temporary: string, there: Stats): Promise<void> {
  const made = await stat(temporary);
  if (made.uid !== there.uid || made.gid !== there.gid) await chown(temporary, there.uid, there.gid).catch(() => {});
  await chmod(temporary, there.mode & 0o7777);
}

/** Where symlinks lead in the end, whether or not anything is there. */
async function followed(path: string): Promise<string> {
  let at = resolve(path);
  for (let links = 0; links <= MAX_SYMLINKS; links++) {
    const found = await missingAsUndefined(lstat(at));
    if (found?.isSymbolicLink() !== true) return at;
    // A link of /proc (/dev/stdout) leads to what its text does not name; such are written to, not replaced.
    if ((await missingAsUndefined(stat(at)))?.isFile() === false) return at;
    at = resolve(dirname(at), await readlink(at));
  }
  throw new Error("too many symbolic links");
}

function existing(path: string): Promise<Stats | undefined> {
  return missingAsUndefined(stat(path));
}

async function missingAsUndefined<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
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
    const code = codeOf(error);
    // Not a system call's: what the tree itself could not give.
    if (code === undefined || !(error instanceof Error && "syscall" in error)) throw error;
    throw new SnapshotError({ source: path }, `${failed}: ${reason(code, error)}`, CURES.get(code), { cause: error });
  }
}

const CURES = new Map([
  ["ENOSPC", "what was there is untouched; free some space, or save elsewhere"],
  ["EDQUOT", "what was there is untouched; your quota is used up, save elsewhere"],
  ["EACCES", "save where you may write: the directory must be writable too"],
  ["EPERM", "save where you may write: the directory must be writable too"],
  ["EROFS", "save elsewhere"],
  ["ENOENT", "make the directory first"],
]);

function reason(code: string, error: unknown): string {
  return code === "ENOSPC" ? "no space left on the device (ENOSPC)" : error instanceof Error ? error.message : code;
}
