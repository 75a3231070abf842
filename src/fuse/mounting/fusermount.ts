/**
 * fusermount3, the setuid program that mounts for ordinary users: why it cannot mount for this process, and what helps.
 *
 * Many reasons can be found in this process and in the program's file. Others only the program itself knows, and
 * reports on standard error, so the only way to be certain is to run it.
 */

import { realpathSync, statSync } from "node:fs";
import * as libc from "../../libc.ts";
import { type MountPoint, readMounts } from "../../mountinfo.ts";
import { CAP_SYS_ADMIN, statusHas, statusOf } from "../../procfs.ts";
import { findChosenHelper, HELPER_VARIABLE, helperEnvironment } from "./chosen-helper.ts";
import { DEVICE_FLAG, OPEN_TO_ALL, PROVIDE_DEVICE } from "./fuse-device.ts";
import { runFusermount } from "./run-fusermount.ts";
import { findHelper, type MountFailure, ownsMountNamespace, unmountPath } from "./unmount.ts";

export interface HelperRefusal {
  readonly reason: MountFailure;
  /** A clause, such as "fusermount3 is not in PATH". */
  readonly problem: string;
  /** What to do, as an imperative. Absent if only the general advice applies. */
  readonly cure?: string;
}

export interface HelperRequest {
  /** An absolute path. */
  readonly mountpoint: string;
  readonly source: string;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  readonly noExec?: boolean;
}

/**
 * Lets the program mount on an empty directory and unmount again, which is the only way to find out whether it can: it
 * refuses users without a name, for example. Resolves with the reason why it cannot, or undefined.
 */
export async function tryHelper(directory: string): Promise<HelperRefusal | undefined> {
  const mounted = await askHelper({ mountpoint: directory, source: "llmfs", readOnly: true, allowOther: false });
  if (typeof mounted !== "number") return mounted;
  libc.close(mounted);
  await unmountPath(directory);
  return undefined;
}

/** The program is setuid root, mounts for us, and sends the device's descriptor through a socket (_FUSE_COMMFD). */
export async function askHelper(request: HelperRequest, patienceMs?: number): Promise<number | HelperRefusal> {
  const refusal = findRefusal();
  const helper = findHelper();
  if (refusal !== undefined || helper === undefined) return refusal ?? explainMissingHelper();
  const options = [
    request.readOnly ? "ro" : "rw",
    "nosuid",
    "nodev",
    ...(request.noExec === true ? ["noexec"] : []),
    `fsname=${request.source.replace(/[\\,]/g, "\\$&")}`,
    "subtype=llmfs",
    "default_permissions",
    ...(request.allowOther ? ["allow_other"] : []),
  ];
  const [ours, theirs] = libc.socketpair();
  libc.setCloseOnExec(ours, true);
  try {
    const cmd = [helper, "-o", options.join(","), "--", request.mountpoint];
    const env = { ...helperEnvironment(), _FUSE_COMMFD: "3" };
    const running = runFusermount(cmd, { env, socket: theirs }, patienceMs);
    libc.close(theirs);
    const { code, said } = await running;
    // It has sent the descriptor before its end. A process that it has left behind may still have the socket.
    libc.setNonBlocking(ours);
    const fd = code === 0 ? libc.receiveDescriptor(ours) : undefined;
    return fd ?? parseRefusal(said, helper);
  } finally {
    libc.close(ours);
  }
}

/** Returns why the program cannot mount for this process, as far as that can be found without running it. */
export function findRefusal(): HelperRefusal | undefined {
  // What a program needs that somebody chose is its own business.
  if (findChosenHelper() !== undefined) return findHelper() === undefined ? explainMissingHelper() : undefined;
  if (!ownsMountNamespace()) {
    return {
      reason: "not-permitted",
      problem: "mounting is not permitted in a user namespace without a mount namespace of its own",
      cure: "make it with one ('unshare --user --map-root-user --mount …')",
    };
  }
  const helper = findHelper();
  if (helper === undefined) return explainMissingHelper();
  if (statusOf("self", "NoNewPrivs") === "1") {
    return {
      reason: "not-permitted",
      problem: `this process may not gain privileges (no_new_privs is set), so ${helper} cannot act as root`,
      cure:
        "start it without that (setpriv --no-new-privs; Docker: --security-opt no-new-privileges; Kubernetes: " +
        "allowPrivilegeEscalation: false; systemd: NoNewPrivileges)",
    };
  }
  if (!mayBeAdministrator()) {
    return {
      reason: "not-permitted",
      problem: `CAP_SYS_ADMIN is not in this process's bounding set, so ${helper} cannot get it`,
    };
  }
  const around = mountOf(realpathSync(helper));
  if (around?.options.split(",").includes("nosuid") !== true) return undefined;
  return {
    reason: "not-permitted",
    problem: `${helper} cannot act as root, because ${around.path} is mounted nosuid`,
    cure: `remount that as root ('mount -o remount,suid ${around.path}')`,
  };
}

/** Returns why there is no such program. */
function explainMissingHelper(): HelperRefusal {
  const reason = "no-helper";
  const chosen = findChosenHelper();
  if (chosen !== undefined) {
    const problem = `${HELPER_VARIABLE} is ${chosen}, which is not a program that can be executed`;
    return { reason, problem, cure: "set it to the absolute path of one, or unset it" };
  }
  const path = Bun.which("fusermount3") ?? Bun.which("fusermount");
  if (path === null) {
    return {
      reason,
      problem: "no fusermount3 in PATH",
      cure: "install fuse3 ('apt-get install fuse3', 'apk add fuse3', 'dnf install fuse3')",
    };
  }
  const { uid, gid, mode } = statSync(path);
  if (uid !== 0) return { reason, problem: `${path} does not belong to root`, cure: "install fuse3 again" };
  if ((mode & 0o4000) === 0) {
    return { reason, problem: `${path} is not setuid root`, cure: `make it so as root ('chmod u+s ${path}')` };
  }
  const who = `user ${libc.getuid()}`;
  return { reason, problem: `${path} may not be executed by ${who}`, cure: `add ${who} to group ${gid}` };
}

/** Parses the program's standard error. */
export function parseRefusal(said: string, helper: string): HelperRefusal {
  const problem = `${helper} failed: ${said.replace(/^\S*fusermount3?: /, "") || "it said nothing"}`;
  const refusal = (reason: MountFailure, cure: string): HelperRefusal => ({ reason, problem, cure });
  if (/could not determine username/.test(said)) {
    const who = `user ${libc.getuid()}`;
    return {
      reason: "not-permitted",
      problem: `${helper} refuses users without an entry in /etc/passwd, such as ${who}`,
      cure: `add an entry for ${who} to /etc/passwd`,
    };
  }
  if (/user_allow_other/.test(said)) {
    return refusal("not-permitted", "add the line 'user_allow_other' to /etc/fuse.conf for --allow-other");
  }
  if (/mount_max/.test(said)) {
    return refusal("not-permitted", "unmount others, or raise mount_max in /etc/fuse.conf");
  }
  if (/failed to open \S*fuse: Permission denied/.test(said)) return refusal("not-permitted", OPEN_TO_ALL);
  if (/failed to open \S*fuse: Operation not permitted/.test(said)) return refusal("not-permitted", DEVICE_FLAG);
  if (/device not found|failed to open \S*fuse: No such/.test(said)) {
    return refusal("no-device", PROVIDE_DEVICE);
  }
  if (/no write access|not owned|bad mount point|failed to access/.test(said)) {
    return refusal("bad-mountpoint", "choose a directory that belongs to you and that you may write to");
  }
  if (/filesystem type .* is forbidden/.test(said)) {
    return refusal("bad-mountpoint", "choose a directory on another filesystem");
  }
  if (/Operation not permitted|Permission denied/.test(said)) {
    return refusal("not-permitted", "see whether an AppArmor or SELinux profile or a seccomp filter forbids it");
  }
  return { reason: "failed", problem };
}

/** Whether a setuid program that this process starts may have CAP_SYS_ADMIN: it must be in the bounding set. */
function mayBeAdministrator(): boolean {
  return statusHas("self", "CapBnd", CAP_SYS_ADMIN);
}

/** Returns the mount that contains a path: the deepest one; of several at the same place the one made last. */
function mountOf(path: string): MountPoint | undefined {
  const around = readMounts().filter(
    (mount) => path === mount.path || path.startsWith(`${mount.path.replace(/\/$/, "")}/`),
  );
  const depth = Math.max(...around.map((mount) => mount.path.length));
  return around.findLast((mount) => mount.path.length === depth);
}
