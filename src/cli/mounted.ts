/** A running mount, as the commands that talk to it see it: by the files in its `.llmfs`. */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../errno.ts";
import type { PendingFile } from "../fs/port.ts";
import { FS_TYPE, mountAt, mounts } from "../fuse/mountinfo.ts";
import { getxattr } from "../libc.ts";
import { absolutePath } from "./cwd.ts";
import { CliError } from "./exit.ts";
import { realPath } from "./mountpoint.ts";

/** The real path of an llmfs mount, alive or dead. Throws CliError("notMounted"). */
export function mountedAt(directory: string): string {
  const path = realPath(directory);
  const found = mountAt(path);
  if (found?.type === FS_TYPE) return path;
  if (found !== undefined)
    throw new CliError("notMounted", `${directory}: what is mounted there is ${found.type}, not llmfs`);
  const around = mounts().findLast((mount) => mount.type === FS_TYPE && path.startsWith(`${mount.path}/`));
  const hint = around === undefined ? "" : `; it lies in the one mounted at ${around.path}`;
  throw new CliError("notMounted", `${directory}: no llmfs is mounted there${hint}`);
}

/** The mount that a path lies in, and the path in it. Throws CliError("notMounted"). */
export function mountedFile(file: string): { readonly mountpoint: string; readonly path: string } {
  const absolute = absolutePath(file);
  const path = join(realPath(dirname(absolute)), basename(absolute));
  const all = mounts();
  const around = all.findLast((one) => one.type === FS_TYPE && `${path}/`.startsWith(`${one.path}/`));
  if (around === undefined) throw new CliError("notMounted", `${file} lies in no llmfs mount`);
  const below = path.slice(around.path.length);
  if (around.root === "/") return { mountpoint: around.path, path: below || "/" };
  // A part of a mount is bound there.
  const whole = all.findLast((one) => one.device === around.device && one.root === "/");
  if (whole === undefined) {
    const problem = "where only a part of an llmfs mount is bound, and the whole is not in sight";
    throw new CliError("notMounted", `${file} lies at ${around.path}, ${problem}`);
  }
  return { mountpoint: whole.path, path: `${around.root}${below}` };
}

export function controlFile(
  mountpoint: string,
  name: "status.json" | "snapshot.json" | "pending.json" | "config.json" | "usage.json" | "control",
): string {
  return join(mountpoint, ".llmfs", name);
}

/** The files whose content is still to be made. Throws CliError. */
export function pendingFiles(mountpoint: string): PendingFile[] {
  const path = controlFile(mountpoint, "pending.json");
  try {
    const files: unknown = JSON.parse(readFileSync(path, "utf8"));
    // Written by this same version of llmfs: see fs/controlfiles.ts.
    if (Array.isArray(files)) return files;
  } catch (error) {
    throw new CliError("notMounted", `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  throw new CliError("notMounted", `${path}: another version of llmfs serves this mount`);
}

/** An attribute of a file, as text; undefined where it has none. */
export function fileXattr(path: string, name: string): string | undefined {
  try {
    return getxattr(path, name)?.toString("utf8");
  } catch (error) {
    throw new CliError("failure", `${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** The process that serves a mount; undefined where it can't be told, or is out of our sight (dead, another container). */
export function servingProcess(mountpoint: string): number | undefined {
  try {
    const status: unknown = JSON.parse(readFileSync(controlFile(mountpoint, "status.json"), "utf8"));
    if (typeof status !== "object" || status === null || !("pid" in status)) return undefined;
    const { pid } = status;
    return typeof pid === "number" && serves(pid) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What the process that serves a mount was started with, as far as we may see it: secrets are in it. Of another user's
 * process, nothing: programs that are started for us obey their environment.
 */
export function servingEnvironment(mountpoint: string): Readonly<Record<string, string>> {
  const pid = servingProcess(mountpoint);
  if (pid === undefined) return {};
  try {
    if (statSync(`/proc/${pid}`).uid !== process.geteuid?.()) return {};
    const variables = readFileSync(`/proc/${pid}/environ`, "utf8")
      .split("\0")
      .filter((one) => one.includes("="));
    return Object.fromEntries(
      variables.map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)]),
    );
  } catch {
    return {};
  }
}

/** Process ids are per namespace: the right one holds the FUSE device open. */
function serves(pid: number): boolean {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).some((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`) === "/dev/fuse";
    } catch {
      return false;
    }
  });
}
