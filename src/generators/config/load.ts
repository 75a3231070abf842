/**
 * Loads the configuration of generators: the built-in ones, those it names, the user's own, and the rules.
 *
 * A file that is code runs in a helper process, never in this one.
 */

import { statSync } from "node:fs";
import { dirname, extname } from "node:path";
import { DEFAULT_GENERATOR } from "../../attributes.ts";
import { readRegular, TooLongError } from "../../text/bounded-read.ts";
import type { ContentGenerator } from "../contract.ts";
import { createSourceGenerators } from "../index.ts";
import { MOUNT_VARIABLE, type SourceGenerator } from "../source.ts";
import { OwnCode } from "../user-generators.ts";
import type { Description } from "../workers/messages.ts";
import { ProcessGroups } from "../workers/process-groups.ts";
import type { BuiltIn } from "./config.ts";
import { isCode } from "./find-config.ts";
import { isRecord, type Options, readText, refuseUnknownOptions } from "./options.ts";
import { compileRules, type Rule, Rules } from "./rules.ts";
import { explainDataError } from "./syntax.ts";

export interface ConfigLoadOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where the tree is, or is to be, mounted; absent: nowhere. */
  readonly mountpoint?: string;
  /** What the user's code prints, line by line. */
  readonly print: (line: string) => void;
  /** How long a helper process may have nothing to do before it is ended. */
  readonly idleMs?: number;
}

/** One generator and where it is from. */
export interface LoadedGenerator {
  readonly generator: ContentGenerator;
  /** "built in", "sql, with options", or the file. */
  readonly from: string;
}

export interface LoadedConfig extends AsyncDisposable {
  readonly file: string;
  readonly generators: ReadonlyMap<string, LoadedGenerator>;
  readonly rules: Rules;
  /** What is to be in the tree before anybody looks. */
  readonly plants: readonly Planted[];
  /** Everything that was started for it. */
  readonly groups: ProcessGroups;
}

/** A file or a directory that a rule makes exist. */
export interface Planted {
  readonly path: string;
  readonly type: "file" | "directory";
  /** Who makes the file, or lists the directory; absent: nobody lists it. */
  readonly generator?: string;
  readonly refresh?: Rule["refresh"];
}

/** Rejects with Error that names the file and what is wrong with it. */
export async function loadConfig(file: string, options: ConfigLoadOptions): Promise<LoadedConfig> {
  const groups = new ProcessGroups();
  const environment = { ...options.environment, [MOUNT_VARIABLE]: options.mountpoint };
  const own = new OwnCode(file, { ...options, environment, groups, cwd: dirname(file) });
  const built = createSourceGenerators({ base: dirname(file), ...options, groups });
  const dispose = async () => {
    for (const generator of built.values()) await generator.dispose?.();
    await own[Symbol.asyncDispose]();
    await groups[Symbol.asyncDispose]();
  };
  try {
    const description = await readFile(file, own);
    const generators = new Map<string, LoadedGenerator>();
    for (const [name, generator] of built) generators.set(name, { generator, from: "built in" });
    const named = new Map<string, BuiltIn>();
    for (const [name, about] of Object.entries(description.generators)) {
      if ("builtIn" in about) {
        const generator = built.get(about.builtIn.use);
        if (generator === undefined) throw new Error(`generator "${name}": there is no ${about.builtIn.use} to use`);
        named.set(name, about.builtIn);
        generators.set(name, { generator, from: `${about.builtIn.use}, with options from ${file}` });
      } else generators.set(name, { generator: own.createGenerator(name, about), from: file });
    }
    const secrets = new Set<string>();
    const parts = {
      named,
      known: [...generators.keys(), DEFAULT_GENERATOR].sort(),
      environment: options.environment,
      taken: (value: string) => void secrets.add(value),
      lists: (name: string, given: Options) => lists(generators.get(name)?.generator, given),
    };
    const implied = [...generators].flatMap(([name, { generator }]) => impliedRules(name, generator));
    const compiled = [...compileRules(description.rules, parts), ...compileRules(implied, parts)];
    const rules = new Rules(compiled, secrets);
    for (const rule of rules.all)
      await validate(
        rule,
        rule.generator === DEFAULT_GENERATOR ? FOR_MODEL : generators.get(rule.generator)?.generator,
      );
    return {
      file,
      generators,
      rules,
      plants: rules.all.flatMap(plantsOf),
      groups,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(message.includes(file) ? message : `${file}: ${message}`, { cause: error });
  }
}

async function readFile(file: string, own: OwnCode): Promise<Description> {
  if (isCode(file)) {
    // The runtime reads it to its end, if it has one.
    const info = statSync(file, { throwIfNoEntry: false });
    if (info?.isFile() === false) throw new Error("it is not a regular file");
    if ((info?.size ?? 0) > LONGEST_CODE) throw new TooLongError(LONGEST_CODE);
    return own.describe();
  }
  switch (extname(file)) {
    case ".json":
      return describeError(await parseConfig(file, "jsonc", JSON.parse));
    case ".yaml":
    case ".yml":
      return describeError(await parseConfig(file, "yaml", Bun.YAML.parse));
    case ".toml":
      return describeError(await parseConfig(file, "toml", Bun.TOML.parse));
    default:
      throw new Error("a configuration ends in .ts, .js, .json, .yaml or .toml");
  }
}

/** Of a configuration that is data, and of one that is code. */
const LONGEST_DATA = 4 * 1024 * 1024;
const LONGEST_CODE = 16 * 1024 * 1024;

async function parseConfig(
  file: string,
  type: "jsonc" | "yaml" | "toml",
  parse: (text: string) => unknown,
): Promise<unknown> {
  const text = (await readRegular(file, LONGEST_DATA)).toString("utf8");
  try {
    return parse(text);
  } catch (cause) {
    const fault = await explainDataError(file, type);
    throw fault === undefined ? cause : new Error(fault, { cause });
  }
}

function describeError(value: unknown): Description {
  if (!isRecord(value)) throw new Error("it is no object with generators and rules");
  const unknown = Object.keys(value).find((key) => key !== "generators" && key !== "rules" && key !== "$schema");
  if (unknown !== undefined) throw new Error(`there is no ${JSON.stringify(unknown)}; expected generators, rules`);
  const { generators = {}, rules } = value;
  if (!isRecord(generators)) throw new Error('"generators" must be an object');
  const named = Object.entries(generators).map(([name, one]): [string, { builtIn: BuiltIn }] => {
    if (!isRecord(one) || typeof one.use !== "string") {
      throw new Error(
        `generator "${name}" needs "use" with the name of a built-in one; one's own need a .ts or .js file`,
      );
    }
    return [name, { builtIn: { ...one, use: one.use } }];
  });
  return { generators: Object.fromEntries(named), rules };
}

function impliedRules(generator: string, { match = [] }: ContentGenerator): unknown[] {
  return match.length === 0 ? [] : [{ match, generator }];
}

/** What a rule for the model may say. */
const FOR_MODEL = {
  validate(options) {
    refuseUnknownOptions(options, ["prompt", "model"]);
    readText(options, "prompt");
    readText(options, "model");
  },
} satisfies Partial<SourceGenerator>;

async function validate(rule: Rule, checking: Pick<SourceGenerator, "validate" | "suits"> | undefined): Promise<void> {
  const { name, generator, options, match } = rule;
  try {
    await checking?.validate?.(options);
    checking?.suits?.(match, options);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`${name} (generator "${generator}"): ${message}`, { cause: error });
  }
}

function plantsOf({ match, generator, refresh, lists, looksUp }: Rule): Planted[] {
  const common = { generator, ...(refresh !== undefined && { refresh }) };
  if (lists) return [{ ...common, type: "directory", path: match.root }];
  if (match.paths !== undefined) return match.paths.map((path) => ({ ...common, type: "file", path }));
  return looksUp && match.root !== "/" ? [{ type: "directory", path: match.root }] : [];
}

function lists(maker: SourceGenerator | undefined, options: Options): boolean {
  return maker?.list !== undefined && (maker.lists?.(options) ?? true);
}
