/** A file that is there whole or not at all: written beside its place, synced, and renamed into it. */
import { open, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CliError, messageOf } from "./exit.ts";

/** What stood there before stays until the new file is complete. Throws CliError("save"). */
export async function writeAtomically(
  file: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  // A symlink stays one: what it points to is replaced.
  const target = await realpath(file).catch(() => file);
  const temporary = join(dirname(target), `.${basename(target).slice(0, 200)}.${process.pid}.tmp`);
  try {
    const mode = await stat(target).then(
      (before) => before.mode & 0o777,
      () => 0o666,
    );
    const handle = await open(temporary, "wx", mode);
    try {
      for await (const chunk of chunks) await handle.writeFile(chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
    await syncFolder(dirname(target));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw new CliError("save", `${file} could not be written: ${messageOf(error)}; what was there is unchanged`, {
      cause: error,
    });
  }
}

/** So that the rename outlives a power cut too. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
