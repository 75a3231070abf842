/**
 * Reads a configuration file: its generators, its rules, and its settings, which are all other keys.
 *
 * A file that contains code runs in a helper process, never in this one.
 */
import { statSync } from "node:fs";
import { dirname, extname } from "node:path";
import { readRegular, TooLongError } from "../../text/bounded-read.ts";
import { type ConfigurationFile, requireTrusted } from "../trusted-content.ts";
import { OwnCode } from "../user-generators.ts";
import type { Description } from "../workers/messages.ts";
import { ProcessGroups } from "../workers/process-groups.ts";
import type { HelperOptions } from "../workers/worker-process.ts";
import type { DataFormat } from "./data.ts";
import { isCode } from "./find-config.ts";
import { isRecord } from "./options.ts";
import { nameFile } from "./problem.ts";
import { checkBuiltIns } from "./schema.ts";

/** The maximum size of a configuration file. */
const LONGEST_DATA = 4 * 1024 * 1024;
const LONGEST_CODE = 16 * 1024 * 1024;

/** A configuration file that has been read, so that nobody has to read it, or run its code, again. */
export interface DescribedConfiguration extends ConfigurationFile {
  readonly description: Description;
}

/** The file alone, for its settings. Rejects with an Error that names the file and the problem. */
export async function describeConfiguration(
  configuration: ConfigurationFile,
  options: Omit<HelperOptions, "groups">,
): Promise<DescribedConfiguration> {
  const { file } = configuration;
  await using groups = new ProcessGroups();
  await using own = new OwnCode(configuration, { ...options, groups, cwd: dirname(file) });
  try {
    return { ...configuration, description: await readDocument(configuration, own) };
  } catch (error) {
    throw nameFile(file, error);
  }
}

/** `own`: for the code in the file, if it contains any; it checks the digest itself. Rejects with an Error. */
export async function readDocument(configuration: ConfigurationFile, own: OwnCode): Promise<Description> {
  const { file } = configuration;
  if (isCode(file)) {
    // The runtime would try to read a device or fifo to its end.
    const info = statSync(file, { throwIfNoEntry: false });
    if (info?.isFile() === false) throw new Error("it is not a regular file");
    if ((info?.size ?? 0) > LONGEST_CODE) throw new TooLongError(LONGEST_CODE);
    return own.describe();
  }
  switch (extname(file)) {
    case ".json":
      return describeData(await readData(configuration, "jsonc"));
    case ".yaml":
    case ".yml":
      return describeData(await readData(configuration, "yaml"));
    case ".toml":
      return describeData(await readData(configuration, "toml"));
    default:
      throw new Error("a configuration file must end in .ts, .js, .json, .yaml, .yml or .toml");
  }
}

async function readData(configuration: ConfigurationFile, format: DataFormat): Promise<unknown> {
  const { file } = configuration;
  const content = await readRegular(file, LONGEST_DATA);
  requireTrusted(configuration, () => content);
  const { parseData } = await import("./data.ts");
  return await parseData(file, content.toString("utf8"), format);
}

function describeData(value: unknown): Description {
  // A YAML file with nothing but comments.
  if (value === null || value === undefined) return { generators: {}, rules: undefined, settings: {} };
  if (!isRecord(value)) throw new Error("it is not an object with settings, generators and rules");
  const { generators = {}, rules, $schema: _, ...settings } = value;
  const named = Object.entries(checkBuiltIns(generators)).map(([name, builtIn]) => [name, { builtIn }]);
  return { generators: Object.fromEntries(named), rules, settings };
}
