/** The flags that several commands share, as data. `settings.ts` gives them their meaning. */
import { attribute } from "../../attributes.ts";
import { defineFlags } from "./command.ts";

/** See app/place.ts. */
export const placeArgument = {
  type: "positional",
  required: false,
  description:
    "a mount, a snapshot, or a directory in one, such as DIR/src or tree.json/src; default: the mount that contains the current directory",
} as const;

export const promptFlags = defineFlags({
  prompt: {
    type: "string",
    alias: "F",
    valueHint: "TEXT|FILE",
    description: "describe the tree: text, a file, @FILE, or - for standard input (LLMFS_PROMPT)",
  },
});

export const modelFlags = defineFlags({
  contentPrompt: {
    type: "string",
    valueHint: "TEXT|FILE",
    description: "an instruction for the content of every file (LLMFS_CONTENT_PROMPT)",
  },
  model: { type: "string", valueHint: "NAME", description: "the model to ask (LLMFS_MODEL)" },
  baseUrl: {
    type: "string",
    valueHint: "URL",
    description: "the URL of an OpenAI-compatible server (OPENAI_BASE_URL); its key is read from OPENAI_API_KEY",
  },
  layoutTokens: {
    type: "string",
    valueHint: "N",
    description: `ask for layouts of up to N tokens, if the server's default cuts them off (LLMFS_LAYOUT_TOKENS); for files, set ${attribute("max-tokens")}`,
  },
  noDepends: {
    type: "boolean",
    description:
      "write each file without the text of others: layouts do not say which files use which, and " +
      `${attribute("depends")} has no effect. For many independent files, such as fixtures`,
  },
  concurrency: {
    type: "string",
    valueHint: "N",
    description: "maximum number of parallel requests to the model, up to 256; default: 4",
  },
  timeout: {
    type: "string",
    valueHint: "TIME",
    description: "time limit for one answer, such as 90s or 5m, at least 100ms; default: 15m",
  },
  maxCalls: { type: "string", valueHint: "N", description: "maximum number of requests to the model" },
  maxTokens: { type: "string", valueHint: "N", description: "maximum number of tokens, sent and received together" },
  maxUsd: {
    type: "string",
    valueHint: "DOLLARS",
    description: "stop before spending more than this (models with a known price only)",
  },
  price: {
    type: "string",
    valueHint: "MODEL=IN/OUT",
    description: "the price of a model in dollars per million tokens sent and received; separate several with commas",
  },
  recordings: {
    type: "string",
    valueHint: "DIR|URL",
    description:
      "where to read and write recorded answers: a folder, redis://… or s3://BUCKET/PREFIX; default: ~/.cache/llmfs/recordings (LLMFS_RECORDINGS)",
  },
  recordingsRequired: {
    type: "boolean",
    description:
      "never ask the model unless the recordings can be read and written: an error instead of your own folder (LLMFS_RECORDINGS_REQUIRED)",
  },
  noRecordingsRequired: {
    type: "boolean",
    description:
      "ask the model even if shared recordings refuse new answers: each machine then pays for its own (LLMFS_RECORDINGS_REQUIRED=0)",
  },
  mode: {
    type: "enum",
    options: ["auto", "record", "replay", "off"],
    description:
      "auto: reuse a recording, else record; record: always record again; replay: recordings only; off: ignore recordings (LLMFS_MODE)",
  },
});

const treeFlags = defineFlags({
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
  lowPower: {
    type: "boolean",
    description: "never spin between requests: sometimes slower, but saves power and processor time",
  },
});

export const configFlags = defineFlags({
  config: {
    type: "string",
    valueHint: "FILE",
    description:
      "a configuration of generators and rules, or none; default: llmfs.config.ts, .js, .json, .yaml or .toml in the current directory, if you trust it (see llmfs trust)",
  },
});

export const contextFlags = defineFlags({
  contextTokens: {
    type: "string",
    valueHint: "N",
    description:
      "maximum number of tokens to send for a file, instructions and prompts included, at least 256; default: 16000 plus those; a quarter is for the outline",
  },
});

/** For commands that look at a tree: what a running mount does not report itself, or what to assume instead. */
export const lookFlags = defineFlags({
  model: modelFlags.model,
  baseUrl: modelFlags.baseUrl,
  contentPrompt: modelFlags.contentPrompt,
  noDepends: modelFlags.noDepends,
  recordings: { ...modelFlags.recordings, description: "where recorded answers are; default: as for the mount" },
  price: modelFlags.price,
  ...contextFlags,
  ...configFlags,
});

const warmFlags = defineFlags({
  warm: { type: "boolean", description: "generate all files first, in parallel; see llmfs warm" },
});

export const checkFlags = defineFlags({
  repairs: {
    type: "string",
    valueHint: "N",
    description: "how often the model may repair files after a check that failed; default: 3",
  },
  checkTimeout: {
    type: "string",
    valueHint: "TIME",
    description: "time limit for one run of the check, such as 90s or 1h; default: 10m",
  },
  checkSpace: {
    type: "string",
    valueHint: "SIZE",
    description: "how much the check may write into its copy of the tree, such as 512M; default: 4G",
  },
});

const saveFlags = defineFlags({
  save: {
    type: "string",
    valueHint: "FILE",
    description: "save the tree to FILE (mode 0600) on unmount",
  },
  saveEvery: {
    type: "string",
    valueHint: "TIME",
    description: "also save at intervals, such as 30s or 10m, at least 1s",
  },
});

/** For commands that generate files of a snapshot without a mount. */
export const generateFlags = defineFlags({
  ...modelFlags,
  ...contextFlags,
  ...configFlags,
});

/** Which pending files are generated, for commands that need them all at once. */
export const chooseFlags = defineFlags({
  pending: {
    type: "enum",
    options: ["generate", "skip"],
    description: "generate pending files first, or leave them out; default: generate",
  },
  only: {
    type: "string",
    valueHint: "GLOB",
    description: 'of the pending files, generate only these: "src/**", "*.md"; separate several with commas',
  },
});

/** What it takes to make a mount, however long it lasts. */
export const mountFlags = defineFlags({
  ...promptFlags,
  ...treeFlags,
  ...configFlags,
  ...warmFlags,
  ...saveFlags,
  ...modelFlags,
  ...contextFlags,
});

export const logFlags = defineFlags({
  debug: { type: "boolean", description: "log every request and decision" },
  logFile: {
    type: "string",
    valueHint: "FILE",
    description: "log to FILE, rotated by size; - for no log; default: $XDG_STATE_HOME/llmfs/llmfs.log",
  },
});
