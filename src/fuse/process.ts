/** Telling a process from a later one with the same id. */
import { readFileSync } from "node:fs";

/** Changes when the process id is used anew: starttime of proc_pid_stat(5). Undefined when the process is gone. */
export function incarnation(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie has let go of everything.
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
