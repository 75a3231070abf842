/** The flags that several commands share, as data. `settings.ts` gives them their meaning. */
import { attribute } from "../../attributes.ts";
import { defineFlags } from "./command.ts";

export const promptFlags = defineFlags({
  prompt: {
    type: "string",
    alias: "F",
    valueHint: "TEXT|FILE",
    description: "what the tree holds: the text itself, a file with it, @FILE, or - for standard input (LLMFS_PROMPT)",
  },
});

export const modelFlags = defineFlags({
  contentPrompt: {
    type: "string",
    valueHint: "TEXT|FILE",
    description: "guides the content of every file (LLMFS_CONTENT_PROMPT)",
  },
  model: { type: "string", valueHint: "NAME", description: "the model to ask (LLMFS_MODEL)" },
  baseUrl: {
    type: "string",
    valueHint: "URL",
    description: "an OpenAI-compatible server (OPENAI_BASE_URL); the key comes from OPENAI_API_KEY",
  },
  layoutTokens: {
    type: "string",
    valueHint: "N",
    description: `ask for layouts of up to N tokens, if the server's default cuts them off (LLMFS_LAYOUT_TOKENS); for files, set ${attribute("max-tokens")}`,
  },
  concurrency: {
    type: "string",
    valueHint: "N",
    description: "requests to the model at a time, 256 at most; default 4",
  },
  timeout: {
    type: "string",
    valueHint: "TIME",
    description: "how long one answer may take, as 90s or 5m, at least 100ms; default 15m",
  },
  maxCalls: { type: "string", valueHint: "N", description: "never more requests to the model than that" },
  maxTokens: { type: "string", valueHint: "N", description: "never more tokens than that, sent and received together" },
  maxUsd: { type: "string", valueHint: "DOLLARS", description: "never more money than that, where the price is known" },
  price: {
    type: "string",
    valueHint: "MODEL=IN/OUT",
    description: "what a model costs, in dollars for a million tokens sent and received; several with commas",
  },
  recordings: {
    type: "string",
    valueHint: "DIR|URL",
    description:
      "recorded answers, to use and to add to: a folder, redis://… or s3://BUCKET/PREFIX; default ~/.cache/llmfs/recordings (LLMFS_RECORDINGS)",
  },
  mode: {
    type: "enum",
    options: ["auto", "record", "replay", "off"],
    description: "recorded answers: use or make them, make them anew, use nothing else, ignore them (LLMFS_MODE)",
  },
});

const treeFlags = defineFlags({
  from: { type: "string", valueHint: "FILE", description: "a snapshot to start from, instead of a prompt" },
  size: {
    type: "string",
    valueHint: "SIZE",
    description: "upper limit of the bytes held, as 512M, 2G or 25%, at least 4K; default 50% of the memory",
  },
  inodes: {
    type: "string",
    valueHint: "N",
    description:
      "upper limit of files and directories, names and attributes beyond them counted along, at least 16; default one for every 2 KiB of the memory",
  },
  readOnly: { type: "boolean", description: "mount read-only; files still come into being when they are read" },
  allowOther: {
    type: "boolean",
    description: "let other users in; permissions hold, and content is made from what a file's owner may read",
  },
  lowPower: {
    type: "boolean",
    description: "never wait actively for the next request: slower, for batteries and processor quotas",
  },
});

export const configFlags = defineFlags({
  config: {
    type: "string",
    valueHint: "FILE",
    description:
      "generators and rules, or none; default llmfs.config.ts, .js, .json, .yaml or .toml in the current directory, unless it lies in a mount",
  },
});

const contextFlags = defineFlags({
  contextTokens: {
    type: "string",
    valueHint: "N",
    description:
      "send at most so many tokens for a file, instructions and prompts included, at least 256; default 16000 beside those, a quarter of it for the outline",
  },
});

/** For commands that look at a tree: what a running mount does not say itself, or is to be seen otherwise. */
export const lookFlags = defineFlags({
  model: modelFlags.model,
  baseUrl: modelFlags.baseUrl,
  contentPrompt: modelFlags.contentPrompt,
  recordings: { ...modelFlags.recordings, description: "where recorded answers are; default as for the mount" },
  price: modelFlags.price,
  ...contextFlags,
  ...configFlags,
});

const warmFlags = defineFlags({
  warm: { type: "boolean", description: "generate every file first, in parallel; see llmfs warm" },
});

const saveFlags = defineFlags({
  save: {
    type: "string",
    valueHint: "FILE",
    description: "write a snapshot of the tree to FILE (mode 0600) on unmount",
  },
  saveEvery: {
    type: "string",
    valueHint: "TIME",
    description: "also write it at intervals, as 30s or 10m, at least 1s",
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
    description: "where to log, rotated by size; - for none; default $XDG_STATE_HOME/llmfs/llmfs.log",
  },
});
