/**
 * Lets one process at a time read, change and replace a file, so that no change is lost between two commands.
 *
 * The lock is on the file itself, and the kernel releases it when the process ends. The file is replaced under the lock, so
 * who gets the lock afterwards has the old file, and must open the new one.
 */
import { type FileHandle, open, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf, ERRNO } from "../../errno.ts";
import { lockRange } from "../../libc.ts";

const RETRY_MS = 10;
/** How long to wait before `waiting` is called. */
const QUIET_MS = 1000;

/**
 * Resolves when no other process holds the file. Rejects with the error of open(2): the file must be writable. A file that
 * does not exist is not held. `waiting` is called once if another process holds it for longer.
 */
export async function holdFile(path: string, waiting: () => void): Promise<AsyncDisposable> {
  let patience: number | undefined = Math.ceil(QUIET_MS / RETRY_MS);
  for (;;) {
    const file = await openIfThere(path);
    if (file === undefined) return { async [Symbol.asyncDispose]() {} };
    const result = lockRange(file.fd, 0n, 0n, true);
    const taken = result === -ERRNO.EAGAIN || result === -ERRNO.EACCES;
    // Without locks, as on some network filesystems, go on without one.
    if (!taken && (await isStill(path, file))) return file;
    await file.close();
    if (!taken) continue;
    if (patience !== undefined && --patience === 0) {
      patience = undefined;
      waiting();
    }
    await sleep(RETRY_MS);
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r+");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function isStill(path: string, file: FileHandle): Promise<boolean> {
  const [opened, there] = await Promise.all([file.stat(), stat(path).catch(() => undefined)]);
  return there !== undefined && opened.dev === there.dev && opened.ino === there.ino;
}
