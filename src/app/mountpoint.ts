/** Checks the mountpoint that the user named. */
import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { codeOf } from "../errno.ts";
import { checkMountpoint, createTakenError } from "../fuse/mounting/mountpoint.ts";
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
  checkMountpoint(path, directory);
  return path;
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
