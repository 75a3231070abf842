/** Whether a directory can be a mountpoint: checked before anything costs time or money, and again at the mount. */
import { readdirSync, statfsSync, statSync } from "node:fs";
import { codeOf, reasonOf } from "../../errno.ts";
import { FS_TYPE, findMountAt } from "../../mountinfo.ts";
import { isDeadError, MountError } from "./unmount.ts";

/**
 * Returns "dead" for an llmfs mount whose process is gone, which can be replaced; otherwise the directory exists and is
 * empty. Throws MountError "bad-mountpoint" or "busy", whose message contains the path as the user gave it.
 */
export function checkMountpoint(path: string, name = path): "free" | "dead" {
  const mounted = findMountAt(path);
  if (probe(path, name) === "dead") {
    if (mounted?.type === FS_TYPE) return "dead";
    const type = mounted?.type ?? "unknown";
    throw new MountError(
      "busy",
      `${name}: a dead mount (${type}) is there; clear it with: umount -l ${shellWord(name)}`,
    );
  }
  if (mounted?.type === FS_TYPE) {
    throw createTakenError(name);
  }
  const first = listEntries(path, name)[0];
  if (first !== undefined) {
    const held = `it holds ${JSON.stringify(first)}`;
    throw createUnusableError(
      `${name} is not empty (${held}); a mount would hide that: choose an empty directory, or to work on a copy of it, mount one with --from ${shellWord(name)}`,
    );
  }
  return "free";
}

export function createTakenError(name: string): MountError {
  const end = `llmfs unmount ${shellWord(name)}`;
  return new MountError("busy", `${name}: an llmfs is mounted there already; end it with: ${end}`);
}

function probe(path: string, name: string): "alive" | "dead" {
  try {
    if (statSync(path).isDirectory()) {
      // The kernel may answer stat(2) for a dead mount from its cache; it always passes statfs(2) on.
      statfsSync(path);
      return "alive";
    }
  } catch (error) {
    if (isDeadError(error)) return "dead";
    const code = codeOf(error);
    if (code === "ENOENT" && name.includes("\ufffd")) {
      throw createUnusableError(`${name} is not valid UTF-8, which llmfs needs here: choose another directory`);
    }
    if (code === "ENOENT")
      throw createUnusableError(`${name} does not exist; make it with: mkdir -p ${shellWord(name)}`);
    throw createUnusableError(`${name} cannot be used: ${reasonOf(error, path)}`, error);
  }
  throw createUnusableError(`${name} is not a directory; a filesystem can be mounted on directories only`);
}

function listEntries(path: string, name: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    throw createUnusableError(`${name} cannot be used: ${reasonOf(error, path)}`, error);
  }
}

function createUnusableError(message: string, cause?: unknown): MountError {
  return new MountError("bad-mountpoint", message, { cause });
}

/** A path, quoted for a shell if necessary. */
export function shellWord(path: string): string {
  const word = path.startsWith("-") ? `./${path}` : path;
  return /^[\p{L}\p{N}@%+=:,./_-]+$/u.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
