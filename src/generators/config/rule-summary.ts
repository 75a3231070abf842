/**
 * The summary of rules that a mount publishes for commands. It is enough to determine the generator of a file and the
 * request to a model, without running the configuration.
 */
import { DEFAULT_GENERATOR } from "../../attributes.ts";
import { MODEL_OPTIONS } from "./model-options.ts";
import type { Options } from "./options.ts";
import { parsePattern } from "./patterns.ts";
import { Rules } from "./rules.ts";

/** Plain data, for `.llmfs/config.json`. */
export interface RuleSummary {
  readonly match: string;
  readonly generator: string;
  /** Its position in the file, from 0. Absent if a generator has this match of its own. */
  readonly index?: number;
  /** Set if its files exist only when somebody looks for them. */
  readonly onDemand?: true;
  /** Options of a rule for the model. */
  readonly prompt?: string;
  readonly model?: string;
  readonly description?: string;
  readonly depends?: string | readonly string[];
  readonly "max-tokens"?: number;
  readonly temperature?: number;
}

export function summarize({ all }: Rules): readonly RuleSummary[] {
  return all.map(({ index, match, generator, options, lists, looksUp }) => ({
    ...(generator === DEFAULT_GENERATOR && pick(options)),
    match: match.source,
    generator,
    ...(index !== undefined && { index }),
    ...((lists || looksUp) && { onDemand: true }),
  }));
}

function pick(options: Options): Partial<RuleSummary> {
  return Object.fromEntries(MODEL_OPTIONS.flatMap((name) => (name in options ? [[name, options[name]]] : [])));
}

/** Rules that bind files in the same way as the summarized ones. Throws Error for an invalid pattern. */
export function rulesOf(summaries: readonly RuleSummary[]): Rules {
  return new Rules(
    summaries.map(({ match, generator, index, onDemand = false, ...options }) => ({
      name: index === undefined ? `generator "${generator}"` : `rule ${index + 1}`,
      ...(index !== undefined && { index }),
      match: parsePattern(match),
      generator,
      options,
      refresh: undefined,
      timeoutMs: undefined,
      maxBytes: undefined,
      lists: false,
      looksUp: onDemand,
    })),
  );
}
