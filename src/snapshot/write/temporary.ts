/**
 * Temporary files, written next to the file that they will replace.
 *
 * Each is locked while it is being written. The kernel releases the lock when the writer ends, for whatever reason, so
 * if such a file can be locked, its writer is dead. Unlike process ids, this also works between containers.
 */
import { constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, readdir, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ERRNO } from "../../errno.ts";
import { lockRange } from "../../libc.ts";

/** NAME_MAX is 255 bytes; the prefix and the suffix take 18. */
const STEM_BYTES = 200;

export interface TemporaryFile extends AsyncDisposable {
  readonly path: string;
  readonly file: FileHandle;
}

/**
 * A new file next to `target`, mode 0600. Disposing it closes it, and removes it if it still has its temporary name.
 */
export async function createBeside(target: string): Promise<TemporaryFile> {
  for (;;) {
    const path = join(
      dirname(target),
      `${prefix(target)}${Buffer.from(crypto.getRandomValues(new Uint8Array(6))).toString("hex")}.tmp`,
    );
    const file = await open(path, "wx", 0o600);
    const locked = lock(file);
    // A cleanup may have found and removed it before it was locked.
    if (locked === "taken" || (await file.stat()).nlink === 0) {
      await file.close();
      continue;
    }
    const { ino } = await file.stat();
    return {
      path,
      file,
      async [Symbol.asyncDispose]() {
        if ((await lstat(path).catch(() => undefined))?.ino === ino) await unlink(path).catch(() => {});
        // By now, the data has been synced or given up.
        await file.close().catch(() => {});
      },
    };
  }
}

/**
 * Removes files that killed writers of `target` left behind. A file that cannot be removed stays; that is not a
 * failure.
 */
export async function clearLeftOver(target: string): Promise<void> {
  const begin = prefix(target);
  await clearAll(dirname(target), (stem) => stem === begin);
}

/** The same for every file in a folder whose name has this prefix. */
export async function clearLeftOvers(folder: string, beginning: string): Promise<void> {
  await clearAll(folder, (stem) => stem.startsWith(`.${beginning}`));
}

/** `ours` decides, from the part of the name before the random digits, whether a temporary file may be removed. */
async function clearAll(folder: string, ours: (stem: string) => boolean): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const [, stem] = /^(\..*\.)[0-9a-f]{12}\.tmp$/s.exec(name) ?? [];
    if (stem !== undefined && ours(stem)) await clear(join(folder, name)).catch(() => {});
  }
}

async function clear(path: string): Promise<void> {
  if (!isOurs(await lstat(path))) return;
  await using file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const { ino } = await file.stat();
  if (lock(file) !== "ours" || (await lstat(path)).ino !== ino) return;
  await unlink(path);
}

function isOurs(file: Stats): boolean {
  return file.isFile() && file.uid === process.geteuid?.();
}

/** "unknown" means that this filesystem has no locks. */
function lock(file: FileHandle): "ours" | "taken" | "unknown" {
  const toTheEnd = 0n;
  const result = lockRange(file.fd, 0n, toTheEnd, true);
  if (result === 0) return "ours";
  return result === -ERRNO.EAGAIN || result === -ERRNO.EACCES ? "taken" : "unknown";
}

/** As much of the file's name as fits. */
function prefix(target: string): string {
  let stem = basename(target);
  while (Buffer.byteLength(stem) > STEM_BYTES) stem = [...stem].slice(0, -1).join("");
  return `.${stem}.`;
}
