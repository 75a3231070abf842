/** Where a filesystem is to be mounted, as the user named it. */
import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { checkMountpoint } from "../fuse/mountpoint.ts";
import { absolutePath } from "./cwd.ts";

/**
 * The directory's real path. A mount of ours whose process is dead counts as empty: it is replaced.
 * Throws MountError, "bad-mountpoint" or "busy".
 */
export function checkedMountpoint(directory: string): string {
  const path = realPath(directory);
  checkMountpoint(path, directory);
  return path;
}

/** As realpath(3), also where the last part is a dead mount, which realpath cannot look at. Throws CliError("input"). */
export function realPath(path: string): string {
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
