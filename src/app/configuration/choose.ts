/**
 * Chooses the configuration files of a command. A configuration can run programs and send secrets. Therefore one that
 * was only found must be trusted first (see trust.ts), none is ever read from inside an llmfs mount, where a model may have
 * written it, and the chosen file is always reported.
 */
import { existsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { findConfig } from "../../generators/config/find-config.ts";
import { type ConfigurationFile, digestOf } from "../../generators/trusted-content.ts";
import { findMountOnPath } from "../../inside-mount.ts";
import { UserError } from "../errors.ts";
import { absolutePath, currentDirectory } from "../machine/current-directory.ts";
import type { Say } from "../progress.ts";
import { isAnswering } from "../running/answering.ts";
import { findMount } from "../running/find-mount.ts";
import { configFolder } from "../settings/settings.ts";
import { type Configuration, isTrusted, isTrustedPath, readConfiguration, trust, wasTrusted } from "./trust.ts";

/** The value of `--config` that disables configurations. */
const NONE = "none";

/** Reports a configuration to the user, and asks whether to trust it. */
export interface Person {
  readonly say: Say;
  /** Asks whether to trust a configuration from now on; undefined without a terminal. */
  readonly askForTrust: ((configuration: Configuration) => boolean) | undefined;
}

/**
 * The file named by `--config` or found in the current directory, then the user's own. Throws UserError, also for a file
 * that was found and is not trusted.
 */
export async function findConfigurations(
  given: string | undefined,
  person: Person,
): Promise<readonly ConfigurationFile[]> {
  if (given === NONE) return [];
  const named = given === undefined ? undefined : requireOutside(given, `--config ${given}`);
  const nearest = named === undefined ? await findTrusted(person) : { file: named };
  const own = findOwn(person.say);
  const files = [nearest, own === nearest?.file || own === undefined ? undefined : { file: own }].filter(
    (one) => one !== undefined,
  );
  for (const { file } of files) person.say(`configuration: ${file}`);
  return files;
}

/** The user's own configuration, which applies below every other. */
function findOwn(say: Say): string | undefined {
  return ignoreInMount(findConfig(configFolder(), "config"), say);
}

/** The file or directory named on the command line, or the current directory, for `llmfs trust`. Throws UserError. */
export async function chooseConfigurationToTrust(given: string | undefined, say: Say): Promise<Configuration> {
  const file = given === undefined ? await findHere(say) : configurationAt(requireOutside(given, given), given);
  if (file === undefined) throw new UserError("input", `there is no ${EXPECTED} here; name the file`);
  return readConfiguration(file);
}

/** `path` itself, or the configuration in that directory. */
function configurationAt(path: string, shown: string): string {
  if (!statSync(path).isDirectory()) return path;
  const file = findConfig(path);
  if (file === undefined) throw new UserError("input", `there is no ${EXPECTED} in ${shown}`);
  return file;
}

/** What a configuration in the current directory may be called. */
export const EXPECTED = "llmfs.config.ts, .js, .json, .yaml, .yml or .toml";

function requireOutside(given: string, shown: string): string {
  const file = absolutePath(given);
  const mount = findMountOnPath(file);
  if (mount === undefined && existsSync(file)) return file;
  if (mount === undefined) throw new UserError("input", `${shown}: no such file`);
  throw new UserError(
    "input",
    `${shown}: the file is inside ${mount}, where a model may have written it; copy it elsewhere to use it`,
  );
}

async function findTrusted({ say, askForTrust }: Person): Promise<ConfigurationFile | undefined> {
  const file = await findHere(say);
  if (file === undefined) return undefined;
  if (isTrustedPath(file)) return { file };
  const configuration = await readConfiguration(file);
  const isKnown = isTrusted(configuration);
  if (!isKnown && askForTrust?.(configuration) !== true) throw createTrustError(file);
  if (!isKnown) remember(configuration, say);
  // Whoever loads the file next reads it again.
  return { file, digest: digestOf(configuration.content) };
}

/** The answer applies to this command, even if it cannot be stored. */
function remember(configuration: Configuration, say: Say): void {
  try {
    trust(configuration);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    say(`warning: ${error.message}`);
  }
}

function createTrustError(file: string): UserError {
  const name = basename(file);
  return new UserError(
    "input",
    `${name} in the current directory ${wasTrusted(file) ? "has changed since you trusted it" : "is not trusted"}: it can ` +
      `run programs and send data and keys to servers. Read it; then run "llmfs trust", or name it with --config ${name}. --config ${NONE} ignores it`,
  );
}

async function findHere(say: Say): Promise<string | undefined> {
  const folder = currentDirectory();
  const around = folder === undefined ? undefined : findMount(folder);
  // A configuration in a mount is never used, and a stopped mount would block this process.
  if (around !== undefined && (await isAnswering(around.mount)) !== "yes") return undefined;
  return ignoreInMount(folder === undefined ? undefined : findConfig(folder), say);
}

function ignoreInMount(file: string | undefined, say: Say): string | undefined {
  const mount = file === undefined ? undefined : findMountOnPath(file);
  if (file === undefined || mount === undefined) return file;
  say(`warning: ignoring ${basename(file)}: it is inside ${mount}, where a model may have written it`);
  return undefined;
}
