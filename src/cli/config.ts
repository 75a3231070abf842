/**
 * Flags and environment become one frozen Config, checked and with every path absolute. The only reader of process.env.
 *
 * A flag wins over its variable. An empty variable counts as not set.
 */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { ProviderLayer } from "../llm/provider.ts";
import { defaultRecordings } from "../recording/folder.ts";
import type { RecordingMode } from "../recording/recording.ts";
import type { S3Settings } from "../recording/s3.ts";
import type { Args } from "./command.ts";
import { CliError, UsageError } from "./exit.ts";
import { availableMemory } from "./memory.ts";
import type { logFlags, modelFlags, promptFlags, saveFlags, treeFlags } from "./options.ts";
import { type Prompt, readPrompt } from "./prompt.ts";
import { count, duration, size } from "./quantity.ts";

/** The variables llmfs looks at, each with what it means: docs/cli.md lists the same. */
export const VARIABLES = {
  LLMFS_PROMPT: "as --prompt",
  LLMFS_CONTENT_PROMPT: "as --content-prompt",
  LLMFS_MODEL: "as --model",
  LLMFS_RECORDINGS: "as --recordings",
  AWS_ACCESS_KEY_ID:
    "for recordings on s3://, with AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL",
  XDG_CACHE_HOME: "recordings are in llmfs/recordings below it, unless told otherwise; ~/.cache unless set",
  LLMFS_MODE: "as --mode",
  OPENAI_API_KEY: "the key for the server; never logged, never written anywhere",
  OPENAI_BASE_URL: "as --base-url",
  XDG_STATE_HOME: "the log is in llmfs/llmfs.log below it; ~/.local/state unless set",
  XDG_RUNTIME_DIR: "`run` and `demo` make their temporary mountpoint in it, if it can be used",
  TMPDIR: "the same, where there is no XDG_RUNTIME_DIR; /tmp unless set",
  NO_COLOR: "no colours when it is set to anything",
} as const;

type Variable =
  | keyof typeof VARIABLES
  | "AWS_SECRET_ACCESS_KEY"
  | "AWS_SESSION_TOKEN"
  | "AWS_REGION"
  | "AWS_ENDPOINT_URL";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Plain data: the launcher of a background mount hands it to the process that serves the mount. */
export interface Config {
  readonly prompt: Prompt | undefined;
  readonly contentPrompt: string | undefined;
  /** Where the model is, the flags' word before the environment's. */
  readonly providers: readonly ProviderLayer[];
  readonly concurrency: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly mode: RecordingMode;
  /** A folder, or the URL of a shared store. */
  readonly recordings: string;
  /** The user's own folder of recordings. */
  readonly ownRecordings: string;
  readonly s3: S3Settings;
  readonly from: string | undefined;
  readonly size: number;
  readonly inodes: number | undefined;
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  readonly save: string | undefined;
  readonly saveEveryMs: number | undefined;
  readonly debug: boolean;
  readonly logFile: string | undefined;
}

type Shared = typeof promptFlags & typeof modelFlags & typeof treeFlags & typeof saveFlags & typeof logFlags;

/** The flags of a command, as many of the shared ones as it has. */
export type ConfigArgs = Partial<Args<Shared>>;

/** Throws UsageError, or CliError for a prompt that can't be read. */
export function readConfig(args: ConfigArgs, environment: Environment = process.env): Readonly<Config> {
  const variable = (name: Variable): string | undefined => environment[name] || undefined;
  const cache = variable("XDG_CACHE_HOME");
  const ownRecordings = defaultRecordings({ home: homedir(), ...(cache && { xdgCacheHome: cache }) });
  const config: Config = {
    prompt: prompt(args, variable("LLMFS_PROMPT")),
    contentPrompt: given(
      "--content-prompt",
      args.contentPrompt,
      "LLMFS_CONTENT_PROMPT",
      variable("LLMFS_CONTENT_PROMPT"),
    ),
    providers: [
      layer("the flags", args.model, baseUrl("--base-url", args.baseUrl), undefined),
      layer(
        "the environment",
        variable("LLMFS_MODEL"),
        baseUrl("OPENAI_BASE_URL", variable("OPENAI_BASE_URL")),
        variable("OPENAI_API_KEY")?.trim(),
      ),
    ],
    concurrency: optional(args.concurrency, (text) => count("--concurrency", text, 1)),
    timeoutMs: optional(args.timeout, (text) => duration("--timeout", text)),
    mode: args.mode ?? mode(variable("LLMFS_MODE")),
    recordings: optional(args.recordings ?? variable("LLMFS_RECORDINGS"), location) ?? ownRecordings,
    ownRecordings,
    s3: s3(variable),
    from: optional(args.from, (text) => path("--from", text)),
    size: size("--size", args.size ?? "50%", availableMemory),
    inodes: optional(args.inodes, (text) => count("--inodes", text, 1)),
    readOnly: args.readOnly ?? false,
    allowOther: args.allowOther ?? false,
    save: optional(args.save, (text) => path("--save", text)),
    saveEveryMs: optional(args.saveEvery, (text) => duration("--save-every", text)),
    debug: args.debug ?? false,
    logFile: logFile(args.logFile, variable("XDG_STATE_HOME")),
  };
  if (config.saveEveryMs !== undefined && config.save === undefined) {
    throw new UsageError("--save-every needs --save FILE, to know where");
  }
  return Object.freeze(config);
}

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
  };
  return { ...environment, ...own, ...added };
}

/** Set for the llmfs that `run` starts in a user namespace; never for what that starts. */
export const NAMESPACE_VARIABLE = "LLMFS_NAMESPACE";

export function insideNamespace(environment: Environment = process.env): boolean {
  return environment[NAMESPACE_VARIABLE] === "1";
}

/** The folders in which programs are looked for. */
export function searchPath(environment: Environment = process.env): readonly string[] {
  return (environment.PATH ?? "/usr/local/bin:/usr/bin:/bin").split(":").filter((folder) => folder !== "");
}

/** Colours on standard error: only on a terminal that wants them. */
export function wantsColor(isTerminal: boolean, environment: Environment = process.env): boolean {
  return isTerminal && !environment.NO_COLOR && environment.TERM !== "dumb";
}

/** What must never be written to a log. */
export function secrets({ providers, recordings, s3 }: Config): readonly string[] {
  const urls = [recordings, ...providers.map(({ baseUrl }) => baseUrl ?? "")].filter((url) => URL.canParse(url));
  const all = [
    ...providers.map(({ apiKey }) => apiKey ?? ""),
    ...urls.flatMap((url) => [new URL(url).password, decodeURIComponent(new URL(url).password)]),
    s3.secretAccessKey ?? "",
    s3.sessionToken ?? "",
  ];
  return [...new Set(all)].filter((secret) => secret !== "");
}

function layer(
  from: string,
  model: string | undefined,
  baseUrl: string | undefined,
  apiKey: string | undefined,
): ProviderLayer {
  return { from, ...(model && { model }), ...(baseUrl && { baseUrl }), ...(apiKey && { apiKey }) };
}

function prompt(args: ConfigArgs, fromEnvironment: string | undefined): Prompt | undefined {
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

function given(flag: string, value: string | undefined, name: string, other: string | undefined): string | undefined {
  if (value !== undefined) return readPrompt(flag, value).text;
  return other === undefined ? undefined : readPrompt(name, other).text;
}

function baseUrl(source: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return text;
  // The value is not repeated: what is no URL may be a key in the wrong place.
  const problem = `${source} is not a URL that begins with http:// or https://; an example: http://127.0.0.1:11434/v1`;
  throw source.startsWith("--") ? new UsageError(problem) : new CliError("input", problem);
}

function mode(text: string | undefined): RecordingMode {
  if (text === undefined) return "auto";
  if (text === "auto" || text === "record" || text === "replay" || text === "off") return text;
  throw new CliError("input", `LLMFS_MODE ${text}: expected auto, record, replay or off`);
}

/** A folder becomes absolute; the URL of a shared store stays as it is. */
function location(text: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : path("--recordings", text);
}

function s3(variable: (name: Variable) => string | undefined): S3Settings {
  const endpoint = variable("AWS_ENDPOINT_URL");
  const region = variable("AWS_REGION");
  const accessKeyId = variable("AWS_ACCESS_KEY_ID");
  const secretAccessKey = variable("AWS_SECRET_ACCESS_KEY");
  const sessionToken = variable("AWS_SESSION_TOKEN");
  return {
    ...(endpoint && { endpoint }),
    ...(region && { region }),
    ...(accessKeyId && { accessKeyId }),
    ...(secretAccessKey && { secretAccessKey }),
    ...(sessionToken && { sessionToken }),
  };
}

function path(flag: string, text: string): string {
  if (text === "") throw new UsageError(`${flag} is empty; a path is needed`);
  return resolve(text);
}

function logFile(text: string | undefined, stateHome: string | undefined): string | undefined {
  if (text === "-") return undefined;
  if (text !== undefined) return path("--log-file", text);
  // The XDG specification: a relative path is to be ignored.
  const folder = stateHome?.startsWith("/") === true ? stateHome : join(homedir(), ".local", "state");
  return join(folder, "llmfs", "llmfs.log");
}

function optional<T>(text: string | undefined, read: (text: string) => T): T | undefined {
  return text === undefined ? undefined : read(text);
}
