/**
 * Finds the mount that a path leads to, using only the mount table and the text of symlinks. Accessing a mount whose
 * process is stopped or busy would block without a way to interrupt it.
 */
import { join } from "node:path";
import { FS_TYPE, type MountPoint, readMounts } from "../../mountinfo.ts";
import { readLink } from "../../procfs.ts";
import { absolutePath, currentDirectory } from "../machine/current-directory.ts";

const MAX_SYMLINKS = 40;

export interface FoundMount {
  readonly mount: MountPoint;
  /** The rest of the path as given, without a leading slash. Empty for the root of the mount. */
  readonly within: string;
}

/** Undefined if the current directory is in no llmfs mount. */
export function findCurrentMount(): FoundMount | undefined {
  const here = currentDirectory();
  return here === undefined ? undefined : findMount(here);
}

/** Undefined if the path is not in an llmfs mount. Throws UserError("input"). */
export function findMount(path: string): FoundMount | undefined {
  const table = readMounts();
  const rest = splitPath(absolutePath(path));
  let at = "/";
  for (let links = 0; ; ) {
    const name = rest.shift();
    if (name === undefined) return undefined;
    if (name === "..") at = join(at, "..");
    if (name === "." || name === "..") continue;
    const next = join(at, name);
    const here = findTopmost(table, next);
    if (here?.type === FS_TYPE) return findInnermost(table, here, rest);
    // A mountpoint is not a symlink.
    const text = here === undefined ? readLink(next) : "";
    if (text === "") at = next;
    else {
      if (++links > MAX_SYMLINKS) return undefined;
      if (text.startsWith("/")) at = "/";
      rest.unshift(...splitPath(text));
    }
  }
}

function splitPath(path: string): string[] {
  return path.split("/").filter((part) => part !== "");
}

function findTopmost(table: readonly MountPoint[], path: string): MountPoint | undefined {
  return table.findLast((mount) => mount.path === path);
}

/** The deepest mount on the path, starting from one of our mounts. Only its process knows the symlinks in it. */
function findInnermost(
  table: readonly MountPoint[],
  outer: MountPoint,
  names: readonly string[],
): FoundMount | undefined {
  let mount = outer;
  let within = names;
  for (let depth = 1; depth <= names.length; depth++) {
    const deeper = findTopmost(table, join(outer.path, ...names.slice(0, depth)));
    if (deeper === undefined) continue;
    mount = deeper;
    within = names.slice(depth);
  }
  return mount.type === FS_TYPE ? { mount, within: within.join("/") } : undefined;
}
