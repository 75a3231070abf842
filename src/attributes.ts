/**
 * The names that have a meaning in llmfs: its extended attributes, its control directory, its generator for models.
 *
 * ATTRIBUTES has a row for each attribute. setxattr(2) checks values against it, misspelt names are compared with it,
 * and docs/attributes.md is generated from it.
 */
import { FsError } from "./errno.ts";
import { findNearest } from "./text/did-you-mean.ts";
import { formatDuration, parseDuration } from "./text/duration.ts";

/** The control directory in the root of a mount. No entry of a tree may have this name there. */
export const CONTROL_NAME = ".llmfs";

/** The default generator, which asks a language model. */
export const DEFAULT_GENERATOR = "llm";

/** The prefix of every attribute's name. */
export const OURS = "user.llmfs.";

export interface Attribute {
  /** What can have it. */
  readonly on: string;
  /** Who sets it. */
  readonly by: string;
  readonly meaning: string;
  /** Returns what is wrong with a value. Absent: any text is valid, or the attribute is not checked here. */
  readonly fault?: (text: string) => string | undefined;
  /** Whether users set it to control how content is generated; its value is then checked as text. */
  readonly setting?: true;
}

const BOTH = "files, directories";

export const ATTRIBUTES = {
  description: { on: "files", by: "you", meaning: "what the file is, in one line", setting: true },
  prompt: {
    on: BOTH,
    by: "you",
    meaning:
      "an instruction for the file, or for everything below the directory; the nearest comes last. On an empty file it makes the file pending",
    setting: true,
  },
  model: {
    on: BOTH,
    by: "you",
    meaning: "the model to ask; the nearest value applies",
    fault: nameFault,
    setting: true,
  },
  temperature: {
    on: BOTH,
    by: "you",
    meaning: "0 to 2; the nearest value applies",
    fault: numberIn(0, 2),
    setting: true,
  },
  "max-tokens": {
    on: BOTH,
    by: "you",
    meaning: "the longest answer, in tokens; the nearest value applies",
    fault: numberIn(1, 1e9),
    setting: true,
  },
  depends: {
    on: "files",
    by: "you, llmfs",
    meaning:
      "files to generate first and to show to the model: one path per line, relative to the file's directory or absolute within the mount. A layout sets it",
    setting: true,
  },
  generator: {
    on: BOTH,
    by: "you, llmfs",
    meaning:
      "the generator of the file, or the one that lists the directory. On an empty file it makes the file pending; `static` makes it an ordinary file",
    fault: nameFault,
    setting: true,
  },
  refresh: {
    on: BOTH,
    by: "you, llmfs",
    meaning:
      "how long generated content or a listing is valid: `once`, `always`, a time such as `90s`, `5m` or `1d`, or `5m stale` to serve the old content while new content is generated",
    fault: (text: string) =>
      text === "once" || parsePolicy(text) !== undefined
        ? undefined
        : 'it must be "once", "always", or a time such as 90s or 5m',
    setting: true,
  },
  state: {
    on: "files",
    by: "you, llmfs",
    meaning:
      "`pending`, `generating`, `ready`, `failed` or `static`. Set `pending` on an empty file to have it generated, `static` to keep a file as it is",
  },
  error: {
    on: BOTH,
    by: "llmfs",
    meaning: "why the file could not be generated, refreshed or regenerated, or the directory could not be listed",
  },
  denied: {
    on: BOTH,
    by: "llmfs",
    meaning: "when and why a program was last not allowed to have it generated",
  },
  regen: {
    on: "files",
    by: "you",
    meaning:
      "set `again`, or `again:PROMPT`: the next open by the same thread generates new content. Set `undo` to restore the previous content. If that fails, the value is the reason",
  },
  origin: {
    on: BOTH,
    by: "llmfs",
    meaning:
      "the path for which a rule of the configuration made the file. You can copy and remove it, but not change it",
  },
  "meta.*": {
    on: "files",
    by: "llmfs",
    meaning: "what the generator reported with the content: model, tokens, cost, time",
  },
} as const satisfies Readonly<Record<string, Attribute>>;

export type AttributeName = keyof typeof ATTRIBUTES;

/** The full name, as programs see it: `user.llmfs.model`. */
export function attribute<N extends AttributeName>(name: N): `${typeof OURS}${N}` {
  return `${OURS}${name}`;
}

export const DESCRIPTION = attribute("description");
export const PROMPT = attribute("prompt");
export const MODEL = attribute("model");
export const DEPENDS = attribute("depends");
export const GENERATOR = attribute("generator");
export const REFRESH = attribute("refresh");
export const STATE = attribute("state");
export const ERROR = attribute("error");
export const DENIED = attribute("denied");
export const REGEN = attribute("regen");
export const ORIGIN = attribute("origin");
/** Metadata that a generator returned with its content: `user.llmfs.meta.<key>`. */
export const METADATA = `${OURS}meta.`;
/** The files that a generated file was made from, a checksum and a path a line: see fs/outdated.ts. */
export const USED = `${METADATA}used`;

/** The meaning of `user.llmfs.refresh`. */
export interface ExpiryPolicy {
  /** Milliseconds; 0: expires at once. */
  readonly ms: number;
  /** Whether the old content is served while new content is generated. */
  readonly stale: boolean;
}

/** "always", "5m", "5m stale"; undefined for anything else, including "once". */
export function parsePolicy(text: string): ExpiryPolicy | undefined {
  if (text === "always") return { ms: 0, stale: false };
  const time = text.replace(/ stale$/, "");
  const ms = parseDuration(time);
  return ms === undefined ? undefined : { ms, stale: time !== text };
}

/** The inverse of `parsePolicy`. */
export function policyText({ ms, stale }: ExpiryPolicy): string {
  return ms === 0 ? "always" : `${formatDuration(ms)}${stale ? " stale" : ""}`;
}

const TABLE: ReadonlyMap<string, Attribute> = new Map(Object.entries(ATTRIBUTES));

/**
 * The full names of attributes that only users set, to control how content is generated. They mean the same in any
 * tree.
 */
export const SETTINGS: ReadonlySet<string> = new Set(
  [...TABLE].flatMap(([name, { by, setting }]) => (by === "you" && setting === true ? [`${OURS}${name}`] : [])),
);

/** Rejects an invalid value when it is set. Throws FsError EINVAL. An empty value counts as absent. */
export function checkSetting(name: string, value: Uint8Array): void {
  if (!name.startsWith(OURS) || value.length === 0) return;
  const row = TABLE.get(name.slice(OURS.length));
  if (row?.setting === undefined) return;
  const text = Buffer.from(value).toString("utf8");
  if (text.includes("\0") || !Buffer.from(text).equals(value))
    throw new FsError("EINVAL", `${name} is not valid UTF-8 text`);
  const wrong = text.trim() === "" ? undefined : row.fault?.(text);
  if (wrong !== undefined) throw new FsError("EINVAL", `${name} is ${JSON.stringify(text.slice(0, 40))}; ${wrong}`);
}

/**
 * Returns the name that was probably meant if one of ours is misspelt. It is stored anyway, because an unknown name may
 * belong to a later version, in a copy or a snapshot of its tree.
 */
export function suggestName(name: string): string | undefined {
  if (!name.startsWith(OURS)) return undefined;
  const own = name.slice(OURS.length);
  const known = [...TABLE.keys()].map((one) => one.replace(".*", ""));
  if (known.includes(own) || name.startsWith(METADATA)) return undefined;
  const guess = findNearest(own, known);
  return guess === undefined ? undefined : `${OURS}${guess}`;
}

function nameFault(text: string): string | undefined {
  return /\p{Cc}/u.test(text) ? "it must be a name, on one line" : undefined;
}

function numberIn(least: number, most: number) {
  return (text: string): string | undefined => {
    const number = Number(text);
    return number >= least && number <= most ? undefined : `it must be a number from ${least} to ${most}`;
  };
}
