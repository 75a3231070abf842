/**
 * What the rules and generators of a configuration may be. Their options are for each generator to check.
 *
 * Only what loads a configuration imports this file: the library behind it takes longer to load than most commands.
 */
import { z } from "zod";
import { DURATION } from "../../text/duration.ts";
import type { BuiltIn } from "./config.ts";
import { ConfigProblem, explainUnknownKey, type KeyPath } from "./problem.ts";
import type { RuleData } from "./rules.ts";

const REFRESH = {
  error: ({ input }: { readonly input?: unknown }) =>
    `refresh ${JSON.stringify(input)}: expected once, always or a time such as 5m`,
};
const TIMEOUT = { error: 'the option "timeout" must be a time from 1ms to 24d, such as "30s"' };
const EXPECTED_PATTERNS = '"match" must be a list of texts';

const RULE = z.strictObject(
  {
    match: z
      .union([z.string(), z.array(z.string()).min(1)], {
        error: ({ input }) =>
          input === undefined ? '"match" is missing, such as "reports/**/*.csv"' : EXPECTED_PATTERNS,
      })
      .describe("patterns of files, or one path, which creates that file; relative to the root of the mount"),
    generator: z
      .string('"generator" is missing, such as static or sql')
      .describe("a name in generators, or the name of a built-in generator"),
    options: z.record(z.string(), z.unknown(), '"options" must be an object').optional(),
    refresh: z
      .string(REFRESH)
      .regex(new RegExp(`^(once|always|${DURATION})$`), REFRESH)
      .optional()
      .describe("how long content is valid: once, always or a time such as 5m; default: once"),
    stale: z
      .boolean('the option "stale" must be true or false')
      .optional()
      .describe("with a time in refresh: serve the old content while it is regenerated"),
    timeout: z
      .string(TIMEOUT)
      .regex(new RegExp(`^${DURATION}$`), TIMEOUT)
      .optional()
      .describe("time limit of one generation; default: 5m, and for a model its own time limit"),
    maxBytes: z
      .int('the option "maxBytes" must be a whole number, 1 or more')
      .min(1, 'the option "maxBytes" must be a whole number, 1 or more')
      .optional()
      .describe("the maximum size of content; default: 256 MiB"),
  },
  {
    error: (issue) => (issue.code === "invalid_type" ? "a rule must be an object with match and generator" : undefined),
  },
);

export const RULES = z.array(RULE, '"rules" must be a list').describe("the first matching rule wins");

/** In a file without code, all generators are built-in ones. */
export const GENERATORS = z
  .record(
    z.string(),
    z.looseObject(
      { use: z.string(NEEDS_USE()).describe("the name of a built-in generator: sql, http, exec, template, static") },
      NEEDS_USE(),
    ),
    '"generators" must be an object',
  )
  .describe("built-in generators with options of their own, by name");

function NEEDS_USE(): string {
  return 'needs "use" with the name of a built-in generator; your own generators need a .ts or .js file';
}

/** Throws ConfigProblem. */
export function checkRules(value: unknown): readonly RuleData[] {
  if (value === undefined) return [];
  const { data, error } = RULES.safeParse(value);
  if (data !== undefined) return data;
  const { path, message } = firstProblem(error, ["rules"], Object.keys(RULE.shape));
  const [, index] = path;
  throw new ConfigProblem(path, typeof index === "number" ? `rule ${index + 1}: ${message}` : message);
}

/** Throws ConfigProblem. */
export function checkBuiltIns(value: unknown): Readonly<Record<string, BuiltIn>> {
  const { data, error } = GENERATORS.safeParse(value);
  if (data !== undefined) return data;
  const { path, message } = firstProblem(error, ["generators"], []);
  const [, name] = path;
  throw new ConfigProblem(path, name === undefined ? message : `generator "${String(name)}" ${message}`);
}

/** `known`: the keys of the objects that have a fixed set of them. */
function firstProblem(
  error: z.ZodError,
  prefix: KeyPath,
  known: readonly string[],
): { readonly path: KeyPath; readonly message: string } {
  // A misspelt key also makes the right one missing.
  const issue = error.issues.find(({ code }) => code === "unrecognized_keys") ?? error.issues[0];
  const path = [...prefix, ...(issue?.path ?? []).map((key) => (typeof key === "symbol" ? String(key) : key))];
  if (issue?.code !== "unrecognized_keys") return { path, message: issue?.message ?? "it is not valid" };
  const [key = ""] = issue.keys;
  return { path: [...path, key], message: explainUnknownKey(key, known) };
}
