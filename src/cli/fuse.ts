/** Whether this process may mount, and how, told before anything costs time or money. */
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { findHelper, mayMount, ownsMountNamespace } from "../fuse/unmount.ts";
import { CliError } from "./exit.ts";

export const DEVICE = "/dev/fuse";

/**
 * - "direct": mount(2), with CAP_SYS_ADMIN
 * - "helper": fusermount3, which is setuid root
 * - "none": neither; only a user namespace of its own is left
 */
export type Way = "direct" | "helper" | "none";

const CAP_SYS_ADMIN = 21n;

/** Throws CliError("fuse") when there is no FUSE here at all. */
export function wayToMount(): Way {
  if (process.platform !== "linux") {
    throw new CliError(
      "fuse",
      `llmfs mounts on Linux only, and this is ${process.platform}; "llmfs generate" works here`,
    );
  }
  if (!existsSync(DEVICE)) {
    throw new CliError(
      "fuse",
      `${DEVICE} not found; load the module with "modprobe fuse", or start the container with --device ${DEVICE}`,
    );
  }
  if (mayMount()) {
    checkDevice();
    return "direct";
  }
  return findHelper() !== undefined && mayGainPrivilege() ? "helper" : "none";
}

/** Throws CliError("fuse") when the device cannot be opened by this process. */
export function checkDevice(): void {
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK);
  } catch (error) {
    throw new CliError(
      "fuse",
      `${DEVICE} may not be opened by user ${process.getuid?.() ?? "?"}; let them with "chmod 666 ${DEVICE}", as udev does`,
      { cause: error },
    );
  }
}

/** What to do where nothing permits mounting. */
export function notPermitted(tried: string): CliError {
  if (!ownsMountNamespace()) {
    return new CliError(
      "fuse",
      `mounting is not permitted in a user namespace without a mount namespace of its own: ${tried}. Either of these ` +
        'helps: make it with one, "unshare --user --map-root-user --mount …", or give the tree to one command, "llmfs run"',
    );
  }
  return new CliError(
    "fuse",
    `mounting is not permitted: ${tried}. Any one of these helps: install fuse3 (for fusermount3), run as root, or start ` +
      `the container with --device ${DEVICE} --cap-add SYS_ADMIN --security-opt apparmor=unconfined`,
  );
}

/** A setuid program helps only where it may become root, and root may mount. */
function mayGainPrivilege(): boolean {
  if (!ownsMountNamespace()) return false;
  const mask = status("CapBnd");
  const bounded = mask === undefined || ((BigInt(`0x${mask}`) >> CAP_SYS_ADMIN) & 1n) === 0n;
  return !bounded && status("NoNewPrivs") !== "1";
}

/** A field of /proc/self/status. */
function status(field: string): string | undefined {
  return new RegExp(`^${field}:\\s*(\\S+)`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1];
}
