/**
 * Every setting: its flag, its environment variable and its key in a configuration file.
 *
 * A row here is all that a new setting needs to be accepted in all three places. `cli/args/flags.ts` says which commands
 * take it, and `settings.ts` and `model.ts` give it its meaning.
 */
import { attribute } from "../../attributes.ts";
import { STAT_GENERATES } from "./default-programs.ts";
import type { Variable } from "./environment.ts";

interface Row {
  readonly type: "string" | "boolean" | "enum";
  // Not readonly, because the types of citty are not.
  readonly options?: string[];
  /** A short form of the flag. */
  readonly alias?: string;
  /** How help shows the value. */
  readonly valueHint?: string;
  readonly variable?: Variable;
  /** The key in a file, if it is not the name of the flag. */
  readonly key?: string;
  /** Set if the flag may be repeated. In a file, the value is then an object of texts. */
  readonly multiple?: true;
  /** Set if a flag separates several values with commas. In a file, the value may be a list. */
  readonly list?: true;
  /** The value if nobody sets it. Absent: none, or one that depends on the machine. */
  readonly usual?: string;
  /** Set if `${NAME}` in a file stands for an environment variable: where secrets may be needed. */
  readonly references?: true;
  readonly description: string;
}

/** Keeps the literal types. */
function defineSettings<const T extends Readonly<Record<string, Row>>>(rows: T): T {
  return rows;
}

export const SETTINGS = defineSettings({
  prompt: {
    type: "string",
    alias: "F",
    valueHint: "TEXT|FILE",
    variable: "LLMFS_PROMPT",
    description: "describe the tree: text, a file, @FILE, or - for standard input (LLMFS_PROMPT)",
  },
  from: {
    type: "string",
    valueHint: "FILE|DIR",
    description: "start from a snapshot, or from a copy of a directory, instead of a prompt",
  },
  grow: {
    type: "string",
    valueHint: "TEXT|FILE",
    description: "before mounting, lay out more files for the tree, such as tests for its code; see llmfs grow",
  },
  size: {
    usual: "50%",
    type: "string",
    valueHint: "SIZE",
    description: "maximum size of all contents, such as 512M, 2G or 25%, at least 4K; default: 50% of the memory",
  },
  inodes: {
    type: "string",
    valueHint: "N",
    description:
      "maximum number of inodes, at least 16; extra hard links and extended attributes count too; default: one per 2 KiB of memory",
  },
  readOnly: { type: "boolean", description: "mount read-only; reading still generates files" },
  allowOther: {
    type: "boolean",
    description:
      "let other users use the mount; permissions apply, and content is composed from what the file's owner may read",
  },
  noExec: { type: "boolean", description: "do not let programs in the mount be executed" },
  lowPower: {
    type: "boolean",
    description: "never spin between requests: sometimes slower, but saves power and processor time",
  },
  warm: { type: "boolean", description: "generate all files first, in parallel; see llmfs warm" },
  save: { type: "string", valueHint: "FILE", description: "save the tree to FILE (mode 0600) on unmount" },
  saveEvery: {
    type: "string",
    valueHint: "TIME",
    description: "also save at intervals, such as 30s or 10m, at least 1s",
  },
  statGenerates: {
    type: "string",
    valueHint: "NAMES",
    list: true,
    description: `programs for which stat generates a pending file, because they rely on the size; default: ${STAT_GENERATES}; '' for none`,
  },
  denyProgram: {
    type: "string",
    valueHint: "NAMES",
    list: true,
    description:
      "programs for which no file is generated, in addition to indexers, backup tools and others that read files unasked; none: without those",
  },
  allowProgram: {
    type: "string",
    valueHint: "NAMES",
    list: true,
    description: "programs for which files are generated although they are denied by default, such as restic",
  },
  policy: {
    type: "string",
    valueHint: "RULES",
    description:
      "who may have files generated: allow or deny, with program=, user= and path=, such as 'deny program=rg path=vendor/**'; the first rule that applies counts; separate rules with ;",
  },
  contentPrompt: {
    type: "string",
    valueHint: "TEXT|FILE",
    variable: "LLMFS_CONTENT_PROMPT",
    description: "an instruction for the content of every file (LLMFS_CONTENT_PROMPT)",
  },
  model: {
    type: "string",
    valueHint: "NAME",
    variable: "LLMFS_MODEL",
    description: "the model to ask (LLMFS_MODEL)",
  },
  baseUrl: {
    type: "string",
    valueHint: "URL",
    variable: "OPENAI_BASE_URL",
    references: true,
    description: "the URL of an OpenAI-compatible server (OPENAI_BASE_URL); its key is read from OPENAI_API_KEY",
  },
  header: {
    type: "string",
    valueHint: "'NAME: VALUE'",
    variable: "OPENAI_CUSTOM_HEADERS",
    key: "headers",
    multiple: true,
    references: true,
    description:
      "send this header with every request to the model's server; may be repeated (OPENAI_CUSTOM_HEADERS, one per line)",
  },
  layoutTokens: {
    type: "string",
    valueHint: "N",
    variable: "LLMFS_LAYOUT_TOKENS",
    description: `ask for layouts of up to N tokens, if the server's default cuts them off (LLMFS_LAYOUT_TOKENS); for files, set ${attribute("max-tokens")}`,
  },
  noDepends: {
    type: "boolean",
    description:
      "write each file without the text of others: layouts do not say which files use which, and " +
      `${attribute("depends")} has no effect. For many independent files, such as fixtures`,
  },
  concurrency: {
    usual: "4",
    type: "string",
    valueHint: "N",
    description: "maximum number of parallel requests to the model, up to 256; default: 4",
  },
  timeout: {
    usual: "15m",
    type: "string",
    valueHint: "TIME",
    description: "time limit for one answer, such as 90s or 5m, at least 100ms; default: 15m",
  },
  maxCalls: { type: "string", valueHint: "N", description: "maximum number of requests to the model" },
  confirmOver: {
    type: "string",
    valueHint: "N|DOLLARS",
    description:
      "stop before more than N requests (20) or more than an amount ($0.50), until you run llmfs allow, which permits as much again",
  },
  maxTokens: { type: "string", valueHint: "N", description: "maximum number of tokens, sent and received together" },
  maxUsd: {
    type: "string",
    valueHint: "DOLLARS",
    description: "stop before spending more than this (models with a known price only)",
  },
  price: {
    type: "string",
    valueHint: "MODEL=IN/OUT",
    list: true,
    description: "the price of a model in dollars per million tokens sent and received; separate several with commas",
  },
  recordings: {
    type: "string",
    valueHint: "DIR|URL",
    variable: "LLMFS_RECORDINGS",
    references: true,
    description:
      "where to read and write recorded answers: a folder, redis://… or s3://BUCKET/PREFIX; default: ~/.cache/llmfs/recordings (LLMFS_RECORDINGS)",
  },
  recordingsRequired: {
    type: "boolean",
    variable: "LLMFS_RECORDINGS_REQUIRED",
    description:
      "never ask the model unless the recordings can be read and written: an error instead of your own folder (LLMFS_RECORDINGS_REQUIRED)",
  },
  mode: {
    usual: "auto",
    type: "enum",
    options: ["auto", "record", "replay", "off"],
    variable: "LLMFS_MODE",
    description:
      "auto: reuse a recording, else record; record: always record again; replay: recordings only; off: ignore recordings (LLMFS_MODE)",
  },
  contextTokens: {
    type: "string",
    valueHint: "N",
    description:
      "maximum number of tokens to send for a file, instructions and prompts included, at least 256; default: 16000 plus those; a quarter is for the outline",
  },
  repairs: {
    usual: "3",
    type: "string",
    valueHint: "N",
    description: "how often the model may repair files after a check that failed; default: 3",
  },
  checkTimeout: {
    usual: "10m",
    type: "string",
    valueHint: "TIME",
    description: "time limit for one run of the check, such as 90s or 1h; default: 10m",
  },
  checkSpace: {
    usual: "4G",
    type: "string",
    valueHint: "SIZE",
    description: "how much the check may write into its copy of the tree, such as 512M; default: 4G",
  },
  debug: { type: "boolean", description: "log every request and decision" },
  audit: {
    type: "string",
    valueHint: "FILE",
    description: "append every event to FILE (mode 0600), outside the mount: who opened, changed and generated what",
  },
  auditRequired: {
    type: "boolean",
    description: "generate nothing while the file of --audit cannot be written",
  },
  logFormat: {
    type: "enum",
    options: ["text", "json"],
    description: "json: a line of JSON for each line of the log, and for each event; default: text",
  },
  logFile: {
    type: "string",
    valueHint: "FILE",
    description: "log to FILE, rotated by size; - for no log; default: $XDG_STATE_HOME/llmfs/llmfs.log",
  },
});

export type SettingName = keyof typeof SETTINGS;

// Object.keys returns the names of the rows, and no others.
export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];

export function isSetting(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name);
}

/** A row without its literal types. */
export function rowOf(name: SettingName): Row {
  return SETTINGS[name];
}

/** Turns "logFile" into "log-file", as on the command line and in files. */
export function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Flags that say what one call of a command does. They are not settings, and each says why. */
export const NOT_SETTINGS: Readonly<Record<string, string>> = {
  config: "names the file itself",
  noRecordingsRequired: "is `recordings-required: false` in a file",
  foreground: "depends on who calls",
  json: "depends on who reads the output",
  long: "is about the output",
  depth: "is about the output",
  stat: "is about the output",
  files: "is about the output",
  watch: "is about the output",
  every: "is about the output",
  schema: "asks for something else than the settings",
  check: "is the command itself",
  noMount: "depends on the machine",
  only: "chooses the files of one call",
  pending: "chooses the files of one call",
  outdated: "chooses the files of one call",
  for: "chooses what one call removes",
  owner: "chooses what one call removes; `LLMFS_OWNER` is for all",
  olderThan: "chooses what one call removes",
  overwrite: "would make every call dangerous",
  force: "would make every call dangerous",
  unsigned: "would make every call dangerous",
  lazy: "would make every call dangerous",
  remove: "is an action",
  list: "is an action",
  undo: "is an action",
  showRequest: "is an action",
  dryRun: "is an action",
  format: "is for the first call",
  input: "is about one file",
  output: "is about one file",
  append: "is about one file",
  parents: "is about one file",
  depends: "is about one file",
  generator: "is about one file",
};

/** The key of a setting in a configuration file. */
export function keyOf(name: SettingName): string {
  return rowOf(name).key ?? kebabCase(name);
}

/** The values of the flags as typed. Undefined for an absent flag. A command leaves out the settings that it does not take. */
export type SettingsArguments = { readonly [K in SettingName]?: TypedValue<(typeof SETTINGS)[K]> | undefined } & {
  readonly config?: string | undefined;
  readonly noRecordingsRequired?: boolean | undefined;
};

type TypedValue<R> = R extends { type: "boolean" }
  ? boolean
  : R extends { multiple: true }
    ? readonly string[]
    : R extends { options: readonly (infer O)[] }
      ? O
      : string;
