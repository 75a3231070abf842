/**
 * The current directory, which may have been removed since the shell entered it.
 *
 * Without one, getcwd(2) fails with ENOENT, and `resolve` of node:path falls back to the directory of the executable
 * without reporting anything. Resolve paths from the command line and the environment with `absolutePath` only.
 */
import { isAbsolute, resolve } from "node:path";
import { codeOf } from "../../errno.ts";
import { UserError } from "../errors.ts";

/** Why this process had no current directory when it started. */
let missing: string | undefined;

/** Call before anything else. Child processes need a current directory too: without one, this process moves to "/". */
export function leaveRemovedDirectory(): void {
  try {
    process.cwd();
  } catch (error) {
    missing =
      codeOf(error) === "ENOENT"
        ? "the current directory has been removed or unmounted"
        : `the current directory cannot be determined (${codeOf(error) ?? String(error)})`;
    process.chdir("/");
  }
}

/** Undefined when llmfs was started in a directory that no longer exists. */
export function currentDirectory(): string | undefined {
  return missing === undefined ? process.cwd() : undefined;
}

/**
 * `folder`: what a relative path starts from, if not the current directory. Throws UserError("input") for a relative path
 * without a current directory to resolve it from.
 */
export function absolutePath(path: string, folder?: string): string {
  if (folder !== undefined) return resolve(folder, path);
  if (isAbsolute(path) || missing === undefined) return resolve(path);
  throw new UserError("input", `${path || "."}: ${missing}; use an absolute path, or change to another directory`);
}
