/**
 * Chooses the generator configuration of a command. A configuration can run programs and send secrets. Therefore it is
 * never read from inside an llmfs mount, where a model may have written it, and the chosen file is always reported.
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

/** The value of `--config` that disables configurations. */
const NONE = "none";

/**
 * The file named by `--config`, or found in the current directory, for commands that execute its rules. Throws UserError.
 */
export async function findConfigurationToRun(given: string | undefined, say: Say): Promise<string | undefined> {
  return announce(given === undefined ? await findHere(say) : requireNamed(given), say);
}

/**
 * Like `configurationToRun`, for commands that only inspect: a file with code runs only if `--config` names it. A file with
 * code that was only found is passed to `passedOver`, which may throw if the command needs it.
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

/** The message if a configuration with code must be named to run. */
export function explainCodeNotRun(file: string): string {
  return `${basename(file)} contains code and was not run; to run it, pass --config ${basename(file)}`;
}

function warnOfCode(file: string, say: Say): void {
  say(`warning: ${explainCodeNotRun(file)}, or --config ${NONE} to ignore it`);
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
  if (mount === undefined) throw new UserError("input", `--config ${given}: no such file`);
  throw new UserError(
    "input",
    `--config ${given}: the file is inside ${mount}, where a model may have written it; copy it elsewhere to use it`,
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
  say(`warning: ignoring ${basename(file)}: it is inside ${mount}, where a model may have written it`);
  return undefined;
}
