/**
 * Turns flags, environment variables and configuration files into one frozen Config with checked values and absolute
 * paths. No other file reads settings from process.env.
 *
 * An empty variable counts as unset, except for LLMFS_RECORDINGS_KEY.
 */
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { withoutServerEnvironment } from "../../fuse/mounting/process.ts";
import type { DescribedConfiguration } from "../../generators/config/document.ts";
import type { ProgramSettings } from "../../rpc/programs.ts";
import { createValueError, type UserError } from "../errors.ts";
import { availableMemory } from "../machine/available-memory.ts";
import { homeDirectory } from "../machine/home-dir.ts";
import type { Environment } from "./environment.ts";
import { createLookup, type Given, GivenSettings, type SettingsFile } from "./given.ts";
import { type ModelConfig, readModelConfig } from "./model.ts";
import { readProgramSettings } from "./programs.ts";
import { type Prompt, readPrompt } from "./prompt.ts";
import { restoreOwnExceptions } from "./proxies.ts";
import type { SettingName, SettingsArguments } from "./table.ts";
import { parseAbsolutePath, parseCount, parseOptional, parseSize, parseSwitch, parseTimeLimit } from "./values.ts";

/** Plain data, because the launcher of a background mount sends it to the serving process. */
export interface Config extends ModelConfig {
  readonly prompt: Prompt | undefined;
  readonly contentPrompt: string | undefined;
  /** The maximum number of tokens sent for a file. */
  readonly contextTokens: number | undefined;
  /** Whether files are written with the text of those that they depend on. */
  readonly depends: boolean;
  /** The generator configuration, with its absolute path. */
  readonly configuration: DescribedConfiguration | undefined;
  readonly from: string | undefined;
  /** What to add to the tree that the mount starts from. */
  readonly grow: Prompt | undefined;
  readonly size: number;
  readonly inodes: number;
  readonly readOnly: boolean;
  readonly warm: boolean;
  /** The time of generated (not written) files, in seconds since 1970. */
  readonly epoch: number | undefined;
  readonly allowOther: boolean;
  readonly noExec: boolean;
  readonly lowPower: boolean;
  readonly programs: ProgramSettings;
  readonly save: string | undefined;
  readonly saveEveryMs: number | undefined;
  readonly debug: boolean;
  readonly logFile: string | undefined;
  readonly logFormat: "text" | "json";
  readonly audit: string | undefined;
  readonly auditRequired: boolean;
  /** The configuration files that settings about files come from. */
  readonly origins?: Partial<Record<FileSetting, Origin>>;
}

/** Settings that name a file, which is checked before it is used. */
export const FILE_SETTINGS = ["from", "save", "logFile", "audit"] as const;
export type FileSetting = (typeof FILE_SETTINGS)[number];

export interface Origin {
  /** The configuration file. */
  readonly file: string;
  /** For messages: the file and the key. */
  readonly label: string;
}

/** The minimum values. Anything lower would make a useless mount and is probably a typo. */
const LEAST = {
  /** llmfs's own instructions use more than half of this. */
  contextTokens: 256,
  /** The root counts as one, and so does every file and directory. */
  inodes: 16,
  saveEveryMs: 1000,
} as const;

/** An inode and its name use at most 1 KiB, so that all inodes together use at most as much memory as the contents may. */
function inodesFor(memory: number): number {
  return Math.floor(memory / 2 / 1024);
}

/** `files`: the nearest first. Throws UserError. */
export function readConfig(
  args: SettingsArguments,
  environment: Environment = process.env,
  files: readonly SettingsFile[] = [],
): Readonly<Config> {
  const variable = createLookup(environment);
  const given = new GivenSettings(args, environment, files);
  const model = readModelConfig(given, variable);
  const tree = chooseTree(given);
  const config: Config = {
    prompt: tree.prompt && readPrompt(tree.prompt.source, tree.prompt.text, tree.prompt.folder),
    contentPrompt: given.parse("contentPrompt", readPrompt)?.text,
    contextTokens: given.parse("contextTokens", (source, text) => parseCount(source, text, LEAST.contextTokens)),
    depends: given.parse("noDepends", parseSwitch) !== true,
    ...model,
    configuration: undefined,
    from: tree.from && parseAbsolutePath(tree.from.source, tree.from.text, tree.from.folder),
    grow: given.parse("grow", readPrompt),
    size:
      given.parse("size", (source, text) => parseSize(source, text, availableMemory)) ??
      parseSize("--size", "50%", availableMemory),
    inodes:
      given.parse("inodes", (source, text) => parseCount(source, text, LEAST.inodes)) ?? inodesFor(availableMemory()),
    readOnly: given.parse("readOnly", parseSwitch) ?? false,
    warm: given.parse("warm", parseSwitch) ?? false,
    epoch:
      parseOptional(variable("SOURCE_DATE_EPOCH"), (text) => parseCount("SOURCE_DATE_EPOCH", text, 0, LAST_EPOCH)) ??
      (model.mode === "replay" ? REPLAYED : undefined),
    allowOther: given.parse("allowOther", parseSwitch) ?? false,
    noExec: given.parse("noExec", parseSwitch) ?? false,
    lowPower: given.parse("lowPower", parseSwitch) ?? false,
    programs: readProgramSettings(given),
    save: given.parse("save", parseAbsolutePath),
    saveEveryMs: given.parse("saveEvery", (source, text) => parseTimeLimit(source, text, LEAST.saveEveryMs)),
    debug: given.parse("debug", parseSwitch) ?? false,
    logFile: chooseLogFile(given, environment),
    logFormat: given.parse("logFormat", parseLogFormat) ?? "text",
    audit: given.parse("audit", parseAbsolutePath),
    auditRequired: given.parse("auditRequired", parseSwitch) ?? false,
    origins: findOrigins(given),
  };
  const { auditRequired, audit, saveEveryMs, save, grow } = config;
  if (auditRequired && audit === undefined) throw refuse(given, "auditRequired", "needs --audit FILE");
  if (saveEveryMs !== undefined && save === undefined) throw refuse(given, "saveEvery", "needs --save FILE");
  if (grow !== undefined && config.from === undefined && config.prompt === undefined) {
    throw refuse(given, "grow", "adds to a tree: start from one with --from, or describe a new one with --prompt");
  }
  return Object.freeze(config);
}

/** The error for a setting that lacks another one. */
function refuse(given: GivenSettings, name: SettingName, reason: string): UserError {
  const source = given.find(name)?.source ?? "";
  return createValueError(source, `${source} ${reason}`);
}

function findOrigins(given: GivenSettings): NonNullable<Config["origins"]> {
  const origins = FILE_SETTINGS.flatMap((name) => {
    const layer = given.layers.find((one) => one.find(name) !== undefined);
    const label = layer?.file && layer.find(name)?.source;
    return label === undefined || layer?.file === undefined ? [] : [[name, { file: layer.file.file, label }]];
  });
  return Object.fromEntries(origins);
}

/** Which value of each setting counts, and where it comes from. */
export function readGiven(
  args: SettingsArguments,
  files: readonly SettingsFile[],
  environment: Environment = process.env,
): GivenSettings {
  return new GivenSettings(args, environment, files);
}

/** Whether there is a key for the model's server. */
export function hasApiKey(environment: Environment = process.env): boolean {
  return createLookup(environment)("OPENAI_API_KEY") !== undefined;
}

/** 1980, the earliest time in zip archives. A fixed time makes replays independent of when they run. */
const REPLAYED = Date.UTC(1980) / 1000;

/** The last second that a Date can be (ECMAScript, "Time Values and Time Range"). Nothing could print a later one. */
const LAST_EPOCH = 8_640_000_000_000;

/** The folders for temporary mountpoints, best first. */
export function temporaryFolders(environment: Environment = process.env): readonly string[] {
  const folders = [environment.XDG_RUNTIME_DIR, environment.TMPDIR, "/tmp"];
  return folders.flatMap((folder) => (folder?.startsWith("/") ? [folder] : []));
}

/** Where large temporary files may go. XDG_RUNTIME_DIR is small, and in memory. */
export function scratchFolders(environment: Environment = process.env): readonly string[] {
  const { TMPDIR } = environment;
  return [...new Set([TMPDIR?.startsWith("/") ? TMPDIR : "/tmp", "/tmp", "/var/tmp"])];
}

/** The environment for a program that llmfs starts for the user: our own without internal variables. */
export function childEnvironment(
  added: Readonly<Record<string, string>>,
  environment: Environment = process.env,
): Record<string, string | undefined> {
  const own = {
    NODE_CHANNEL_FD: undefined,
    NODE_CHANNEL_SERIALIZATION_MODE: undefined,
    [NAMESPACE_VARIABLE]: undefined,
    ...restoreOwnExceptions(environment),
    ...withoutServerEnvironment(environment),
  };
  return { ...environment, ...own, ...added };
}

/** The environment for inspecting a mount's generators: the mount's own variables override those of this process. */
export function mountEnvironment(serving: Environment): Record<string, string | undefined> {
  return childEnvironment({}, { ...process.env, ...serving });
}

/** Passes the pid of the outer llmfs to the one that `run` starts in a namespace. Not passed on to its children. */
export const NAMESPACE_VARIABLE = "LLMFS_NAMESPACE";

export function outerProcess(environment: Environment = process.env): number | undefined {
  const pid = environment[NAMESPACE_VARIABLE];
  return pid === undefined ? undefined : Number(pid);
}

export function insideNamespace(environment: Environment = process.env): boolean {
  return outerProcess(environment) !== undefined;
}

/** Whether to use colors: only on a terminal that supports them, and if the user did not disable them. */
export function wantsColor(isTerminal: boolean, environment: Environment = process.env): boolean {
  return canRedraw(isTerminal, environment) && !environment.NO_COLOR;
}

/** The columns for text that the user asks for. */
export function readColumns(environment: Environment = process.env): number | undefined {
  const { COLUMNS = "" } = environment;
  return /^[1-9]\d{0,4}$/.test(COLUMNS) ? Number(COLUMNS) : undefined;
}

/** Whether a line can be redrawn: not on a text-only terminal, for which TERM is dumb, empty or unset. */
export function canRedraw(isTerminal: boolean, environment: Environment = process.env): boolean {
  const { TERM = "" } = environment;
  return isTerminal && TERM !== "" && TERM !== "dumb" && TERM !== "unknown";
}

/** A tree comes from a prompt or from a file. A flag for one of them overrides a variable or a file that names the other. */
function chooseTree(given: GivenSettings): { readonly prompt?: Given | undefined; readonly from?: Given | undefined } {
  const [prompt, from] = [given.find("prompt"), given.find("from")];
  if (prompt === undefined || from === undefined) return { prompt, from };
  if (prompt.level !== from.level) return prompt.level < from.level ? { prompt } : { from };
  throw createValueError(
    prompt.source,
    `${prompt.source} and ${from.source} exclude each other: each defines the tree; for instructions about content, use --content-prompt`,
  );
}

function chooseLogFile(given: GivenSettings, environment: Environment): string | undefined {
  const log = given.find("logFile");
  if (log === undefined) return defaultLogFile(environment);
  return log.text === "-" ? undefined : parseAbsolutePath(log.source, log.text, log.folder);
}

export function defaultLogFile(environment: Environment = process.env): string {
  return join(stateFolder(environment), "llmfs.log");
}

/** The folder of the user's own configuration, which is always trusted. */
export function configFolder(environment: Environment = process.env): string {
  const given = environment.XDG_CONFIG_HOME;
  const home = given?.startsWith("/") === true ? given : join(homeDirectory(environment.HOME), ".config");
  return join(home, "llmfs");
}

/** Files and directories whose configurations are trusted: LLMFS_TRUST, without symlinks. Those that are absent are left out. */
export function readTrustedPaths(environment: Environment = process.env): readonly string[] {
  const paths = (environment.LLMFS_TRUST ?? "").split(":").filter((path) => path.startsWith("/"));
  return paths.flatMap((path) => {
    try {
      return [realpathSync(path)];
    } catch {
      return [];
    }
  });
}

/** The folder for files that outlive llmfs: the log, and trees that could not be saved to their file. */
export function stateFolder(environment: Environment = process.env): string {
  const stateHome = environment.XDG_STATE_HOME;
  // The XDG specification requires relative paths to be ignored.
  const state =
    stateHome?.startsWith("/") === true ? stateHome : join(homeDirectory(environment.HOME), ".local", "state");
  return join(state, "llmfs");
}

function parseLogFormat(source: string, text: string): "text" | "json" {
  if (text === "text" || text === "json") return text;
  throw createValueError(source, `${source} ${text}: expected text or json`);
}
