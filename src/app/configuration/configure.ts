/**
 * The settings of a command: its flags, the environment, the project's configuration, and the user's own beneath it.
 *
 * A configuration is read only if the user has named or trusted it, its settings included: a base URL receives the key.
 */
import { messageOf } from "../../errno.ts";
import type { DescribedConfiguration } from "../../generators/config/document.ts";
import { ConfigProblem, type KeyPath } from "../../generators/config/problem.ts";
import type { Description } from "../../generators/workers/messages.ts";
import { UserError } from "../errors.ts";
import type { SettingsFile } from "../settings/given.ts";
import { type Config, childEnvironment, readConfig } from "../settings/settings.ts";
import type { SettingsArguments } from "../settings/table.ts";
import { findConfigurations, type Person } from "./choose.ts";

/** The configuration files of a command. */
export interface Configurations {
  /** The nearest first. */
  readonly files: readonly string[];
  readonly settings: readonly SettingsFile[];
  /** The nearest file with generators or rules. */
  readonly rules: DescribedConfiguration | undefined;
}

/** Throws UserError. */
export async function configure(args: SettingsArguments, person: Person): Promise<Config> {
  const { settings, rules } = await readConfigurations(args.config, person);
  const config = await withLines(settings, () => readConfig(args, undefined, settings));
  const providers = await Promise.all(
    config.providers.map(async (provider) =>
      provider.problem === undefined
        ? provider
        : { ...provider, problem: await locateProblem(settings, provider.problem) },
    ),
  );
  return { ...config, providers, configuration: rules };
}

/** A problem that is reported only if the value is needed. Adds the line, as for all others. */
async function locateProblem(settings: readonly SettingsFile[], problem: string): Promise<string> {
  const fail = () => {
    throw new UserError("input", problem);
  };
  return await withLines(settings, fail).catch(messageOf);
}

/** Adds the line to a message that begins with one of the files and a key. */
export async function withLines<T>(
  files: readonly Pick<SettingsFile, "file">[],
  read: () => T | Promise<T>,
): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const named = files.find(({ file }) => error instanceof UserError && error.message.startsWith(`${file}: `));
    if (named === undefined || !(error instanceof UserError)) throw error;
    const [, unknown, key = "", inner] =
      /^: (?:unknown key "([^"]*)"|([\w-]+)(?:\.([\w-]+))?)/.exec(error.message.slice(named.file.length)) ?? [];
    throw await addLine(named.file, inner === undefined ? [unknown ?? key] : [key, inner], error);
  }
}

async function addLine(file: string, path: KeyPath, error: Error): Promise<UserError> {
  const { locate } = await import("./locate.ts");
  const line = await locate(file, path);
  const message = line === undefined ? error.message : error.message.replace(`${file}: `, `${file}:${line}: `);
  const kind = error instanceof UserError && error.exit !== "usage" ? error.exit : "input";
  return new UserError(kind, message, { cause: error });
}

/** The error of loading a configuration, with the line of the mistake. */
export async function explainProblem(file: string, error: unknown): Promise<UserError> {
  if (error instanceof ConfigProblem) return await addLine(file, error.path, error);
  return new UserError("input", messageOf(error), { cause: error });
}

/** `given` is the value of `--config`. Throws UserError. */
export async function readConfigurations(given: string | undefined, person: Person): Promise<Configurations> {
  const chosen = await findConfigurations(given, person);
  const files = chosen.map(({ file }) => file);
  if (files.length === 0) return { files, settings: [], rules: undefined };
  const [{ describeConfiguration }, { readSettings }] = await Promise.all([
    import("../../generators/config/document.ts"),
    import("./settings-file.ts"),
  ]);
  const read = await Promise.all(
    chosen.map((one) =>
      describeConfiguration(one, { environment: childEnvironment({}), print: person.say }).catch(
        async (error: unknown) => {
          throw await explainProblem(one.file, error);
        },
      ),
    ),
  );
  return {
    files,
    settings: await Promise.all(
      read.map(({ file, description }) => withLines([{ file }], () => readSettings(file, description.settings))),
    ),
    rules: read.find(({ description }) => hasRules(description)),
  };
}

/** Settings alone come from every configuration; rules and generators from the nearest one that has any. */
export function hasRules({ rules, generators }: Description): boolean {
  return rules !== undefined || Object.keys(generators).length > 0;
}
