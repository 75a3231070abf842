/** Which value of each setting counts: that of its flag, else of its variable, else of the nearest configuration file. */
import { dirname } from "node:path";
import { UsageError, UserError } from "../errors.ts";
import type { Environment, Lookup, Variable } from "./environment.ts";
import { kebabCase, keyOf, rowOf, type SettingName, type SettingsArguments } from "./table.ts";

/** The settings in a configuration file. */
export interface SettingsFile {
  /** The absolute path. Paths in it start from its directory. */
  readonly file: string;
  /** Each value as on the command line; "true" and "false" for a switch. Several for a flag that may be repeated. */
  readonly values: ReadonlyMap<SettingName, readonly string[]>;
}

/** A value as somebody wrote it. */
export interface Given {
  readonly text: string;
  /** For messages: "--size", "LLMFS_MODEL", "/home/me/llmfs.config.yaml: size". */
  readonly source: string;
  /** An environment variable that the value refers to, and that is not set. The value cannot be used. */
  readonly missing?: string;
  /** The directory from which relative paths start. Absent: the current one. */
  readonly folder?: string;
  /** The smaller, the more it counts. */
  readonly level: number;
}

/** All values from one place. */
export interface Layer {
  /** For messages: "the flags", "the environment", "/home/me/llmfs.config.yaml". */
  readonly from: string;
  readonly file?: SettingsFile;
  find(name: SettingName): Given | undefined;
}

/** How messages call a setting in a file. */
function labelOf(file: string, name: SettingName): string {
  return `${file}: ${keyOf(name)}`;
}

export class GivenSettings {
  /** The most important one first. */
  readonly layers: readonly Layer[];

  /** `files`: the nearest first. A command that does not take a setting as a flag does not take it from a file either. */
  constructor(args: SettingsArguments, environment: Environment, files: readonly SettingsFile[]) {
    const variable = createLookup(environment);
    this.layers = [
      { from: "the flags", find: (name) => fromFlag(args, name) },
      { from: "the environment", find: (name) => fromVariable(variable, name) },
      ...files.map((file, index) => ({
        from: file.file,
        file,
        find: (name: SettingName) => {
          const given = name in args ? fromFile(file, name, index + 2) : undefined;
          return given && rowOf(name).references ? fillIn(given, environment) : given;
        },
      })),
    ];
  }

  find(name: SettingName): Given | undefined {
    for (const layer of this.layers) {
      const given = layer.find(name);
      if (given !== undefined) return given;
    }
    return undefined;
  }

  /** Throws UserError. */
  parse<T>(name: SettingName, read: (source: string, text: string, folder?: string) => T): T | undefined {
    const given = this.find(name);
    if (given?.missing !== undefined) throw new UserError("input", explainMissing(given));
    return given && read(given.source, given.text, given.folder);
  }
}

/** The variables of an environment. */
export function createLookup(environment: Environment): Lookup {
  // A secret that a CI service does not give to a job is often empty: recordings must not be trusted silently then.
  const isSet = (name: Variable) => environment[name] !== "" || name === "LLMFS_RECORDINGS_KEY";
  return (name) => (isSet(name) ? environment[name] : undefined);
}

export function explainMissing({ source, missing }: Given): string {
  return `${source}: the environment variable ${missing} is not set`;
}

/** Replaces `${NAME}` by the value of that variable. */
function fillIn(given: Given, environment: Environment): Given {
  let missing: string | undefined;
  const text = given.text.replace(/\$\{([A-Za-z_]\w*)\}/g, (_, name: string) => {
    const value = environment[name];
    if (!value) missing ??= name;
    return value ?? "";
  });
  return { ...given, text, ...(missing !== undefined && { missing }) };
}

function fromFlag(args: SettingsArguments, name: SettingName): Given | undefined {
  if (name === "recordingsRequired" && args.noRecordingsRequired === true) {
    const negation = "--no-recordings-required";
    if (args.recordingsRequired !== true) return { text: "false", source: negation, level: 0 };
    throw new UsageError(`--recordings-required and ${negation} contradict each other; give one of them`);
  }
  const value = args[name];
  if (value === undefined) return undefined;
  const text = typeof value === "object" ? value.join("\n") : String(value);
  return { text, source: `--${kebabCase(name)}`, level: 0 };
}

function fromVariable(variable: Lookup, name: SettingName): Given | undefined {
  const { variable: source } = rowOf(name);
  const text = source && variable(source);
  return source === undefined || text === undefined ? undefined : { text, source, level: 1 };
}

function fromFile({ file, values }: SettingsFile, name: SettingName, level: number): Given | undefined {
  const texts = values.get(name);
  return texts && { text: texts.join("\n"), source: labelOf(file, name), folder: dirname(file), level };
}
