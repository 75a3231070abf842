/**
 * Flags and environment become one frozen Config, checked and with every path absolute. The only reader of process.env.
 *
 * A flag wins over its variable. An empty variable counts as not set.
 */
import { join } from "node:path";
import { SLEEPER } from "../../fuse/mounting/process.ts";
import { UsageError } from "../errors.ts";
import { availableMemory } from "../machine/available-memory.ts";
import { homeDirectory } from "../machine/home-dir.ts";
import type { SettingsArguments } from "./arguments.ts";
import type { Environment, Lookup } from "./environment.ts";
import { type ModelConfig, readModelConfig } from "./model.ts";
import { type Prompt, readPrompt } from "./prompt.ts";
import { restoreOwnExceptions } from "./proxies.ts";
import { parseAbsolutePath, parseCount, parseDuration, parseOptional, parseSize } from "./values.ts";

/** Plain data: the launcher of a background mount hands it to the process that serves the mount. */
export interface Config extends ModelConfig {
  readonly prompt: Prompt | undefined;
  readonly contentPrompt: string | undefined;
  /** Most tokens sent for a file. */
  readonly contextTokens: number | undefined;
  /** Of generators and rules; absolute. */
  readonly configFile: string | undefined;
  readonly from: string | undefined;
  readonly size: number;
  readonly inodes: number;
  readonly readOnly: boolean;
  readonly warm: boolean;
  /** Seconds since 1970, for what is made rather than written. */
  readonly epoch: number | undefined;
  readonly allowOther: boolean;
  readonly lowPower: boolean;
  readonly save: string | undefined;
  readonly saveEveryMs: number | undefined;
  readonly debug: boolean;
  readonly logFile: string | undefined;
}

/** What is less would make a mount that is of no use, and is a slip of the finger. */
const LEAST = {
  /** llmfs's own instructions take more than half of it. */
  contextTokens: 256,
  /** The root is one, and so is every file and directory. */
  inodes: 16,
  saveEveryMs: 1000,
} as const;

/** None takes more than a kilobyte, its name included: all together no more than the contents may. */
function inodesFor(memory: number): number {
  return Math.floor(memory / 2 / 1024);
}

/** Throws UsageError, or UserError for a prompt that can't be read. */
export function readConfig(args: SettingsArguments, environment: Environment = process.env): Readonly<Config> {
  const variable: Lookup = (name) => environment[name] || undefined;
  const model = readModelConfig(args, variable);
  const config: Config = {
    prompt: choosePrompt(args, variable("LLMFS_PROMPT")),
    contentPrompt: requireGiven(
      "--content-prompt",
      args.contentPrompt,
      "LLMFS_CONTENT_PROMPT",
      variable("LLMFS_CONTENT_PROMPT"),
    ),
    contextTokens: parseOptional(args.contextTokens, (text) =>
      parseCount("--context-tokens", text, LEAST.contextTokens),
    ),
    ...model,
    configFile: undefined,
    from: parseOptional(args.from, (text) => parseAbsolutePath("--from", text)),
    size: parseSize("--size", args.size ?? "50%", availableMemory),
    inodes:
      args.inodes === undefined ? inodesFor(availableMemory()) : parseCount("--inodes", args.inodes, LEAST.inodes),
    readOnly: args.readOnly ?? false,
    warm: args.warm ?? false,
    epoch:
      parseOptional(variable("SOURCE_DATE_EPOCH"), (text) => parseCount("SOURCE_DATE_EPOCH", text, 0)) ??
      (model.mode === "replay" ? REPLAYED : undefined),
    allowOther: args.allowOther ?? false,
    lowPower: args.lowPower ?? false,
    save: parseOptional(args.save, (text) => parseAbsolutePath("--save", text)),
    saveEveryMs: parseOptional(args.saveEvery, (text) => parseDuration("--save-every", text, LEAST.saveEveryMs)),
    debug: args.debug ?? false,
    logFile: logFile(args.logFile, environment),
  };
  if (config.saveEveryMs !== undefined && config.save === undefined) {
    throw new UsageError("--save-every needs --save FILE, to know where");
  }
  return Object.freeze(config);
}

/** 1980, when the times of zip archives begin: what is replayed is the same whenever that is. */
const REPLAYED = Date.UTC(1980) / 1000;

/** Where a temporary mountpoint may be made, best first. */
export function temporaryFolders(environment: Environment = process.env): readonly string[] {
  const folders = [environment.XDG_RUNTIME_DIR, environment.TMPDIR, "/tmp"];
  return folders.flatMap((folder) => (folder?.startsWith("/") ? [folder] : []));
}

/** The environment for a program that llmfs starts for the user: ours, without what is for us alone. */
export function childEnvironment(
  added: Readonly<Record<string, string>>,
  environment: Environment = process.env,
): Record<string, string | undefined> {
  const own = {
    NODE_CHANNEL_FD: undefined,
    NODE_CHANNEL_SERIALIZATION_MODE: undefined,
    [NAMESPACE_VARIABLE]: undefined,
    ...restoreOwnExceptions(environment),
    ...(environment.BUN_GC_TIMER_DISABLE === SLEEPER.BUN_GC_TIMER_DISABLE && { BUN_GC_TIMER_DISABLE: undefined }),
  };
  return { ...environment, ...own, ...added };
}

/** The environment for the process that serves a mount in the background. */
export function daemonEnvironment(): Readonly<Record<string, string | undefined>> {
  return { ...process.env, ...SLEEPER };
}

/** The same, where a mount's generators are looked at: what the mount was started with goes before what is set here. */
export function mountEnvironment(serving: Environment): Record<string, string | undefined> {
  return childEnvironment({}, { ...process.env, ...serving });
}

/** The process id of the llmfs outside, for the one that `run` starts in a namespace; never for what that starts. */
export const NAMESPACE_VARIABLE = "LLMFS_NAMESPACE";

export function outerProcess(environment: Environment = process.env): number | undefined {
  const pid = environment[NAMESPACE_VARIABLE];
  return pid === undefined ? undefined : Number(pid);
}

export function insideNamespace(environment: Environment = process.env): boolean {
  return outerProcess(environment) !== undefined;
}

/** Colours: only on a terminal that has them and wants them. */
export function wantsColor(isTerminal: boolean, environment: Environment = process.env): boolean {
  return canRedraw(isTerminal, environment) && !environment.NO_COLOR;
}

/** Whether a line can be drawn over: not on a terminal that only takes text, as TERM=dumb, empty and unset say. */
export function canRedraw(isTerminal: boolean, environment: Environment = process.env): boolean {
  const { TERM = "" } = environment;
  return isTerminal && TERM !== "" && TERM !== "dumb" && TERM !== "unknown";
}

function choosePrompt(args: SettingsArguments, fromEnvironment: string | undefined): Prompt | undefined {
  if (args.prompt !== undefined) {
    if (args.from !== undefined) {
      throw new UsageError(
        "--prompt and --from exclude each other: either makes the tree; --content-prompt guides files",
      );
    }
    return readPrompt("--prompt", args.prompt);
  }
  if (args.from !== undefined || fromEnvironment === undefined) return undefined;
  return readPrompt("LLMFS_PROMPT", fromEnvironment);
}

function requireGiven(
  flag: string,
  value: string | undefined,
  name: string,
  other: string | undefined,
): string | undefined {
  if (value !== undefined) return readPrompt(flag, value).text;
  return other === undefined ? undefined : readPrompt(name, other).text;
}

function logFile(text: string | undefined, environment: Environment): string | undefined {
  if (text === "-") return undefined;
  if (text !== undefined) return parseAbsolutePath("--log-file", text);
  return join(stateFolder(environment), "llmfs.log");
}

/** Where llmfs keeps what it has to say after its end: the log, and trees that could not be saved where they should. */
export function stateFolder(environment: Environment = process.env): string {
  const stateHome = environment.XDG_STATE_HOME;
  // The XDG specification: a relative path is to be ignored.
  const state =
    stateHome?.startsWith("/") === true ? stateHome : join(homeDirectory(environment.HOME), ".local", "state");
  return join(state, "llmfs");
}
