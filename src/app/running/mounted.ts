/** Access to a running mount for commands, through the files in its `.llmfs`. */

import { createReadStream, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { CONTROL_NAME } from "../../attributes.ts";
import { messageOf, reasonOf } from "../../errno.ts";
import { getxattr } from "../../libc.ts";
import { FS_TYPE, findMountAt, type MountPoint, readMounts } from "../../mountinfo.ts";
import { ownerOf } from "../../procfs.ts";
import type { OutdatedFile, PendingFile } from "../../rpc/messages.ts";
import type { DetailedEntry } from "../../rpc/tree-port.ts";
import { UserError } from "../errors.ts";
import { absolutePath } from "../machine/current-directory.ts";
import { mountSnapshotFirst, resolveRealPath } from "../mountpoint.ts";
import { requireAnswer, whileAnswering } from "./answering.ts";
import { findMount } from "./find-mount.ts";
import { serverOf } from "./server-process.ts";

/** The llmfs mount at a path, alive or dead. Does not access it. Throws UserError("notMounted"). */
export function requireMountAt(directory: string): MountPoint {
  const known = findMount(directory);
  if (known?.within === "") return known.mount;
  if (known !== undefined) {
    const around = `it is inside the mount at ${known.mount.path}`;
    throw new UserError("notMounted", `${directory}: no llmfs is mounted there; ${around}`);
  }
  refuseFile(directory);
  const found = findMountAt(resolveRealPath(directory));
  const what =
    found === undefined ? "no llmfs is mounted there" : `the filesystem mounted there is ${found.type}, not llmfs`;
  throw new UserError("notMounted", `${directory}: ${what}`);
}

/** Throws UserError for a path that names a snapshot, which other commands accept. */
function refuseFile(named: string): void {
  const cure = mountSnapshotFirst(named);
  if (cure !== undefined) throw new UserError("notMounted", `${named} is not in an llmfs mount. ${cure}`);
}

/** The path of a running mount. Rejects with UserError("notMounted") or UserError("unresponsive"). */
export async function findMounted(directory: string): Promise<string> {
  const mount = requireMountAt(directory);
  await requireAnswer(mount);
  return mount.path;
}

/** The running mount that contains a path, and the path within it. Rejects like `mountedAt`. */
export async function findMountedFile(file: string): Promise<{ readonly mountpoint: string; readonly path: string }> {
  const known = findMount(file);
  if (known === undefined) {
    refuseFile(file);
    throw new UserError("notMounted", `${file} is not in an llmfs mount`);
  }
  await requireAnswer(known.mount);
  // Symlinks in the mount may lead to another mount.
  const absolute = absolutePath(file);
  const path = join(resolveRealPath(dirname(absolute)), basename(absolute));
  const all = readMounts();
  const around = all.findLast((one) => one.type === FS_TYPE && `${path}/`.startsWith(`${one.path}/`));
  if (around === undefined) throw new UserError("notMounted", `${file} is not in an llmfs mount`);
  const below = path.slice(around.path.length);
  if (around.root === "/") return { mountpoint: around.path, path: below || "/" };
  // This is a bind mount of a directory of the mount.
  const whole = all.findLast((one) => one.device === around.device && one.root === "/");
  if (whole === undefined) {
    const problem = "which is a bind mount of a part of an llmfs mount; the whole mount is not visible from here";
    throw new UserError("notMounted", `${file} is in ${around.path}, ${problem}`);
  }
  return { mountpoint: whole.path, path: `${around.root}${below}` };
}

type ControlName =
  | "status.json"
  | "snapshot.json"
  | "full-snapshot.json"
  | "tree.json"
  | "pending.json"
  | "outdated.json"
  | "config.json"
  | "usage.json"
  | "control";

export function controlFilePath(mountpoint: string, name: ControlName): string {
  return join(mountpoint, CONTROL_NAME, name);
}

/**
 * The content of a control file in pieces. Rejects if the mount stops answering in the meantime, or with
 * UserError("failure") if the file cannot be read.
 */
export function streamControlFile(mountpoint: string, name: ControlName): AsyncGenerator<Uint8Array> {
  return streamMountedFile(mountpoint, controlFilePath(mountpoint, name));
}

/** The same for any file of a mount. */
export async function* streamMountedFile(mountpoint: string, path: string): AsyncGenerator<Uint8Array> {
  const mount = findMountAt(mountpoint);
  try {
    const stream = createReadStream(path, { highWaterMark: 1 << 20 })[Symbol.asyncIterator]();
    for (;;) {
      const { done, value } = await whileAnswering(mount, stream.next());
      if (done === true) return;
      yield value;
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError("failure", `${path} cannot be read: ${reasonOf(error, path)}`, { cause: error });
  }
}

/** The whole content of a control file. Rejects as `streamControlFile` does. */
export async function readControlFile(mountpoint: string, name: ControlName): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(streamControlFile(mountpoint, name)));
}

/** The pending files of a mount. Rejects with UserError, as everything here that reads a control file. */
export function readPendingFiles(mountpoint: string): Promise<PendingFile[]> {
  return readControlJson(mountpoint, "pending.json", isList<PendingFile>);
}

/** The files of a mount that were made from others that have changed. */
export function readOutdatedFiles(mountpoint: string): Promise<OutdatedFile[]> {
  return readControlJson(mountpoint, "outdated.json", isList<OutdatedFile>);
}

/** Every entry of a mount but the root. Rejects with UserError, also if the mount stops answering in the meantime. */
export async function readEntries(mountpoint: string): Promise<readonly DetailedEntry[]> {
  const entries: unknown = JSON.parse((await readControlFile(mountpoint, "tree.json")).toString("utf8"));
  if (isList<DetailedEntry>(entries)) return entries;
  throw new UserError("notMounted", `${mountpoint}: another version of llmfs serves this mount`);
}

/** This same version of llmfs wrote the list, so its elements are of the type of the control file. */
function isList<T>(value: unknown): value is T[] {
  return Array.isArray(value);
}

/**
 * The value of a control file. Rejects with UserError, also if the mount stops answering in the meantime, or if `check` finds
 * that another version of llmfs wrote it.
 */
export async function readControlJson<T>(
  mountpoint: string,
  name: ControlName,
  check: (value: unknown) => value is T,
): Promise<T> {
  const path = controlFilePath(mountpoint, name);
  try {
    const value: unknown = JSON.parse((await readControlFile(mountpoint, name)).toString("utf8"));
    if (check(value)) return value;
  } catch (error) {
    if (error instanceof UserError && error.exit === "unresponsive") throw error;
    const reason = error instanceof UserError ? error.message : `${path} cannot be read: ${reasonOf(error, path)}`;
    throw new UserError("notMounted", reason, { cause: error });
  }
  throw new UserError("notMounted", `${path}: another version of llmfs serves this mount`);
}

/** An attribute of a file as text, or undefined if the file does not have it. */
export function readFileXattr(path: string, name: string): string | undefined {
  try {
    return getxattr(path, name)?.toString("utf8");
  } catch (error) {
    throw new UserError("failure", `${path}: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * The environment of the process that serves a mount, which may contain secrets. Empty for a process of another user,
 * because programs that are started for this user must not depend on that user's environment.
 */
export function readServingEnvironment(mountpoint: string): Readonly<Record<string, string>> {
  const mount = findMountAt(mountpoint);
  using server = mount && serverOf(mount);
  if (server === undefined) return {};
  try {
    if (ownerOf(server.pid) !== process.geteuid?.()) return {};
    const variables = readFileSync(`/proc/${server.pid}/environ`, "utf8")
      .split("\0")
      .filter((one) => one.includes("="));
    return Object.fromEntries(
      variables.map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)]),
    );
  } catch {
    return {};
  }
}
