/** The user's own folder. */
import { homedir } from "node:os";
import { wrong } from "./exit.ts";

/** What HOME says. Throws CliError where that is no absolute path: nothing of ours may lie where we happen to stand. */
export function home(said: string | undefined): string {
  if (said === undefined || said === "") return homedir();
  if (said.startsWith("/")) return said;
  throw wrong("HOME", `HOME is "${said}", which is no absolute path; set it to your own folder`);
}
