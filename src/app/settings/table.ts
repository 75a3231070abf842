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
    description:
      "maximum size of all file contents together, such as 512M, 2G or 25% of the memory, at least 4K; default: 50%",
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
      "let other users use the mount; permissions apply, and a file is generated only from what its owner may read",
  },
  noExec: { type: "boolean", description: "do not allow programs in the mount to be executed" },
  lowPower: {
    type: "boolean",
    description:
      "wait for requests in the way that takes the least processor time, even if each then takes up to a third longer",
  },
  warm: { type: "boolean", description: "generate all files at the start, in parallel; see llmfs warm" },
  save: { type: "string", valueHint: "FILE", description: "save the tree to FILE (mode 0600) on unmount" },
  saveEvery: {
    type: "string",
    valueHint: "TIME",
    description: "with --save: also save at intervals, such as 30s or 10m, at least 1s",
  },
  statGenerates: {
    usual: STAT_GENERATES,
    type: "string",
    valueHint: "NAMES",
    list: true,
    description: `programs for which stat generates a pending file, because they rely on its size; separate several with commas; default: ${STAT_GENERATES}; '' for none`,
  },
  denyProgram: {
    type: "string",
    valueHint: "NAMES",
    list: true,
    description:
      "do not generate files for these programs, in addition to indexers, backup tools and others that read files unasked; separate several with commas; none: allow those others",
  },
  allowProgram: {
    type: "string",
    valueHint: "NAMES",
    list: true,
    description:
      "generate files for these programs, although they are denied by default, such as restic; separate several with commas",
  },
  policy: {
    type: "string",
    valueHint: "RULES",
    description:
      "rules for who may have files generated, separated by semicolons; each is allow or deny, with program=, user= and path=, such as 'deny program=rg path=vendor/**'; the first rule that applies decides",
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
    description: `ask for layouts of up to N tokens, if the server's default limit cuts them off (LLMFS_LAYOUT_TOKENS); for files, set ${attribute("max-tokens")}`,
  },
  noDepends: {
    type: "boolean",
    description:
      "generate each file without sending the text of other files: layouts do not say which files use which, and " +
      `${attribute("depends")} has no effect; for many independent files, such as fixtures`,
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
      "stop before more than N requests (such as 20), or before spending more than an amount (such as $0.50), until you run llmfs allow, which permits the same amount again",
  },
  maxTokens: {
    type: "string",
    valueHint: "N",
    description: "maximum number of tokens, counting those sent and those received",
  },
  maxUsd: {
    type: "string",
    valueHint: "DOLLARS",
    description: "stop before spending more than this (models with a known price only)",
  },
  price: {
    type: "string",
    valueHint: "MODEL=IN/OUT",
    list: true,
    description:
      "the price of a model, in dollars per million tokens sent (IN) and received (OUT); separate several with commas",
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
      "never ask the model while the recordings cannot be read and written: requests then fail, instead of using your own folder (LLMFS_RECORDINGS_REQUIRED)",
  },
  mode: {
    usual: "auto",
    type: "enum",
    options: ["auto", "record", "replay", "off"],
    variable: "LLMFS_MODE",
    description:
      "auto: use a recording if there is one, else ask and record; record: always ask and record; replay: use recordings only; off: ignore recordings; default: auto (LLMFS_MODE)",
  },
  contextTokens: {
    type: "string",
    valueHint: "N",
    description:
      "maximum number of tokens to send for a file, including instructions and prompts, at least 256; default: 16000, not counting instructions and prompts; a quarter is for the outline of the tree",
  },
  repairs: {
    usual: "3",
    type: "string",
    valueHint: "N",
    description: "how many times the model may repair files after the check has failed; default: 3",
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
    description: "maximum size of what the check may write into its copy of the tree, such as 512M; default: 4G",
  },
  debug: { type: "boolean", description: "log every request and decision" },
  audit: {
    type: "string",
    valueHint: "FILE",
    description: "append every event to FILE (mode 0600, not in a mount): who opened, changed and generated what",
  },
  auditRequired: {
    type: "boolean",
    description: "with --audit: generate nothing while that file cannot be written",
  },
  logFormat: {
    usual: "text",
    type: "enum",
    options: ["text", "json"],
    description: "format of the log; json: one line of JSON for each message and each event; default: text",
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

/** Flags that affect only one call of a command. They are not settings, and each says why. */
export const NOT_SETTINGS: Readonly<Record<string, string>> = {
  config: "names the file itself",
  noRecordingsRequired: "is written `recordings-required: false` in a file",
  foreground: "depends on who calls the command",
  json: "depends on who reads the output",
  long: "is about the output",
  depth: "is about the output",
  stat: "is about the output",
  files: "is about the output",
  watch: "is about the output",
  every: "is about the output",
  schema: "prints the schema instead of the settings",
  check: "names the command to run",
  noMount: "depends on the machine",
  only: "chooses the files of one call",
  pending: "chooses the files of one call",
  outdated: "chooses the files of one call",
  for: "chooses what one call removes",
  owner: "chooses what one call removes; `LLMFS_OWNER` applies to every call",
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
  format: "is for `llmfs init`, which writes the file",
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
