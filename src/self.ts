/**
 * How this program is started again: as a daemon, as the guardian of a mount, as a helper that runs users' code.
 *
 * The executable may be replaced, or removed, while a mount runs (an upgrade). What is started then must be the program
 * that is running, not another version of it, so the kernel is asked for the very file. While the path still leads to
 * that file the path is used, because `ps` shows it and names the process after it.
 */
import { type Stats, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The first argument, where this program is started to be something else than the command line. */
export const ROLE = { daemon: "--daemon", guardian: "--guardian", helper: "--helper" } as const;

/** The running program, whatever has become of its path. Only in a process that it starts directly. */
const RUNNING = "/proc/self/exe";

/** The command that starts this program; arguments follow. All paths in it are absolute. */
export function selfCommand(): readonly string[] {
  if (!isCompiled()) return fromSource();
  return [isSameFile(statOf(process.execPath), statOf(RUNNING)) ? process.execPath : RUNNING];
}

/** The same for another program (unshare) to start, for which /proc/self is that program. */
export function selfCommandForOthers(): readonly string[] {
  return isCompiled() ? [process.execPath] : fromSource();
}

function isCompiled(): boolean {
  return Bun.main.startsWith("/$bunfs/");
}

/** Not Bun.main, which is the test or the program that uses llmfs as a library. */
function fromSource(): readonly string[] {
  return [process.execPath, fileURLToPath(new URL("./main.ts", import.meta.url))];
}

/** True where /proc does not say: the path is all there is. */
function isSameFile(named: Stats | undefined, running: Stats | undefined): boolean {
  return running === undefined || (named?.dev === running.dev && named.ino === running.ino);
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
