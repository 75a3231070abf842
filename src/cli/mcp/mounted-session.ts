/** The tree of a running mount: its files are read and written as by any program, and generated through `.llmfs/control`. */
import { constants, realpathSync } from "node:fs";
import { type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { lookAt } from "../../app/inspect.ts";
import type { MountPlace } from "../../app/place.ts";
import { ControlClient } from "../../app/running/control-client.ts";
import { readEntries, readFileXattr, readPendingFiles } from "../../app/running/mounted.ts";
import { OURS } from "../../attributes.ts";
import { codeOf, FsError } from "../../errno.ts";
import type { Log } from "../../log.ts";
import { person } from "../output/ask.ts";
import { waitsOf } from "../output/provenance-report.ts";
import type { TreeSession } from "./session.ts";

/** `place`: the root of the mount. Rejects with UserError if the mount does not answer. */
export async function openMountedSession({ mountpoint }: MountPlace, log: Log): Promise<TreeSession> {
  const { dev } = await stat(mountpoint);
  /** Cancelling ends all requests of a client, so each call has its own. */
  const ask = async <T>(signal: AbortSignal, request: (client: ControlClient) => Promise<T>): Promise<T> => {
    signal.throwIfAborted();
    await using client = await ControlClient.open(mountpoint);
    const stop = () => void client.stop();
    signal.addEventListener("abort", stop);
    try {
      return await request(client);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  };
  /** Opens a file of this filesystem, never one that a symlink leads to elsewhere. */
  const openInside = async (path: string, flags: number): Promise<FileHandle> => {
    const file = await open(resolveInside(mountpoint, path), flags | constants.O_NOFOLLOW, 0o644);
    if ((await file.stat()).dev === dev) return file;
    await file.close();
    throw new FsError("EXDEV", "it is on another filesystem", { path });
  };
  return {
    name: mountpoint,
    entries: () => readEntries(mountpoint),
    async read(path, signal) {
      await ask(signal, (client) => client.make(path));
      await using file = await openInside(path, constants.O_RDONLY);
      return await file.readFile();
    },
    async write(path, content) {
      const { O_WRONLY, O_CREAT, O_TRUNC } = constants;
      await makeParents(mountpoint, path);
      await using file = await openInside(path, O_WRONLY | O_CREAT | O_TRUNC);
      await file.writeFile(content);
    },
    regenerate: (path, options, signal) => ask(signal, (client) => client.regen(path, options)),
    grow: (path, prompt, dry, signal) => ask(signal, (client) => client.grow(path, { prompt, dry })),
    look: () => lookAt({ mounted: mountpoint }, {}, { log, person }),
    live: (path) => (name) => readFileXattr(join(mountpoint, path), `${OURS}${name}`),
    waits: async (path) => waitsOf(path, await readPendingFiles(mountpoint)),
    async [Symbol.asyncDispose]() {},
  };
}

/** The real path of a file, which need not exist, in a directory that does. Throws FsError if it is not in the mount. */
function resolveInside(mountpoint: string, path: string): string {
  const named = join(mountpoint, path);
  const real = realPathOf(named) ?? join(realpathSync(dirname(named)), basename(named));
  if (real === mountpoint || real.startsWith(`${mountpoint}/`)) return real;
  throw new FsError("EXDEV", "a symlink leads out of the tree", { path });
}

function realPathOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function makeParents(mountpoint: string, path: string): Promise<void> {
  const missing: string[] = [];
  let above = dirname(join(mountpoint, path));
  for (; realPathOf(above) === undefined; above = dirname(above)) missing.push(basename(above));
  if (missing.length === 0) return;
  const inside = above === mountpoint ? mountpoint : resolveInside(mountpoint, above.slice(mountpoint.length));
  await mkdir(join(inside, ...missing.toReversed()), { recursive: true });
}
