/**
 * Loads the generators and rules of a configuration: built-in generators, the ones it names, the user's own, and the rules.
 * Its settings are read earlier, by app/configuration.
 */

import { dirname } from "node:path";
import { DEFAULT_GENERATOR } from "../../attributes.ts";
import type { ContentGenerator } from "../contract.ts";
import { createSourceGenerators } from "../index.ts";
import { MOUNT_VARIABLE, type SourceGenerator } from "../source.ts";
import type { ConfigurationFile } from "../trusted-content.ts";
import { OwnCode } from "../user-generators.ts";
import type { Description } from "../workers/messages.ts";
import { ProcessGroups } from "../workers/process-groups.ts";
import type { BuiltIn } from "./config.ts";
import { type DescribedConfiguration, readDocument } from "./document.ts";
import { FOR_MODEL } from "./model-options.ts";
import type { Options } from "./options.ts";
import { ConfigProblem, type KeyPath, nameFile } from "./problem.ts";
import { compileRules, type Rule, type RuleData, Rules } from "./rules.ts";
import { checkRules } from "./schema.ts";

export interface ConfigLoadOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The mountpoint, if the tree is or will be mounted. */
  readonly mountpoint?: string;
  /** Called with each line that the user's code prints. */
  readonly print: (line: string) => void;
  /** How long a helper process may be idle before it is ended. */
  readonly idleMs?: number;
}

/** A generator and its origin. */
export interface LoadedGenerator {
  readonly generator: ContentGenerator;
  /** "built in", "sql, with options", or the file. */
  readonly from: string;
}

export interface LoadedConfig extends AsyncDisposable {
  readonly file: string;
  readonly description: Description;
  readonly generators: ReadonlyMap<string, LoadedGenerator>;
  readonly rules: Rules;
  /** The entries that rules create in the tree. */
  readonly plants: readonly Planted[];
  /** All processes that were started for it. */
  readonly groups: ProcessGroups;
}

/** A file or directory that a rule creates. */
export interface Planted {
  readonly path: string;
  readonly type: "file" | "directory";
  /** The generator of the file, or of the directory's listing. Absent if no generator lists the directory. */
  readonly generator?: string;
  readonly refresh?: Rule["refresh"];
}

/**
 * The code of a configuration that has been read runs again only if its own generators are called, in a helper process of
 * their own. Rejects with an Error that names the file and the problem.
 */
export async function loadConfig(
  configuration: ConfigurationFile | DescribedConfiguration,
  options: ConfigLoadOptions,
): Promise<LoadedConfig> {
  const { file } = configuration;
  const groups = new ProcessGroups();
  const environment = { ...options.environment, [MOUNT_VARIABLE]: options.mountpoint };
  const own = new OwnCode(configuration, { ...options, environment, groups, cwd: dirname(file) });
  const built = createSourceGenerators({ base: dirname(file), ...options, groups });
  const dispose = async () => {
    for (const generator of built.values()) await generator.dispose?.();
    await own[Symbol.asyncDispose]();
    await groups[Symbol.asyncDispose]();
  };
  try {
    const description =
      "description" in configuration ? configuration.description : await readDocument(configuration, own);
    const generators = new Map<string, LoadedGenerator>();
    for (const [name, generator] of built) generators.set(name, { generator, from: "built in" });
    const named = new Map<string, BuiltIn>();
    for (const [name, about] of Object.entries(description.generators)) {
      if ("builtIn" in about) {
        const generator = built.get(about.builtIn.use);
        if (generator === undefined)
          throw new ConfigProblem(
            ["generators", name, "use"],
            `generator "${name}": unknown built-in generator ${about.builtIn.use}; expected one of: ${[...built.keys()].join(", ")}`,
          );
        named.set(name, about.builtIn);
        generators.set(name, { generator, from: `${about.builtIn.use}, with options from ${file}` });
      } else generators.set(name, { generator: own.createGenerator(name, about), from: file });
    }
    const secrets = new Set<string>();
    const parts = {
      named,
      known: [...generators.keys(), DEFAULT_GENERATOR].sort(),
      environment: options.environment,
      noteSecret: (value: string) => void secrets.add(value),
      lists: (name: string, given: Options) => lists(generators.get(name)?.generator, given),
    };
    const implied = [...generators].flatMap(([name, { generator }]) => impliedRules(name, generator));
    const compiled = [
      ...compileRules(checkRules(description.rules), parts),
      // They are not in the list of rules.
      ...compileRules(implied, parts).map(({ index: _, ...rule }) => ({
        ...rule,
        name: `generator "${rule.generator}"`,
      })),
    ];
    const rules = new Rules(compiled, secrets);
    for (const rule of rules.all)
      await validate(
        rule,
        rule.generator === DEFAULT_GENERATOR ? FOR_MODEL : generators.get(rule.generator)?.generator,
      );
    return {
      file,
      description,
      generators,
      rules,
      plants: rules.all.flatMap(plantsOf),
      groups,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw nameFile(file, error);
  }
}

function impliedRules(generator: string, { match = [] }: ContentGenerator): RuleData[] {
  return match.length === 0 ? [] : [{ match, generator }];
}

async function validate(rule: Rule, checking: Pick<SourceGenerator, "validate" | "suits"> | undefined): Promise<void> {
  const { name, generator, options, match } = rule;
  try {
    await checking?.validate?.(options);
    checking?.suits?.(match, options);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ConfigProblem(pathOf(rule, message), `${name} (generator "${generator}"): ${message}`, { cause: error });
  }
}

/** A message about an option names it in quotes. */
function pathOf({ index, options }: Rule, message: string): KeyPath {
  if (index === undefined) return [];
  const named = [...message.matchAll(/"([^"]+)"/g)].map(([, word = ""]) => word);
  const option = named.find((word) => Object.hasOwn(options, word));
  return ["rules", index, "options", ...(option === undefined ? [] : [option])];
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
