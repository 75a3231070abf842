/**
 * Resource limits (ulimit) that the process behind a mount inherits from the shell that started it.
 *
 * They were set for programs of that shell, not for every program that uses the mount later. So this process raises them as
 * far as it may: root without limit, other users to the hard limit. Remaining limits are reported at mount time. A command
 * that `run` starts gets the original limits.
 */
import { getLimit, LIMITS, type Limit, setLimit, UNLIMITED } from "../../libc.ts";

/** The time left for saving and unmounting between SIGXCPU and the SIGKILL of the hard limit, in seconds. */
const CPU_GRACE = 10n;

const inherited = new Map<number, Limit>();

/** Raises the limits, once per process. Returns a message for each limit that matters and could not be raised. */
export function raiseLimits(): readonly string[] {
  const left: string[] = [];
  const size = raise(LIMITS.FSIZE);
  if (size !== UNLIMITED) {
    left.push(
      `the file size limit (ulimit -f) cannot be raised: snapshots, recordings and logs are limited to ${size} bytes; ` +
        "files in the mount are not, but large ones are slower",
    );
  }
  const cpu = raise(LIMITS.CPU);
  if (cpu !== UNLIMITED) {
    const soft = cpu > 2n * CPU_GRACE ? cpu - CPU_GRACE : (cpu + 1n) / 2n;
    setLimit(LIMITS.CPU, { soft, hard: cpu });
    left.push(
      `the CPU time limit (ulimit -t) cannot be raised: after ${soft} s of CPU time the mount is saved and unmounted`,
    );
  }
  raise(LIMITS.NOFILE, false);
  return left;
}

/** Starts a program of the user with the user's original limits. */
export function withInheritedLimits<T>(start: () => T): T {
  const raised = [...inherited.keys()].map((resource) => [resource, getLimit(resource)] as const);
  for (const [resource, limit] of inherited) setLimit(resource, limit);
  try {
    return start();
  } finally {
    for (const [resource, limit] of raised) setLimit(resource, limit);
  }
}

/** Raises a limit and returns its new value. `beyond`: root also raises the hard limit. */
function raise(resource: number, beyond = true): bigint {
  const before = getLimit(resource);
  if (!inherited.has(resource)) inherited.set(resource, before);
  if (beyond && before.hard !== UNLIMITED && setLimit(resource, { soft: UNLIMITED, hard: UNLIMITED })) return UNLIMITED;
  setLimit(resource, { soft: before.hard, hard: before.hard });
  return before.hard;
}
