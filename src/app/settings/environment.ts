/** The environment variables that llmfs looks at. Their values come through `settings.ts`. */

/** Each with what it means: docs/cli.md lists the same. */
export const VARIABLES = {
  LLMFS_PROMPT: "as --prompt",
  LLMFS_CONTENT_PROMPT: "as --content-prompt",
  LLMFS_MODEL: "as --model",
  LLMFS_LAYOUT_TOKENS: "as --layout-tokens",
  LLMFS_RECORDINGS: "as --recordings",
  AWS_ACCESS_KEY_ID:
    "for recordings on s3://, with AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL",
  HOME: "your own folder, for what lies in ~; an absolute path",
  XDG_CACHE_HOME: "recordings are in llmfs/recordings below it, unless told otherwise; ~/.cache unless set",
  LLMFS_MODE: "as --mode",
  OPENAI_API_KEY: "the key for the server; never logged, never written anywhere",
  OPENAI_BASE_URL: "as --base-url",
  OPENAI_CUSTOM_HEADERS:
    "headers to send to that server, one a line, as `X-Team: data`; not sent to a local server that was found by itself",
  XDG_STATE_HOME:
    "the log is in llmfs/llmfs.log below it, with trees that could not be saved where they should; ~/.local/state unless set",
  XDG_RUNTIME_DIR: "`run` and `demo` make their temporary mountpoint in it, if it can be used",
  TMPDIR: "the same, where there is no XDG_RUNTIME_DIR; /tmp unless set",
  SOURCE_DATE_EPOCH:
    "seconds since 1970: the times of everything that llmfs makes itself, so that archives of a tree are equal too; with --mode replay the beginning of 1980 unless set",
  HTTP_PROXY:
    "the proxy for requests, as HTTPS_PROXY and ALL_PROXY are; NO_PROXY names servers to ask directly, and this machine is one of them always",
  NODE_EXTRA_CA_CERTS: "a file of certificate authorities to trust besides those of the system, in PEM",
  NO_COLOR: "no colours when it is set to anything",
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
