/** Whether a directory can take a mount, told before anything costs time or money. */
import { readdirSync, realpathSync, statfsSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { codeOf, messageOf } from "../errno.ts";
import { FS_TYPE, mountAt } from "../fuse/mountinfo.ts";
import { CliError } from "./exit.ts";

/**
 * The directory's real path. A mount of ours whose process is dead counts as empty: it is replaced.
 * Throws CliError("mountpoint") or CliError("busy").
 */
export function checkedMountpoint(directory: string): string {
  const path = realPath(directory);
  const mounted = mountAt(path);
  const state = look(path, directory);
  if (state === "dead") {
    if (mounted?.type === FS_TYPE) return path;
    throw new CliError(
      "busy",
      `${directory}: a dead mount (${mounted?.type ?? "unknown"}) is there; clear it with: umount -l ${directory}`,
    );
  }
  if (mounted?.type === FS_TYPE) {
    throw new CliError(
      "busy",
      `${directory}: an llmfs is mounted there already; end it with: llmfs unmount ${directory}`,
    );
  }
  const first = entries(path, directory)[0];
  if (first !== undefined) {
    throw new CliError(
      "mountpoint",
      `${directory} is not empty (it holds ${JSON.stringify(first)}); a mount would hide that: choose an empty directory`,
    );
  }
  return path;
}

/** As realpath(3), also where the last part is a dead mount, which realpath cannot look at. */
export function realPath(path: string): string {
  const absolute = resolve(path);
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

function look(path: string, directory: string): "alive" | "dead" {
  try {
    if (statSync(path).isDirectory()) {
      // The kernel may answer stat(2) for a dead mount from its memory; statfs(2) it always passes on.
      statfsSync(path);
      return "alive";
    }
  } catch (error) {
    const code = codeOf(error);
    // What a FUSE mount answers whose process is gone.
    if (code === "ENOTCONN" || code === "ECONNABORTED") return "dead";
    if (code === "ENOENT")
      throw new CliError("mountpoint", `${directory} does not exist; make it with: mkdir -p ${directory}`);
    throw unusable(directory, error);
  }
  throw new CliError("mountpoint", `${directory} is not a directory; a filesystem can be mounted on directories only`);
}

function entries(path: string, directory: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    throw unusable(directory, error);
  }
}

function unusable(directory: string, error: unknown): CliError {
  return new CliError("mountpoint", `${directory} cannot be used: ${messageOf(error)}`, { cause: error });
}
