/** The user's own folder. */
import { homedir } from "node:os";
import { createValueError } from "../errors.ts";

/**
 * What HOME says, else the user's entry in /etc/passwd. For a user id without an entry, as containers have them, it is
 * "/", as it is for Docker. Throws UserError for a relative path: nothing of ours may lie where we happen to stand.
 */
export function homeDirectory(said: string | undefined): string {
  if (said === undefined || said === "") {
    try {
      return homedir();
    } catch {
      return "/";
    }
  }
  if (said.startsWith("/")) return said;
  throw createValueError("HOME", `HOME is "${said}", which is no absolute path; set it to your own folder`);
}
