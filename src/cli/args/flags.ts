/** The flags of each command. Flags that are settings are rows of the table of settings, and may also be in a file. */
import { SETTINGS, type SettingName } from "../../app/settings/table.ts";
import { defineFlags } from "./command.ts";

function pick<const N extends SettingName>(...names: readonly N[]): Pick<typeof SETTINGS, N> {
  // It has exactly these names.
  return Object.fromEntries(names.map((name) => [name, SETTINGS[name]])) as Pick<typeof SETTINGS, N>;
}

/** See app/place.ts. */
export const placeArgument = {
  type: "positional",
  required: false,
  description:
    "a mount, a snapshot, or a directory in one, such as DIR/src or tree.json/src; default: the mount that contains the current directory",
} as const;

/** A file to look at, for `fileAt` in app/inspect.ts. */
export const fileArguments = defineFlags({
  path: {
    type: "positional",
    required: true,
    description: "a file in a mount, or in a snapshot such as tree.json/a.md",
  },
  from: { type: "string", valueHint: "FILE", description: "read PATH from this snapshot" },
});

export const promptFlags = pick("prompt");

export const modelFlags = defineFlags({
  ...pick(
    "contentPrompt",
    "model",
    "baseUrl",
    "header",
    "layoutTokens",
    "noDepends",
    "concurrency",
    "timeout",
    "confirmOver",
    "maxCalls",
    "maxTokens",
    "maxUsd",
    "price",
    "recordings",
    "recordingsRequired",
  ),
  // In a file: recordings-required: false.
  noRecordingsRequired: {
    type: "boolean",
    description:
      "ask the model even if a shared store refuses new recordings: each machine then pays for its own answers (LLMFS_RECORDINGS_REQUIRED=0)",
  },
  ...pick("mode"),
});

const treeFlags = pick("from", "grow", "size", "inodes", "readOnly", "allowOther", "noExec", "lowPower");

export const configFlags = defineFlags({
  config: {
    type: "string",
    valueHint: "FILE",
    description:
      "read settings, generators and rules from FILE; none: from no file; default: llmfs.config.ts, .js, .json, .yaml, .yml or .toml in the current directory, if you trust it (see llmfs trust)",
  },
});

export const contextFlags = pick("contextTokens");

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

export const checkFlags = pick("repairs", "checkTimeout", "checkSpace");

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
    description: "generate pending files first (generate), or leave them out (skip); default: generate",
  },
  only: {
    type: "string",
    valueHint: "GLOB",
    description: 'generate only the pending files that match, such as "src/**" or "*.md"; separate several with commas',
  },
});

/** For the commands that make a mount: mount and run. */
export const mountFlags = defineFlags({
  ...promptFlags,
  ...treeFlags,
  ...configFlags,
  ...pick(
    "warm",
    "save",
    "saveEvery",
    "statGenerates",
    "denyProgram",
    "allowProgram",
    "policy",
    "audit",
    "auditRequired",
  ),
  ...modelFlags,
  ...contextFlags,
});

export const logFlags = pick("debug", "logFile", "logFormat");
