/** Unmounts in this mount namespace with umount2(2), or with fusermount3 for users who mounted with it. */
import { setTimeout as sleep } from "node:timers/promises";
import { findHelper } from "../../fuse/mounting/unmount.ts";
import { MNT_DETACH, SystemError, umount } from "../../libc.ts";
import { FS_TYPE, findMountAt, type MountPoint, readMounts } from "../../mountinfo.ts";
import { UserError } from "../errors.ts";
import { listHolders } from "./open-users.ts";

/** Throws UserError("busy"), or UserError("fuse") if this user may not unmount. Does nothing if the mount is gone. */
export function takeAway(mount: MountPoint, name: string, lazy: boolean): void {
  if (!isThere(mount)) return;
  try {
    umount(mount.path, lazy ? MNT_DETACH : 0);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.code === "EBUSY") throw createBusyError(mount, name);
    if (error.code !== "EPERM") {
      if (!isThere(mount)) return;
      throw new UserError("failure", error.message, { cause: error });
    }
    takeAwayAsUser(mount, name, lazy);
  }
}

/** How long a program may use the mount for a moment, such as `llmfs status --watch`, before that counts as busy. */
const MOMENT_MS = 300;
const PAUSE_MS = 10;

/** As `takeAway`, but tries again for a moment while the mount is busy. */
export async function takeAwayPatiently(mount: MountPoint, name: string): Promise<void> {
  for (const until = performance.now() + MOMENT_MS; ; await sleep(PAUSE_MS)) {
    try {
      return takeAway(mount, name, false);
    } catch (error) {
      const busy = error instanceof UserError && error.exit === "busy";
      if (!busy || performance.now() > until) throw error;
    }
  }
}

/** Whether this same filesystem is still mounted at its path. */
export function isThere({ path, device }: MountPoint): boolean {
  const there = findMountAt(path);
  return there?.type === FS_TYPE && there.device === device;
}

/** fusermount3 lets users unmount their own mounts. */
function takeAwayAsUser(mount: MountPoint, name: string, lazy: boolean): void {
  const program = findHelper();
  if (program === undefined) {
    throw new UserError("fuse", `${name}: only root can unmount without fusermount3; install fuse3`);
  }
  const { success, stderr } = Bun.spawnSync({
    cmd: [program, lazy ? "-uz" : "-u", "--", mount.path],
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (success || !isThere(mount)) return;
  const reason = stderr.toString().trim();
  if (/busy/i.test(reason)) throw createBusyError(mount, name);
  throw new UserError("fuse", `${name}: ${reason}`);
}

function createBusyError({ path }: MountPoint, name: string): UserError {
  const within = readMounts().filter((other) => other.path.startsWith(`${path}/`));
  const users = [...listHolders(path), ...within.map((other) => `the ${other.type} mounted at ${other.path}`)];
  // A program that waits for a file to be generated has no open file yet.
  const who = users.length === 0 ? "a program, possibly one that waits for a file to be generated" : users.join(", ");
  return new UserError("busy", `${name} is still used by ${who}; end it or use --lazy`);
}
