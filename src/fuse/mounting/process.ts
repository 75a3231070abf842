/** Telling a process from a later one with the same id. */
import { readFileSync } from "node:fs";

/**
 * For the environment of a process that sleeps most of its life: Bun's timer that looks once a second, later twice a
 * minute, whether there is garbage to collect is not started. The engine collects by itself as a heap grows. Any value will do;
 * this one tells ours from one that the user set.
 */
export const SLEEPER = { BUN_GC_TIMER_DISABLE: "llmfs" } as const;

/** Changes when the process id is used anew: starttime of proc_pid_stat(5). Undefined when the process is gone. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie has let go of everything.
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
