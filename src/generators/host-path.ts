/** Paths of rules on the machine, as opposed to those in the tree. */
import { FsError } from "../errno.ts";
import { findMountOnPath } from "../inside-mount.ts";

/**
 * Throws FsError EACCES where a path of the machine leads into an llmfs mount: what lies there, and where a symlink there
 * leads, a model may have chosen. `cure` says what to do instead.
 */
export function refusePathInMount(option: string, path: string, cure: string): void {
  const mount = findMountOnPath(path);
  if (mount !== undefined) throw new FsError("EACCES", `the option "${option}": ${path} is inside ${mount}; ${cure}`);
}
