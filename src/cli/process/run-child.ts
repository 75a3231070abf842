/** A program that llmfs runs for the user. It receives our signals, and its exit status becomes ours. */
import type { Subprocess } from "bun";
import { statOf } from "../../procfs.ts";
import { onSignals, signalStatus } from "./signals.ts";

/**
 * The command line that starts a program in the mount, whose path is in LLMFS_MOUNT.
 *
 * A shell changes into the mount and then executes the program. Bun's spawn blocks its thread until the exec has
 * completed, but the exec of a pending file completes only after this same thread has generated it. The shell also
 * reports that a program is not found (127) or cannot be executed (126).
 */
export function commandInMount(cmd: readonly string[]): string[] {
  return ["/bin/sh", "-c", 'cd "$LLMFS_MOUNT" && exec "$@"', "llmfs run", ...cmd];
}

/** The signals that users and supervisors send on purpose. */
const FORWARDED = ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"] as const;

/**
 * Waits for the child and passes signals on to it. SIGINT and SIGQUIT are not passed on if they come from our terminal,
 * which sends them to the child as well. Resolves with the exit status, 128 + n if signal n ended the child.
 */
export async function forwardSignals(child: Subprocess): Promise<number> {
  using _ = onSignals(FORWARDED, (name) => {
    const fromTerminal = (name === "SIGINT" || name === "SIGQUIT") && isInForeground();
    if (!fromTerminal) child.kill(name);
  });
  const status = await child.exited;
  return child.signalCode === null ? status : signalStatus(child.signalCode);
}

/** Whether our process group receives the signals of a terminal: pgrp and tpgid of proc_pid_stat(5). */
function isInForeground(): boolean {
  const [, , pgrp, , , tpgid] = statOf("self");
  return pgrp !== undefined && pgrp === tpgid;
}
