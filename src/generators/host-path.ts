/** Checks paths in rules that refer to the host, not to the tree. */
import { FsError } from "../errno.ts";
import { findMountOnPath } from "../inside-mount.ts";

/**
 * Throws FsError EACCES if a host path leads into an llmfs mount, because a model may have written the files and symlinks
 * there. `cure` tells what to do instead.
 */
export function refusePathInMount(option: string, path: string, cure: string): void {
  const mount = findMountOnPath(path);
  if (mount !== undefined) throw new FsError("EACCES", `the option "${option}": ${path} is inside ${mount}; ${cure}`);
}
