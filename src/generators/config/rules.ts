/**
 * Rules: which generator makes which file, with which options, and how long its content holds.
 *
 * The first rule that matches wins. An attribute of the file (`user.llmfs.generator`) that names another generator than
 * the default wins over every rule; the options then come from the first rule that matches and names that generator.
 */

import { CONTROL_NAME, DEFAULT_GENERATOR } from "../../attributes.ts";
import { MOUNT_VARIABLE } from "../source.ts";
import type { BuiltIn, RuleConfig } from "./config.ts";
import {
  isRecord,
  type Options,
  parseDuration,
  readCount,
  readDuration,
  readFlag,
  readText,
  readTexts,
  refuseUnknownOptions,
} from "./options.ts";
import { type Pattern, parsePattern } from "./patterns.ts";

/** How long a content holds: milliseconds, 0 for no time at all. `stale`: the old one is served while a new one is made. */
export interface RefreshPolicy {
  readonly ms: number;
  readonly stale: boolean;
}

export interface Rule {
  /** For messages: "rule 2". */
  readonly name: string;
  readonly match: Pattern;
  readonly generator: string;
  readonly options: Options;
  readonly refresh: RefreshPolicy | undefined;
  readonly timeoutMs: number | undefined;
  readonly maxBytes: number | undefined;
  /** Its generator lists the directory that `match` begins with. */
  readonly lists: boolean;
  /** Its generator is asked for every name that matches. */
  readonly looksUp: boolean;
}

/** What one file's generation is to be made with. */
export interface Binding {
  readonly generator: string;
  readonly options: Options;
  readonly params: Readonly<Record<string, string>>;
  readonly match?: string;
  readonly refresh?: RefreshPolicy;
  readonly timeoutMs?: number;
  /** The largest content. */
  readonly maxBytes?: number;
}

/** What a file gets that nobody chose a generator for. */

export class Rules {
  readonly all: readonly Rule[];
  readonly #secrets: readonly string[];

  /** `secrets`: values from the environment that no message may hold. */
  constructor(all: readonly Rule[], secrets: Iterable<string> = []) {
    this.all = all;
    // Shorter ones are words that stand elsewhere too: "yes", "1".
    this.#secrets = [...new Set(secrets)].filter((secret) => secret.length >= 8);
  }

  /** A message without what the rules took from the environment. */
  hide(text: string): string {
    return this.#secrets.reduce((hidden, secret) => hidden.replaceAll(secret, "***"), text);
  }

  /** `chosen` is the file's attribute, or the default. */
  bind(path: string, chosen: string): Binding {
    for (const rule of this.all) {
      if (chosen !== DEFAULT_GENERATOR && rule.generator !== chosen) continue;
      const found = rule.match.match(path);
      if (found !== undefined) return bindingOf(rule, found);
    }
    return { generator: chosen, options: {}, params: {} };
  }

  /** The rules whose files a directory may hold, by the directory's path, for generators that list. */
  rulesBelow(path: string, generator: string): readonly Rule[] {
    return this.all.filter((rule) => rule.lists && rule.generator === generator && isBelow(path, rule.match.root));
  }
}

function bindingOf(rule: Rule, found: ReadonlyMap<string, string>): Binding {
  return {
    generator: rule.generator,
    options: rule.options,
    params: Object.fromEntries(found),
    match: rule.match.source,
    ...(rule.refresh === undefined ? {} : { refresh: rule.refresh }),
    ...(rule.timeoutMs === undefined ? {} : { timeoutMs: rule.timeoutMs }),
    ...(rule.maxBytes === undefined ? {} : { maxBytes: rule.maxBytes }),
  };
}

function isBelow(path: string, root: string): boolean {
  return root === "/" || path === root || path.startsWith(`${root}/`);
}

/** What a rule may be made of besides its own words. */
export interface RuleParts {
  /** The built-in generators that the configuration gave names to. */
  readonly named: ReadonlyMap<string, BuiltIn>;
  /** Every name a rule may use. */
  readonly known: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Told of every value that is taken from the environment. */
  readonly taken?: (value: string) => void;
  /** Whether a generator lists when it has these options. */
  readonly lists?: (generator: string, options: Options) => boolean;
}

/** Throws Error that names the rule and what is wrong with it. */
export function compileRules(value: unknown, parts: RuleParts): Rule[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new Error('"rules" must be a list');
  return value.flatMap((one: unknown, index) => {
    const name = `rule ${index + 1}`;
    try {
      return compileRule(one, name, parts);
    } catch (error) {
      throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  });
}

const KNOWN: readonly (keyof RuleConfig)[] = [
  "match",
  "generator",
  "options",
  "refresh",
  "stale",
  "timeout",
  "maxBytes",
];

function compileRule(value: unknown, name: string, parts: RuleParts): Rule[] {
  if (!isRecord(value)) throw new Error("a rule is an object with match and generator");
  refuseUnknownOptions(value, KNOWN);
  const patterns = readTexts(value, "match");
  if (patterns.length === 0) throw new Error('"match" is missing, such as "reports/**/*.csv"');
  const generator = readText(value, "generator") ?? "";
  if (!parts.known.includes(generator)) {
    throw new Error(`there is no generator ${JSON.stringify(generator)}; there are: ${parts.known.join(", ")}`);
  }
  const { options = {} } = value;
  if (!isRecord(options)) throw new Error('"options" must be an object');
  const { use: _, ...settings } = parts.named.get(generator) ?? { use: "" };
  const filled = interpolate({ ...settings, ...options }, parts);
  const refresh = refreshOf(readText(value, "refresh"), readFlag(value, "stale"));
  const timeoutMs = readDuration(value, "timeout");
  const whole = isRecord(filled) ? filled : {};
  // An option of this name is the same limit, closer to the source.
  const largest = [value, whole].find((one) => typeof one.maxBytes === "number") ?? value;
  const maxBytes = largest.maxBytes === undefined ? undefined : readCount(largest, "maxBytes", 0, 1);
  const lists = parts.lists?.(generator, whole) ?? false;
  return patterns.map((source) => {
    const match = parsePattern(source);
    refuseImpossible(match);
    const about = { name, match, generator, options: whole, refresh, timeoutMs, maxBytes };
    // Of the files a model makes, each costs something: those are named by somebody.
    const looksUp = match.named && !lists && generator !== DEFAULT_GENERATOR;
    return { ...about, lists: lists && !match.literal, looksUp };
  });
}

/** A path that no file of a mount can have: what is written there would never be made. */
function refuseImpossible({ source, paths }: Pattern): void {
  const told = JSON.stringify(source);
  for (const path of paths ?? [source]) {
    const names = path.replace(/^\/+/, "").split("/");
    if (names[0] === CONTROL_NAME)
      throw new Error(`"match" ${told}: /${CONTROL_NAME} is llmfs's own; choose another name`);
    const wrong = names.find((name) => name === "" || name === "." || name === "..");
    if (wrong !== undefined) {
      const what = wrong === "" ? "an empty name" : `the name ${JSON.stringify(wrong)}`;
      throw new Error(`"match" ${told} has ${what}: a match is a path below the root of the mount, as "a/b.txt"`);
    }
    if (paths !== undefined && names.some((name) => Buffer.byteLength(name) > 255)) {
      throw new Error(`"match" ${told} has a name of more than 255 bytes, which no file can have`);
    }
  }
}

function refreshOf(text: string | undefined, stale: boolean): RefreshPolicy | undefined {
  if (text === undefined || text === "once") return undefined;
  if (text === "always") return { ms: 0, stale: false };
  const ms = parseDuration(text);
  if (ms === undefined) throw new Error(`refresh ${JSON.stringify(text)}: expected once, always or a time such as 5m`);
  return { ms, stale: stale && ms > 0 };
}

/** `${NAME}` in every text, however deep, becomes that variable's value. Throws for one that is not set. */
function interpolate(value: unknown, parts: Pick<RuleParts, "environment" | "taken">): unknown {
  if (typeof value === "string") {
    return value.replace(/\$\{([A-Za-z_]\w*)\}/g, (_, name: string) => {
      // It is another at every mount, and what is asked of a model would be, too.
      if (name === MOUNT_VARIABLE) {
        throw new Error(`${MOUNT_VARIABLE} is for programs: [sh, -c, 'cat "$${MOUNT_VARIABLE}/FILE"']`);
      }
      const found = parts.environment[name];
      if (found === undefined) throw new Error(`the environment variable ${name} is not set`);
      parts.taken?.(found);
      return found;
    });
  }
  if (Array.isArray(value)) return value.map((one: unknown) => interpolate(one, parts));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, interpolate(one, parts)]));
}
