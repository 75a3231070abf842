/**
 * The generator configuration, as users write it in llmfs.config.ts, .js, .json, .yaml or .toml.
 *
 * All of it is plain data, except for users' own generators. `rules.ts` checks it; nothing else may trust it.
 */
import type { ContentGenerator } from "../contract.ts";

/** A duration: "90s", "5m", "2h", "1d", "500ms". */
export type Duration = `${number}${"ms" | "s" | "m" | "h" | "d" | "w"}`;

/** A built-in generator with its own options. Each rule adds its options to them. */
export interface BuiltIn {
  readonly use: string;
  readonly [option: string]: unknown;
}

export interface RuleConfig {
  /** Patterns of files, or one path, which creates that file. Relative to the root of the mount. */
  readonly match: string | readonly string[];
  /** A name in `generators`, or the name of a built-in generator. */
  readonly generator: string;
  /** Options for the generator. `${NAME}` in a string is replaced by the environment variable NAME. */
  readonly options?: Readonly<Record<string, unknown>>;
  /**
   * How long content and listings are valid: "once" (the default) forever, or a duration. With "always", every open gets
   * content whose generation started after the open.
   */
  readonly refresh?: "once" | "always" | Duration;
  /** With a duration: whether readers of expired content get the old content while it is regenerated. Default: false. */
  readonly stale?: boolean;
  /** The time limit of one generation or listing. Default: "5m"; for "llm", the time limit of the model. */
  readonly timeout?: Duration;
  /** The maximum size of content in bytes. Larger content fails with EFBIG. Default: 256 MiB. */
  readonly maxBytes?: number;
}

/** What the flags say, for every command. The table in app/settings describes each; a test compares the two. */
export interface ConfigSettings {
  readonly prompt?: string;
  readonly from?: string;
  readonly grow?: string;
  readonly size?: string | number;
  readonly inodes?: string | number;
  readonly readOnly?: boolean;
  readonly allowOther?: boolean;
  readonly noExec?: boolean;
  readonly lowPower?: boolean;
  readonly warm?: boolean;
  readonly save?: string;
  readonly saveEvery?: string | number;
  readonly statGenerates?: string | readonly string[];
  readonly denyProgram?: string | readonly string[];
  readonly allowProgram?: string | readonly string[];
  readonly policy?: string;
  readonly contentPrompt?: string;
  readonly model?: string;
  readonly baseUrl?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly layoutTokens?: string | number;
  readonly noDepends?: boolean;
  readonly concurrency?: string | number;
  readonly timeout?: string | number;
  readonly maxCalls?: string | number;
  readonly confirmOver?: string | number;
  readonly maxTokens?: string | number;
  readonly maxUsd?: string | number;
  readonly price?: string | readonly string[];
  readonly recordings?: string;
  readonly recordingsRequired?: boolean;
  readonly mode?: "auto" | "record" | "replay" | "off";
  readonly contextTokens?: string | number;
  readonly repairs?: string | number;
  readonly checkTimeout?: string | number;
  readonly checkSpace?: string | number;
  readonly debug?: boolean;
  readonly audit?: string;
  readonly auditRequired?: boolean;
  readonly logFormat?: "text" | "json";
  readonly logFile?: string;
}

type KebabCase<S extends string> = S extends `${infer First}${infer Rest}`
  ? First extends Uppercase<First>
    ? `-${Lowercase<First>}${KebabCase<Rest>}`
    : `${First}${KebabCase<Rest>}`
  : "";

/** Keys may also be written as on the command line: "max-usd". */
type AsFlags<T> = { readonly [K in keyof T & string as KebabCase<K>]?: T[K] };

export interface ConfigFile extends ConfigSettings, AsFlags<ConfigSettings> {
  readonly generators?: Readonly<Record<string, ContentGenerator | BuiltIn>>;
  /** The first matching rule wins. */
  readonly rules?: readonly RuleConfig[];
}

/** Gives the configuration its type. */
export function defineConfig(config: ConfigFile): ConfigFile {
  return config;
}
