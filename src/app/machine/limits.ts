/**
 * Resource limits (ulimit) that the process behind a mount inherits from the shell that started it.
 *
 * They were meant for that shell's programs, not for everybody who writes to the mount later, so they are raised as far
 * as this process may: root without limit, others to the hard limit. What stays is reported when the mount is made. A
 * command that `run` starts gets the limits as they were.
 */
import { getLimit, LIMITS, type Limit, setLimit, UNLIMITED } from "../../libc.ts";

/** The time left for saving and unmounting between SIGXCPU and the SIGKILL of the hard limit, in seconds. */
const CPU_GRACE = 10n;

const inherited = new Map<number, Limit>();

/** Raises them, once in a process. Returns a line for each that could not be raised and matters. */
export function raiseLimits(): readonly string[] {
  const left: string[] = [];
  const size = raise(LIMITS.FSIZE);
  if (size !== UNLIMITED) {
    left.push(
      `the limit to the size of files (ulimit -f) cannot be raised: snapshots, recordings and logs end at ${size} bytes; ` +
        "files in the mount do not, but large ones are slower",
    );
  }
  const cpu = raise(LIMITS.CPU);
  if (cpu !== UNLIMITED) {
    const soft = cpu > 2n * CPU_GRACE ? cpu - CPU_GRACE : (cpu + 1n) / 2n;
    setLimit(LIMITS.CPU, { soft, hard: cpu });
    left.push(
      `the limit to processor time (ulimit -t) cannot be raised: after ${soft} s of it the mount is saved and unmounted`,
    );
  }
  raise(LIMITS.NOFILE, false);
  return left;
}

/** Starts a program of the user's with the limits that the user set. */
export function withInheritedLimits<T>(start: () => T): T {
  const raised = [...inherited.keys()].map((resource) => [resource, getLimit(resource)] as const);
  for (const [resource, limit] of inherited) setLimit(resource, limit);
  try {
    return start();
  } finally {
    for (const [resource, limit] of raised) setLimit(resource, limit);
  }
}

/** The limit that holds now. `beyond`: root also raises the hard limit. */
function raise(resource: number, beyond = true): bigint {
  const before = getLimit(resource);
  if (!inherited.has(resource)) inherited.set(resource, before);
  if (beyond && before.hard !== UNLIMITED && setLimit(resource, { soft: UNLIMITED, hard: UNLIMITED })) return UNLIMITED;
  setLimit(resource, { soft: before.hard, hard: before.hard });
  return before.hard;
}
