/** The information that a mount publishes for commands: `.llmfs/config.json` and `.llmfs/usage.json`. */
import type { Usage } from "../generate/spending/usage-counter.ts";
import type { RuleSummary } from "../generators/config/rule-summary.ts";
import type { Price } from "../llm/prices.ts";
import { withoutSecrets } from "../recording/stores/address.ts";
import { readControlJson } from "./running/mounted.ts";
import type { Config } from "./settings/settings.ts";

/** Everything except the tree that a request for content depends on, and the location of recordings. No secrets. */
export interface About {
  /** Absent until a server was asked for its models. */
  readonly model?: string;
  /** The server's address. */
  readonly server?: string;
  readonly contentPrompt?: string;
  readonly contextTokens?: number;
  /** False with --no-depends. */
  readonly depends?: boolean;
  readonly configFile?: string;
  /** The rules of the configuration, so that inspecting the mount does not need to load it. */
  readonly rules?: readonly RuleSummary[];
  /** The uid of the user who mounted with --allow-other. */
  readonly sharedBy?: number;
  readonly mode: string;
  readonly recordings: string;
  readonly concurrency: number;
  readonly prices: readonly (readonly [model: string, price: Price])[];
}

/** The default number of requests to the model at a time. */
export const CONCURRENCY = 4;

export function describeConfig(config: Config): About {
  const { contentPrompt, contextTokens, mode, concurrency = CONCURRENCY, prices, providers } = config;
  const model = providers.find((layer) => layer.model !== undefined)?.model;
  const server = providers.find((layer) => layer.baseUrl !== undefined)?.baseUrl;
  return {
    ...(model === undefined ? {} : { model }),
    ...(server === undefined ? {} : { server: withoutPassword(server) }),
    ...(contentPrompt === undefined ? {} : { contentPrompt }),
    ...(contextTokens === undefined ? {} : { contextTokens }),
    ...(config.depends ? {} : { depends: false }),
    ...(config.configuration === undefined ? {} : { configFile: config.configuration.file }),
    ...(config.allowOther ? { sharedBy: process.getuid?.() ?? 0 } : {}),
    mode,
    recordings: withoutSecrets(config.recordings),
    concurrency,
    prices,
  };
}

export function formatAbout(about: About): string {
  return `${JSON.stringify(about, null, 2)}\n`;
}

export function readAbout(mountpoint: string): Promise<About> {
  return readControlJson(mountpoint, "config.json", isAbout);
}

/** The usage so far, or undefined before the first request. */
export function readUsage(mountpoint: string): Promise<Usage | undefined> {
  return readControlJson(mountpoint, "usage.json", isUsage);
}

/** `formatAbout` of this same version wrote it, so one member is enough to recognize it. */
export function isAbout(value: unknown): value is About {
  return typeof value === "object" && value !== null && "recordings" in value;
}

export function isUsage(value: unknown): value is Usage {
  return typeof value === "object" && value !== null && "answers" in value;
}

/** An address for display, without user name, password, and what may be a key in the query. */
export function withoutPassword(location: string): string {
  if (!URL.canParse(location)) return location;
  const url = new URL(location);
  const parameters = [...url.searchParams.keys()].filter((name) => name !== "api-version");
  if (url.username === "" && url.password === "" && parameters.length === 0) return location;
  url.username = "";
  url.password = "";
  for (const name of parameters) url.searchParams.set(name, "***");
  return url.href;
}
