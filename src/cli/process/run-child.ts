/** A program that llmfs runs for the user. It receives our signals, and its exit status becomes ours. */
import type { Subprocess } from "bun";
import { statOf } from "../../procfs.ts";
import { printableLine } from "../../text/printable.ts";
import { onSignals, signalStatus } from "./signals.ts";

/**
 * The command line that starts a program in the mount, whose path is in LLMFS_MOUNT.
 *
 * A shell changes into the mount and then executes the program. Bun's spawn blocks its thread until the exec has
 * completed, but the exec of a pending file completes only after this same thread has generated it. The shell also
 * reports what only the attempt can show, such as an interpreter that is not there (127).
 */
export function commandInMount(cmd: readonly string[]): string[] {
  return ["/bin/sh", "-c", START, "llmfs run", printableLine(cmd[0] ?? ""), ...cmd];
}

/** Its first argument is the name of the program, as messages show it. Only a path in the tree has not been checked before. */
const START = `
cd "$LLMFS_MOUNT" || exit
shown=$1
shift
refuse() { printf 'llmfs: %s %s\\n' "$shown" "$2" >&2; exit "$1"; }
case $1 in
/*) ;;
*/*)
  [ -e "$1" ] || refuse 127 "does not exist in the tree; a program outside of the tree needs an absolute path"
  [ ! -d "$1" ] || refuse 126 "is a directory, not a program"
  [ -x "$1" ] || refuse 126 "is not executable; make it so with chmod +x, or name the program that runs it, such as sh"
  ;;
esac
exec "$@"
`;

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
