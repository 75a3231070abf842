/** The environment variables that llmfs uses. `settings.ts` reads their values. */

/** Each variable with its meaning. docs/cli.md has the same list. */
export const VARIABLES = {
  LLMFS_PROMPT: "as --prompt",
  LLMFS_CONTENT_PROMPT: "as --content-prompt",
  LLMFS_MODEL: "as --model",
  LLMFS_LAYOUT_TOKENS: "as --layout-tokens",
  LLMFS_RECORDINGS: "as --recordings",
  LLMFS_RECORDINGS_REQUIRED:
    "as --recordings-required, if set to 1 or true; as --no-recordings-required, if set to 0 or false",
  LLMFS_RECORDINGS_KEY:
    "a secret of at least 16 characters that signs recordings; recordings with another signature or none are then refused. Older keys that are still valid may follow, separated by commas",
  LLMFS_OWNER:
    "your team or project: new recordings carry this name, and `recordings prune` removes only those with it",
  AWS_ACCESS_KEY_ID:
    "for recordings on s3://, with AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL; without it, all other places where Amazon's tools look are tried, such as AWS_PROFILE and AWS_WEB_IDENTITY_TOKEN_FILE",
  HOME: "your home directory, for paths that begin with ~; must be absolute",
  XDG_CACHE_HOME: "recordings are in llmfs/recordings below it, unless --recordings says otherwise; default: ~/.cache",
  LLMFS_MODE: "as --mode",
  OPENAI_API_KEY: "the API key; never logged or written to a file",
  OPENAI_BASE_URL: "as --base-url",
  OPENAI_CUSTOM_HEADERS:
    "extra headers for that server, one per line, such as `X-Team: data`; not sent to a local server that llmfs finds by itself",
  XDG_STATE_HOME:
    "holds the log, llmfs/llmfs.log, and trees that could not be saved where you asked; default: ~/.local/state",
  XDG_CONFIG_HOME:
    "holds your own configuration, llmfs/config.ts, .js, .json, .yaml, .yml or .toml: it applies below the project's, and is always trusted; default: ~/.config",
  LLMFS_TRUST:
    "absolute paths, separated by colons: configurations found there or below are used without asking; for CI",
  LLMFS_FUSERMOUNT: "a program that mounts in place of fusermount3, such as a proxy in a pod; used even by root",
  XDG_RUNTIME_DIR: "where `run` and `demo` create their temporary mountpoint, if usable",
  TMPDIR: "the same, if XDG_RUNTIME_DIR is not set or not usable; default: /tmp",
  SOURCE_DATE_EPOCH:
    "seconds since 1970: the time of everything that llmfs creates, for reproducible archives; default with --mode replay: the beginning of 1980",
  HTTP_PROXY:
    "the proxy for requests; HTTPS_PROXY and ALL_PROXY work too. NO_PROXY lists servers to reach directly; this machine is always reached directly",
  NODE_EXTRA_CA_CERTS: "a PEM file with more certificate authorities to trust, in addition to those of the system",
  COLUMNS: "the width of help, from 40 to 100; default: the width of the terminal, or 100 without a terminal",
  NO_COLOR: "if set to anything, output has no colours",
} as const;

export type Variable =
  | keyof typeof VARIABLES
  | "AWS_SECRET_ACCESS_KEY"
  | "AWS_SESSION_TOKEN"
  | "AWS_REGION"
  | "AWS_ENDPOINT_URL";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The value of a variable; undefined for one that is not set or empty. */
export type Lookup = (name: Variable) => string | undefined;
