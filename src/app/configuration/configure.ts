/**
 * The settings of a command: its flags, the environment, the project's configuration, and the user's own beneath it.
 *
 * A configuration is read only if the user has named or trusted it, its settings included: a base URL receives the key.
 */
import { messageOf } from "../../errno.ts";
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
  readonly rules: string | undefined;
}

/** Throws UserError. */
export async function configure(args: SettingsArguments, person: Person): Promise<Config> {
  const { settings, rules } = await readConfigurations(args.config, person);
  return { ...readConfig(args, undefined, settings), configFile: rules };
}

/** `given` is the value of `--config`. Throws UserError. */
export async function readConfigurations(given: string | undefined, person: Person): Promise<Configurations> {
  const files = await findConfigurations(given, person);
  if (files.length === 0) return { files, settings: [], rules: undefined };
  const [{ describeFile }, { readSettings }] = await Promise.all([
    import("../../generators/config/document.ts"),
    import("./settings-file.ts"),
  ]);
  const described = await Promise.all(
    files.map((file) =>
      describeFile(file, { environment: childEnvironment({}), print: person.say }).catch((cause: unknown) => {
        throw new UserError("input", messageOf(cause), { cause });
      }),
    ),
  );
  return {
    files,
    settings: files.map((file, index) => readSettings(file, described[index]?.settings ?? {})),
    rules: files.find((_, index) => hasRules(described[index])),
  };
}

/** Settings alone come from every configuration; rules and generators from the nearest one that has any. */
export function hasRules(description: Description | undefined): boolean {
  return description?.rules !== undefined || Object.keys(description?.generators ?? {}).length > 0;
}
