/** /dev/fuse: whether this process can open it, what is wrong with it otherwise, and what helps. */
import { statSync } from "node:fs";
import { ERRNO } from "../../errno.ts";
import * as libc from "../../libc.ts";
import type { MountFailure } from "./unmount.ts";

const DEVICE = "/dev/fuse";

/** The device's number in every Linux, 10:229 (Documentation/admin-guide/devices.txt). */
const DEVICE_NUMBER = (10 << 8) | 229;

export const DEVICE_FLAG = `start the container with --device ${DEVICE}`;
export const LOAD_MODULE = "load the module as root ('modprobe fuse')";
/** The cure if the device's mode excludes this process. */
export const OPEN_TO_ALL = `allow all users to open it, as udev does: run 'chmod 666 ${DEVICE}' as root`;
/** The cure if there is no device, or no driver behind it. */
export const PROVIDE_DEVICE = `${LOAD_MODULE}, or ${DEVICE_FLAG}`;

export interface DeviceFault {
  readonly reason: Extract<MountFailure, "no-device" | "not-permitted" | "failed">;
  /** What is said of the device, such as "does not exist". */
  readonly problem: string;
  /** What to do, as an imperative. Absent if nothing is known to help. */
  readonly cure?: string;
  /** The error of open(2). */
  readonly cause?: libc.SystemError;
}

/** Returns its descriptor. fusermount3 opens it with its caller's rights, too. */
export function openDevice(device = DEVICE): number | DeviceFault {
  const found = statSync(device, { throwIfNoEntry: false });
  if (found === undefined) return { reason: "no-device", problem: "does not exist", cure: PROVIDE_DEVICE };
  if (!found.isCharacterDevice() || found.rdev !== DEVICE_NUMBER) {
    return {
      reason: "no-device",
      problem: "is not the FUSE device, which has the number 10:229",
      cure: `${DEVICE_FLAG}, or create it again as root ('rm ${DEVICE}; mknod -m 666 ${DEVICE} c 10 229')`,
    };
  }
  try {
    return libc.open(device, libc.O_RDWR | libc.O_CLOEXEC);
  } catch (error) {
    if (!(error instanceof libc.SystemError)) throw error;
    return explain(error);
  }
}

/** Undefined if this process can open the device. */
export function findDeviceFault(device = DEVICE): DeviceFault | undefined {
  const opened = openDevice(device);
  if (typeof opened !== "number") return opened;
  libc.close(opened);
  return undefined;
}

export function describeFault({ problem, cure }: DeviceFault): string {
  return `${DEVICE} ${problem}${cure === undefined ? "" : `; ${cure}`}`;
}

function explain(cause: libc.SystemError): DeviceFault {
  switch (cause.number) {
    case ERRNO.ENODEV:
    case ERRNO.ENXIO:
      return { reason: "no-device", problem: "has no driver in this kernel", cure: PROVIDE_DEVICE, cause };
    // From the device's mode.
    case ERRNO.EACCES:
      return {
        reason: "not-permitted",
        problem: `may not be opened by user ${libc.getuid()}`,
        cure: OPEN_TO_ALL,
        cause,
      };
    // From a container's list of devices, of which access(2) knows nothing.
    case ERRNO.EPERM:
      return { reason: "not-permitted", problem: "is forbidden in this container", cure: DEVICE_FLAG, cause };
    default:
      return { reason: "failed", problem: `cannot be opened (${cause.message})`, cause };
  }
}
