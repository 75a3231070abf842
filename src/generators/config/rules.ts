/**
 * Rules: the generator of each file, its options, and how long the content is valid.
 *
 * The first matching rule wins. If the attribute `user.llmfs.generator` of a file names a generator other than the default,
 * it overrides every rule. The options then come from the first matching rule with that generator.
 */

import { CONTROL_NAME, DEFAULT_GENERATOR } from "../../attributes.ts";
import type { NamedFiles } from "../../rpc/generation.ts";
import { findNearest } from "../../text/did-you-mean.ts";
import { parseDuration } from "../../text/duration.ts";
import { MOUNT_VARIABLE } from "../source.ts";
import type { BuiltIn } from "./config.ts";
import { isRecord, type Options, readCount, readDuration } from "./options.ts";
import { type Pattern, parsePattern } from "./patterns.ts";
import { ConfigProblem } from "./problem.ts";

/** How long content is valid, in milliseconds. `stale`: serve the old content while new content is generated. */
export interface RefreshPolicy {
  readonly ms: number;
  readonly stale: boolean;
}

export interface Rule {
  /** The name for messages, such as "rule 2". */
  readonly name: string;
  /** Its position in the list of rules. */
  readonly index?: number;
  readonly match: Pattern;
  readonly generator: string;
  readonly options: Options;
  readonly refresh: RefreshPolicy | undefined;
  readonly timeoutMs: number | undefined;
  readonly maxBytes: number | undefined;
  /** Whether its generator lists the directory at the start of `match`. */
  readonly lists: boolean;
  /** Whether its generator is called for every lookup of a matching name. */
  readonly looksUp: boolean;
}

/** The generator and the settings for one file. */
export interface Binding {
  readonly generator: string;
  readonly options: Options;
  readonly params: Readonly<Record<string, string>>;
  readonly match?: string;
  readonly refresh?: RefreshPolicy;
  readonly timeoutMs?: number;
  /** The maximum size of content. */
  readonly maxBytes?: number;
}

export class Rules {
  readonly all: readonly Rule[];
  readonly #secrets: readonly string[];

  /** `secrets` are values from the environment that must not appear in messages. */
  constructor(all: readonly Rule[], secrets: Iterable<string> = []) {
    this.all = all;
    // Shorter values are words that also occur elsewhere: "yes", "1".
    this.#secrets = [...new Set(secrets)].filter((secret) => secret.length >= 8);
  }

  /** Removes values from the environment from a message. */
  hide(text: string): string {
    return this.#secrets.reduce((hidden, secret) => hidden.replaceAll(secret, "***"), text);
  }

  /** `chosen` is the value of the file's attribute, or the default. */
  bind(path: string, chosen: string): Binding {
    const rule = this.find(path, chosen);
    const found = rule?.match.match(path);
    if (rule !== undefined && found !== undefined) return bindingOf(rule, found);
    return { generator: chosen, options: {}, params: {} };
  }

  /** The rule that `bind` takes. */
  find(path: string, chosen: string): Rule | undefined {
    const suits = ({ generator }: Rule) => chosen === DEFAULT_GENERATOR || generator === chosen;
    return this.all.find((rule) => suits(rule) && rule.match.match(path) !== undefined);
  }

  /** The files that exist if their generator says so when their name is looked up. */
  get named(): readonly NamedFiles[] {
    return this.all.flatMap(({ match, generator, looksUp }) => (looksUp ? [{ match: match.source, generator }] : []));
  }

  /** Whether the path is that of a file that a rule creates when somebody looks for it. */
  makes(path: string): boolean {
    return this.all.some((rule) => (rule.lists || rule.looksUp) && rule.match.match(path) !== undefined);
  }

  /** The rules of a listing generator whose files may be below a directory. */
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

/** The context in which a rule is compiled. */
export interface RuleParts {
  /** Built-in generators that the configuration has named. */
  readonly named: ReadonlyMap<string, BuiltIn>;
  /** All names that a rule may use. */
  readonly known: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Called with every value that is read from the environment. */
  readonly noteSecret?: (value: string) => void;
  /** Whether a generator lists directories with these options. */
  readonly lists?: (generator: string, options: Options) => boolean;
}

/** A rule as `schema.ts` has checked it. */
export interface RuleData {
  readonly match: string | readonly string[];
  readonly generator: string;
  readonly options?: Readonly<Record<string, unknown>> | undefined;
  readonly refresh?: string | undefined;
  readonly stale?: boolean | undefined;
  readonly timeout?: string | undefined;
  readonly maxBytes?: number | undefined;
}

/** Throws ConfigProblem. */
export function compileRules(rules: readonly RuleData[], parts: RuleParts): Rule[] {
  return rules.flatMap((rule, index) => {
    const name = `rule ${index + 1}`;
    try {
      return compileRule(rule, { name, index }, parts);
    } catch (error) {
      const path = error instanceof ConfigProblem ? error.path : [];
      const message = error instanceof Error ? error.message : String(error);
      throw new ConfigProblem(["rules", index, ...path], `${name}: ${message}`, { cause: error });
    }
  });
}

function compileRule(rule: RuleData, called: Pick<Rule, "name" | "index">, parts: RuleParts): Rule[] {
  const { match: patterns, generator, options = {} } = rule;
  if (!parts.known.includes(generator)) {
    const guess = findNearest(generator, parts.known);
    throw new ConfigProblem(
      ["generator"],
      `unknown generator ${JSON.stringify(generator)}; expected one of: ${parts.known.join(", ")}` +
        (guess === undefined ? "" : `; did you mean ${guess}?`),
    );
  }
  const { use: _, ...settings } = parts.named.get(generator) ?? { use: "" };
  const filled = interpolate({ ...settings, ...options }, parts);
  const refresh = refreshOf(rule.refresh, rule.stale ?? false);
  const timeoutMs = readDuration({ timeout: rule.timeout }, "timeout");
  const whole = isRecord(filled) ? filled : {};
  // The option of this name is the same limit, enforced closer to the source.
  const maxBytes =
    rule.maxBytes ?? (typeof whole.maxBytes === "number" ? readCount(whole, "maxBytes", 0, 1) : undefined);
  const lists = parts.lists?.(generator, whole) ?? false;
  return (typeof patterns === "string" ? [patterns] : patterns).map((source) => {
    const match = parsePattern(source);
    refuseImpossible(match);
    const about = { ...called, match, generator, options: whole, refresh, timeoutMs, maxBytes };
    // A lookup must not create files for a model, because each of them would cost money.
    const looksUp = match.named && !lists && generator !== DEFAULT_GENERATOR;
    return { ...about, lists: lists && !match.literal, looksUp };
  });
}

/** Rejects a path that no file of a mount can have, because it would never be generated. */
function refuseImpossible({ source, paths }: Pattern): void {
  const quoted = JSON.stringify(source);
  for (const path of paths ?? [source]) {
    const names = path.replace(/^\/+/, "").split("/");
    if (names[0] === CONTROL_NAME)
      throw new Error(`"match" ${quoted}: /${CONTROL_NAME} is reserved for llmfs; choose another name`);
    const wrong = names.find((name) => name === "" || name === "." || name === "..");
    if (wrong !== undefined) {
      const what = wrong === "" ? "an empty name" : `the name ${JSON.stringify(wrong)}`;
      throw new Error(
        `"match" ${quoted} has ${what}: a match is a path below the root of the mount, such as "a/b.txt"`,
      );
    }
    if (paths !== undefined && names.some((name) => Buffer.byteLength(name) > 255)) {
      throw new Error(`"match" ${quoted} has a name longer than the limit of 255 bytes`);
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

/** Replaces `${NAME}` in all strings by the value of that variable. Throws if it is not set. */
function interpolate(value: unknown, parts: Pick<RuleParts, "environment" | "noteSecret">): unknown {
  if (typeof value === "string") {
    return value.replace(/\$\{([A-Za-z_]\w*)\}/g, (_, name: string) => {
      // It differs for every mount, and so would the requests to a model.
      if (name === MOUNT_VARIABLE) {
        throw new Error(`${MOUNT_VARIABLE} is available only to programs: [sh, -c, 'cat "$${MOUNT_VARIABLE}/FILE"']`);
      }
      const found = parts.environment[name];
      if (found === undefined) throw new Error(`the environment variable ${name} is not set`);
      parts.noteSecret?.(found);
      return found;
    });
  }
  if (Array.isArray(value)) return value.map((one: unknown) => interpolate(one, parts));
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, interpolate(one, parts)]));
}
