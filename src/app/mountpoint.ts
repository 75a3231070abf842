/** Checks the mountpoint that the user named. */
import { realpathSync, statSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { codeOf } from "../errno.ts";
import { checkMountpoint, createTakenError, shellWord } from "../fuse/mounting/mountpoint.ts";
import { MountError } from "../fuse/mounting/unmount.ts";
import { absolutePath } from "./machine/current-directory.ts";
import { createUnresponsiveError, isAnswering, isServed } from "./running/answering.ts";
import { findMount } from "./running/find-mount.ts";

/**
 * Returns the directory's real path. A dead llmfs mount counts as an empty directory, because it will be replaced.
 * Throws MountError "bad-mountpoint" or "busy".
 */
export async function checkMountpointPath(directory: string): Promise<string> {
  const known = findMount(directory);
  if (known?.within === "" && isServed(known.mount)) throw createTakenError(directory);
  if (known !== undefined && (await isAnswering(known.mount)) === "no") throw createUnresponsiveError(known.mount);
  const path = resolveRealPath(directory);
  const cure = known === undefined ? mountSnapshotFirst(directory) : undefined;
  if (cure !== undefined) throw new MountError("bad-mountpoint", `${directory} is a file, not a directory. ${cure}`);
  checkMountpoint(path, directory);
  return path;
}

/** The cure for a path that names a file, or a path in one such as `tree.json/a.md`. Undefined for any other path. */
export function mountSnapshotFirst(named: string): string | undefined {
  const file = findFile(named);
  if (file === undefined) return undefined;
  const near = relative(absolutePath("."), file);
  const from = shellWord(near.startsWith("..") ? file : near);
  return `If ${from} is a snapshot, mount it first: llmfs mount DIR --from ${from}`;
}

/** The absolute path of the file that `named` is, or that one of its parents is; undefined if none is a file. */
export function findFile(named: string): string | undefined {
  for (let path = absolutePath(named); path !== "/"; path = dirname(path)) {
    try {
      return statSync(path).isFile() ? path : undefined;
    } catch {
      // Nothing has this name, but the beginning of the path may be a file.
    }
  }
  return undefined;
}

/** Like realpath(3), but also works if the last part is a dead mount. Throws UserError("input"). */
export function resolveRealPath(path: string): string {
  const absolute = absolutePath(path);
  try {
    return realpathSync(absolute);
  } catch {
    try {
      return join(realpathSync(dirname(absolute)), basename(absolute));
    } catch {
      return absolute;
    }
  }
}

/** Like realpath(3), for a path whose last parts need not exist. Throws UserError("input"). */
export function resolveExistingPath(path: string): string {
  const missing: string[] = [];
  for (let at = absolutePath(path); ; at = dirname(at)) {
    try {
      return join(realpathSync(at), ...missing);
    } catch (error) {
      // A symlink that leads nowhere stands for itself.
      if (at === "/" || codeOf(error) !== "ENOENT") return join(at, ...missing);
      missing.unshift(basename(at));
    }
  }
}
