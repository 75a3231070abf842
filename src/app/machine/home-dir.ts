/** The user's home directory. */
import { createValueError } from "../errors.ts";

/**
 * HOME, or else the user's entry in /etc/passwd. For a uid without an entry, as in containers, it is "/", as in Docker.
 * Throws UserError for a relative path, because files must not depend on the current directory.
 */
export function homeDirectory(said: string | undefined): string {
  if (said === undefined || said === "") {
    try {
      // Loaded when it is needed, because HOME is almost always set.
      return process.getBuiltinModule("node:os").homedir();
    } catch {
      return "/";
    }
  }
  if (said.startsWith("/")) return said;
  throw createValueError("HOME", `HOME is "${said}", which is not an absolute path; set it to your home directory`);
}
