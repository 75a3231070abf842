/**
 * How long the kernel lets a request wait, which administrators can limit (Linux 6.15 and newer):
 * fs.fuse.default_request_timeout holds unless the server asks for another time, fs.fuse.max_request_timeout always, both in
 * seconds, 0 for no limit (Documentation/admin-guide/sysctl/fs.rst). When a request has waited longer, the kernel ends the
 * whole mount. So whoever lets requests wait must answer them in time.
 */
import { readText } from "../procfs.ts";

const SYSCTLS = "/proc/sys/fs/fuse";
/** The longest time that can be asked for: a u16. */
const LONGEST_S = 0xffff;
/** The kernel checks this often, and takes shorter times for this one (FUSE_TIMEOUT_TIMER_FREQ). */
const SHORTEST_S = 15;

export interface RequestLimit {
  /** What to ask for at the handshake, in seconds; 0 asks for nothing. */
  readonly askS: number;
  /** How long a request may wait for its answer, in ms, some time for us included; undefined if for ever. */
  readonly answerWithinMs: number | undefined;
}

/** What holds for mounts made now. `folder`: where the sysctls are. */
export function readRequestLimit(folder = SYSCTLS): RequestLimit {
  const [usual, most] = ["default_request_timeout", "max_request_timeout"].map(
    (name) => Number.parseInt(readText(`${folder}/${name}`), 10) || 0,
  ) as [number, number];
  if (usual === 0 && most === 0) return { askS: 0, answerWithinMs: undefined };
  const limitS = Math.max(SHORTEST_S, most === 0 ? LONGEST_S : Math.min(most, LONGEST_S));
  return { askS: LONGEST_S, answerWithinMs: limitS * 1000 * 0.8 };
}
