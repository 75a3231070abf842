/**
 * The configuration of generators, as people write it in llmfs.config.ts, .js, .json, .yaml or .toml.
 *
 * Everything here is plain data but a generator of one's own. `rules.ts` checks it; nothing else may trust it.
 */
import type { ContentGenerator } from "../contract.ts";

/** A length of time: "90s", "5m", "2h", "1d", "500ms". */
export type Duration = `${number}${"ms" | "s" | "m" | "h" | "d"}`;

/** A built-in generator with options of its own, which each rule adds to. */
export interface BuiltIn {
  readonly use: string;
  readonly [option: string]: unknown;
}

export interface RuleConfig {
  /** Which files: patterns, or one path, which makes the file exist. Relative to the root of the mount. */
  readonly match: string | readonly string[];
  /** A name of `generators`, or of a built-in one. */
  readonly generator: string;
  /** For the generator. `${NAME}` in a text stands for the environment variable NAME. */
  readonly options?: Readonly<Record<string, unknown>>;
  /**
   * How long content and listings hold: "once" (the default) for ever, "always" for no time: every open sees a content
   * that was made after it began, and a length of time for that long.
   */
  readonly refresh?: "once" | "always" | Duration;
  /** With a length of time: when it has passed, readers get what there is while it is made anew. Default false: they wait. */
  readonly stale?: boolean;
  /** The longest that one generation or listing may take. Default "5m"; for "llm" what the model is allowed. */
  readonly timeout?: Duration;
  /** The largest content in bytes; default 256 MiB. A larger one is EFBIG, as soon as that is known. */
  readonly maxBytes?: number;
}

export interface ConfigFile {
  readonly generators?: Readonly<Record<string, ContentGenerator | BuiltIn>>;
  /** The first that matches wins. */
  readonly rules?: readonly RuleConfig[];
}

/** Gives the configuration its type. */
export function defineConfig(config: ConfigFile): ConfigFile {
  return config;
}
