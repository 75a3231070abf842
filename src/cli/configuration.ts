/**
 * Which configuration of generators a command uses. What is in one can run programs and send secrets, so it is never
 * taken from inside an llmfs mount, where a model may have written it, and the one that is used is named.
 */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { mountOnTheWay } from "../fuse/inside-mount.ts";
import { findConfig, isCode } from "../generators/find.ts";
import { absolutePath, currentDirectory } from "./cwd.ts";
import { CliError } from "./exit.ts";
import { say } from "./terminal.ts";

/** In place of a file: no configuration at all. */
const NONE = "none";

/**
 * The file that `--config` names, or that lies in the directory where the command is run, for commands that do what is
 * in it. Throws CliError.
 */
export function configurationToRun(given: string | undefined): string | undefined {
  return announced(given === undefined ? found() : named(given));
}

/**
 * The same for commands that only look: code runs only if `--config` names its file. `passedOver` gets the file that was
 * found and holds code; it may throw where the command is of no use without it.
 */
export function configurationToRead(
  given: string | undefined,
  passedOver: (file: string) => void = warnOfCode,
): string | undefined {
  if (given !== undefined) return announced(named(given));
  const file = found();
  if (file === undefined || !isCode(file)) return announced(file);
  passedOver(file);
  return undefined;
}

/** What a person is told who has to name a configuration that holds code. */
export function codeIsNotRun(file: string): string {
  return `${basename(file)} holds code and was not run; name it to run it: --config ${basename(file)}`;
}

function warnOfCode(file: string): void {
  say(`warning: ${codeIsNotRun(file)}, or --config ${NONE} to do without`);
}

function announced(file: string | undefined): string | undefined {
  if (file !== undefined) say(`configuration: ${file}`);
  return file;
}

function named(given: string): string | undefined {
  if (given === NONE) return undefined;
  const file = absolutePath(given);
  if (!existsSync(file)) throw new CliError("input", `--config ${given}: there is no such file`);
  const mount = mountOnTheWay(file);
  if (mount === undefined) return file;
  throw new CliError(
    "input",
    `--config ${given}: the file lies in ${mount}, where a model may have written it; copy it elsewhere to use it`,
  );
}

function found(): string | undefined {
  const folder = currentDirectory();
  const file = folder === undefined ? undefined : findConfig(folder);
  const mount = file === undefined ? undefined : mountOnTheWay(file);
  if (file === undefined || mount === undefined) return file;
  say(`warning: ${basename(file)} is not used: it lies in ${mount}, where a model may have written it`);
  return undefined;
}
