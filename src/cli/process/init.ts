/**
 * The duties of process 1, which llmfs is as the entry point of a container:
 *
 * - A process whose parent has ended becomes its child, and stays a zombie until process 1 waits for it.
 * - Signals whose default action ends any other process are ignored by process 1 unless it handles them.
 */

import { reap } from "../../libc.ts";
import { listFolder, readText, statOf } from "../../procfs.ts";
import { onSignals, signalStatus } from "./signals.ts";

/**
 * How long to leave a zombie to Bun, which must reap the processes that it started itself. Bun does that within one turn
 * of the event loop.
 */
const GRACE_MS = 500;

export function actAsInit(exit: (status: number) => void): void {
  onSignals(["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP"], (name) => {
    if (process.listenerCount(name) === 1) exit(signalStatus(name));
  });
  /** When each zombie was first seen. A pid is not reused before the process has been reaped. */
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

/** The children of all threads of this process: Bun starts processes from several, and the kernel assigns orphans to any. */
function listChildren(): readonly number[] {
  return listFolder("/proc/self/task").flatMap((thread) =>
    readText(`/proc/self/task/${thread}/children`).split(" ").filter(Boolean).map(Number),
  );
}

function isZombie(pid: number): boolean {
  return statOf(pid)[0] === "Z";
}
