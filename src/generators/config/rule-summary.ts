/**
 * What a mount says of its rules to the commands that look at it: enough to tell who makes a file and what a model would
 * be asked, and nothing that has to be run to be known.
 */
import { DEFAULT_GENERATOR } from "../../attributes.ts";
import { parsePattern } from "./patterns.ts";
import { Rules } from "./rules.ts";

/** Plain data, for `.llmfs/config.json`. */
export interface RuleSummary {
  readonly match: string;
  readonly generator: string;
  /** Options of rules for the model. */
  readonly prompt?: string;
  readonly model?: string;
}

export function summarize({ all }: Rules): readonly RuleSummary[] {
  return all.map(({ match, generator, options }) => ({
    match: match.source,
    generator,
    ...(generator === DEFAULT_GENERATOR && typeof options.prompt === "string" && { prompt: options.prompt }),
    ...(generator === DEFAULT_GENERATOR && typeof options.model === "string" && { model: options.model }),
  }));
}

/** Rules that bind files as those did which the summaries are of. Throws Error for what is no pattern. */
export function rulesOf(summaries: readonly RuleSummary[]): Rules {
  return new Rules(
    summaries.map(({ match, generator, ...options }, index) => ({
      name: `rule ${index + 1}`,
      match: parsePattern(match),
      generator,
      options,
      refresh: undefined,
      timeoutMs: undefined,
      maxBytes: undefined,
      lists: false,
      looksUp: false,
    })),
  );
}
