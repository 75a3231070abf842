/**
 * What the kernel expects of process 1, which llmfs is when it is the entry point of a container:
 *
 * - A process whose parent has ended becomes its child, and stays a zombie until process 1 waits for it.
 * - Signals whose default action ends any other process are ignored by process 1 unless it handles them.
 */
import { readdirSync, readFileSync } from "node:fs";
import { reap } from "../../libc.ts";
import { onSignals, signalStatus } from "./signals.ts";

/**
 * How long a zombie is left to Bun, which waits for the processes that it started, and must find them: it does so within
 * one turn of the event loop.
 */
const GRACE_MS = 500;

export function actAsInit(exit: (status: number) => void): void {
  onSignals(["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP"], (name) => {
    if (process.listenerCount(name) === 1) exit(signalStatus(name));
  });
  /** When each zombie was first seen. A process id is not used again before somebody has waited for it. */
  let zombies = new Map<number, number>();
  let timer: Timer | undefined;
  const look = (): void => {
    clearTimeout(timer);
    const now = performance.now();
    const left = listChildren().filter(isZombie);
    zombies = new Map(left.map((pid) => [pid, zombies.get(pid) ?? now]));
    for (const [pid, since] of zombies) {
      if (now - since < GRACE_MS) continue;
      reap(pid);
      zombies.delete(pid);
    }
    if (zombies.size > 0) timer = setTimeout(look, GRACE_MS).unref();
  };
  process.on("SIGCHLD", look);
  look();
}

/** Of all threads of this process: Bun starts processes from several, and the kernel gives orphans to any. */
function listChildren(): readonly number[] {
  try {
    return readdirSync("/proc/self/task").flatMap((thread) =>
      readFileSync(`/proc/self/task/${thread}/children`, "latin1").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    // A thread has just ended, or /proc is missing.
    return [];
  }
}

function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.charAt(stat.lastIndexOf(")") + 2) === "Z";
  } catch {
    return false;
  }
}
