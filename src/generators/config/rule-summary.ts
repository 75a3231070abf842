/**
 * The summary of rules that a mount publishes for commands. It is enough to determine the generator of a file and the
 * request to a model, without running the configuration.
 */
import { DEFAULT_GENERATOR } from "../../attributes.ts";
import { parsePattern } from "./patterns.ts";
import { Rules } from "./rules.ts";

/** Plain data, for `.llmfs/config.json`. */
export interface RuleSummary {
  readonly match: string;
  readonly generator: string;
  /** Options of a rule for the model. */
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

/** Rules that bind files in the same way as the summarized ones. Throws Error for an invalid pattern. */
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
