/**
 * How this program starts itself again: as a daemon, as the guardian of a mount, as a helper that runs users' code.
 *
 * The executable may be replaced or removed while a mount runs, for example by an upgrade. The new process must run the
 * same version, so it is started from the running file itself. While the path still leads to that file, the path is
 * used, because `ps` shows it and names the process after it.
 */
import type { Stats } from "node:fs";

/** The first argument if this program is started as something other than the command line. */
export const ROLE = { daemon: "--daemon", guardian: "--guardian", helper: "--helper" } as const;

/** The running program, even if its path has changed. Valid only for a process that this one starts directly. */
const RUNNING = "/proc/self/exe";

/** The command that starts this program; arguments follow. All its paths are absolute. */
export function selfCommand(): readonly string[] {
  if (!isCompiled()) return fromSource();
  return [isSameFile(statOf(process.execPath), statOf(RUNNING)) ? process.execPath : RUNNING];
}

/** The same for another program (unshare) to start, because /proc/self then refers to that program. */
export function selfCommandForOthers(): readonly string[] {
  return isCompiled() ? [process.execPath] : fromSource();
}

/** Starts this program again in this process, with these arguments and this environment. Returns only if that is impossible. */
export function startAgain(argv: readonly string[], environment: Readonly<Record<string, string | undefined>>): void {
  const [file = process.execPath, ...before] = selfCommand();
  process.execve?.(file, [process.argv0, ...before, ...argv], { ...environment });
}

export function isCompiled(): boolean {
  return Bun.main.startsWith("/$bunfs/");
}

/** Not Bun.main, which may be a test, or a program that uses llmfs as a library. */
function fromSource(): readonly string[] {
  return [process.execPath, Bun.fileURLToPath(new URL("./main.ts", import.meta.url))];
}

/** Also true if /proc does not say, because then only the path is known. */
function isSameFile(named: Stats | undefined, running: Stats | undefined): boolean {
  return running === undefined || (named?.dev === running.dev && named.ino === running.ino);
}

function statOf(path: string): Stats | undefined {
  try {
    // Loaded when it is needed: the daemon starts its thread before that.
    return process.getBuiltinModule("node:fs").statSync(path);
  } catch {
    return undefined;
  }
}
