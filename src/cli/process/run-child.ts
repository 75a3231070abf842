/** A program that llmfs runs for the user: signals go to it, its end becomes our exit status. */
import { readFileSync } from "node:fs";
import type { Subprocess } from "bun";
import { onSignals, signalStatus } from "./signals.ts";

/**
 * The command line by which a program is started in the mount, whose path is in LLMFS_MOUNT.
 *
 * The shell changes into the mount and becomes the program, in a process of its own: Bun's spawn blocks its thread
 * until the exec is done, and the exec of a file that has yet to be generated is done when this very thread has
 * generated it. The shell says so itself where the program is not found (127) or can't be executed (126).
 */
export function commandInMount(cmd: readonly string[]): string[] {
  return ["/bin/sh", "-c", 'cd "$LLMFS_MOUNT" && exec "$@"', "llmfs run", ...cmd];
}

/** What people and supervisors send to a program on purpose. */
const FORWARDED = ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"] as const;

/**
 * Waits for the child. What ends us ends it: SIGTERM and the like are passed on, SIGINT and SIGQUIT too unless
 * they come from our terminal, which sends them to the child as well. Resolves with its status, 128 + n if a signal ended it.
 */
export async function forwardSignals(child: Subprocess): Promise<number> {
  using _ = onSignals(FORWARDED, (name) => {
    const fromTerminal = (name === "SIGINT" || name === "SIGQUIT") && isInForeground();
    if (!fromTerminal) child.kill(name);
  });
  const status = await child.exited;
  return child.signalCode === null ? status : signalStatus(child.signalCode);
}

/** Whether the terminal, if there is one, sends its signals to our process group: proc_pid_stat(5), pgrp and tpgid. */
function isInForeground(): boolean {
  const stat = readFileSync("/proc/self/stat", "latin1");
  // The program's name, in parentheses, may hold anything.
  const [, , pgrp, , , tpgid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return pgrp !== undefined && pgrp === tpgid;
}
