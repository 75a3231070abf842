/** Unmounting, and what it shares with mounting: permission, the helper program, and the error class. */

import { accessSync, constants, statSync } from "node:fs";
import { codeOf, ERRNO } from "../../errno.ts";
import * as libc from "../../libc.ts";
import { findMountAt } from "../../mountinfo.ts";
import { CAP_SYS_ADMIN, statusHas } from "../../procfs.ts";
import { findChosenHelper } from "./chosen-helper.ts";
import { runFusermount } from "./run-fusermount.ts";

/**
 * - "no-device": no /dev/fuse
 * - "not-permitted": it exists, but this process may not use it
 * - "no-helper": an ordinary user without fusermount3
 * - "bad-mountpoint": missing, not a directory, or not empty
 * - "busy": something is mounted there
 * - "failed": anything else
 */
export type MountFailure = "no-device" | "not-permitted" | "no-helper" | "bad-mountpoint" | "busy" | "failed";

/** A failed mount, of which nothing is left. The message names the thing, what was tried and what helps. */
export class MountError extends Error {
  override readonly name = "MountError";
  readonly reason: MountFailure;

  constructor(reason: MountFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/**
 * Whether the process behind a FUSE mount is gone. The kernel answers many calls on a dead mount from its cache,
 * including stat(2) of the root. It always passes statfs(2) on, which then fails with ENOTCONN.
 */
export async function isDead(path: string): Promise<boolean> {
  try {
    const { statfs } = await import("node:fs/promises");
    await statfs(path);
    return false;
  } catch (error) {
    return isDeadError(error);
  }
}

/** Whether a FUSE mount whose process is gone returns this error. */
export function isDeadError(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOTCONN" || code === "ECONNABORTED";
}

/** Unmounts whatever is mounted at the path, lazily if it is busy. */
export async function unmountPath(path: string): Promise<void> {
  if (!mayMount()) return unmountByHelper(path);
  try {
    libc.umount(path);
  } catch (error) {
    if (!(error instanceof libc.SystemError) || error.number !== ERRNO.EBUSY) throw error;
    libc.umount(path, libc.MNT_DETACH);
  }
}

async function unmountByHelper(path: string): Promise<void> {
  const helper = findHelper();
  if (helper === undefined)
    throw new MountError("no-helper", `${path}: unmounting it needs fusermount3; install fuse3`);
  const { code, said } = await runFusermount([helper, "-u", "-z", "--", path]);
  if (code !== 0 && findMountAt(path) !== undefined) throw new MountError("failed", `${helper}: ${said}`);
}

/** Whether this process may call mount(2), and should: the capability must hold in the mount namespace. */
export function mayMount(): boolean {
  return findChosenHelper() === undefined && isAdministrator() && ownsMountNamespace();
}

/**
 * Whether the mount namespace belongs to this process's user namespace, or to one below it. It does not in a user
 * namespace that was created alone (`unshare --user` without `--mount`): nothing in it may mount, not even root or a
 * setuid program.
 */
export function ownsMountNamespace(): boolean {
  return !libc.isForeignNamespace("/proc/self/ns/mnt");
}

/** Whether this process has CAP_SYS_ADMIN in its user namespace. */
export function isAdministrator(): boolean {
  return statusHas("self", "CapEff", CAP_SYS_ADMIN);
}

/** Whether this process may execute the file: Bun.which accepts any execute bit. */
function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The program that mounts for ordinary users: the chosen one, otherwise fusermount3 or fusermount if it is setuid root. */
export function findHelper(): string | undefined {
  const chosen = findChosenHelper();
  if (chosen !== undefined) {
    const path = Bun.which(chosen);
    return path !== null && isExecutable(path) ? path : undefined;
  }
  for (const name of ["fusermount3", "fusermount"]) {
    const path = Bun.which(name);
    if (path === null) continue;
    // In a user namespace without root, such as one that maps only its creator, the file belongs to another user.
    const { mode, uid } = statSync(path);
    if ((mode & 0o4000) !== 0 && uid === 0 && isExecutable(path)) return path;
  }
  return undefined;
}
