/**
 * Which configuration of generators a command uses. What is in one can run programs and send secrets, so it is never
 * taken from inside an llmfs mount, where a model may have written it, and the one that is used is named.
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { findConfig, isCode } from "../generators/config/find-config.ts";
import { findMountOnPath } from "../inside-mount.ts";
import { UserError } from "./errors.ts";
import { absolutePath, currentDirectory } from "./machine/current-directory.ts";
import type { Say } from "./progress.ts";
import { isAnswering } from "./running/answering.ts";
import { findMount } from "./running/find-mount.ts";

/** In place of a file: no configuration at all. */
const NONE = "none";

/**
 * The file that `--config` names, or that lies in the directory where the command is run, for commands that do what is
 * in it. Throws UserError.
 */
export async function findConfigurationToRun(given: string | undefined, say: Say): Promise<string | undefined> {
  return announce(given === undefined ? await findHere(say) : requireNamed(given), say);
}

/**
 * The same for commands that only look: code runs only if `--config` names its file. `passedOver` gets the file that was
 * found and holds code; it may throw where the command is of no use without it.
 */
export async function findConfigurationToRead(
  given: string | undefined,
  say: Say,
  passedOver: (file: string) => void = (file) => warnOfCode(file, say),
): Promise<string | undefined> {
  if (given !== undefined) return announce(requireNamed(given), say);
  const file = await findHere(say);
  if (file === undefined || !isCode(file)) return announce(file, say);
  passedOver(file);
  return undefined;
}

/** What a person is told who has to name a configuration that holds code. */
export function explainCodeNotRun(file: string): string {
  return `${basename(file)} holds code and was not run; name it to run it: --config ${basename(file)}`;
}

function warnOfCode(file: string, say: Say): void {
  say(`warning: ${explainCodeNotRun(file)}, or --config ${NONE} to do without`);
}

function announce(file: string | undefined, say: Say): string | undefined {
  if (file !== undefined) say(`configuration: ${file}`);
  return file;
}

function requireNamed(given: string): string | undefined {
  if (given === NONE) return undefined;
  const file = absolutePath(given);
  const mount = findMountOnPath(file);
  if (mount === undefined && existsSync(file)) return file;
  if (mount === undefined) throw new UserError("input", `--config ${given}: there is no such file`);
  throw new UserError(
    "input",
    `--config ${given}: the file lies in ${mount}, where a model may have written it; copy it elsewhere to use it`,
  );
}

async function findHere(say: Say): Promise<string | undefined> {
  const folder = currentDirectory();
  const around = folder === undefined ? undefined : findMount(folder);
  // What is in there is not used in any case, and a mount that is stopped would keep this process waiting.
  if (around !== undefined && (await isAnswering(around.mount)) !== "yes") return undefined;
  const file = folder === undefined ? undefined : findConfig(folder);
  const mount = file === undefined ? undefined : findMountOnPath(file);
  if (file === undefined || mount === undefined) return file;
  say(`warning: ${basename(file)} is not used: it lies in ${mount}, where a model may have written it`);
  return undefined;
}
