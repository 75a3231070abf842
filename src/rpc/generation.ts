/** The filesystem thread's requests for content and listings, and their answers. All of it is plain data. */
import type { FileInfo } from "./tree-port.ts";

/** The ticket of a request without an attempt, because nothing is to be generated. */
export const NO_TICKET = 0;

/** A file that has waiters. The ticket identifies this attempt, the ino identifies the file as long as it lives. */
export interface GenerationRequest {
  readonly ticket: number;
  readonly ino: number;
  /** One of the file's paths when the attempt began. It may change in the meantime; content belongs to the inode. */
  readonly path: string;
  /** The name of the generator: "llm" unless the file names another. */
  readonly generator: string;
  readonly file: FileInfo;
  /** `user.llmfs.prompt` from the root down to the file itself, root first. */
  readonly prompts: readonly string[];
  /** The prompt of the rule that makes the file, which is the last of `prompts`. The files that it names by path are depended on. */
  readonly rulePrompt?: string;
  /** `user.llmfs.model` of the file or the nearest directory above. */
  readonly model?: string;
  /** `user.llmfs.*` of the directories above, nearest first, without prompts. Absent: they have to be looked up. */
  readonly settings?: ReadonlyMap<string, string>;
  /** The content exists and has expired. */
  readonly renews?: true;
  /** Different content is requested: an earlier answer must not be used. */
  readonly again?: true;
  /** The file is rewritten from its content and an instruction. Only the generator "llm" supports that. */
  readonly rewrite?: Rewrite;
  /** Milliseconds to wait first: above 0 for a file that failed before, and longer each time. */
  readonly pause: number;
  /** The version of the outline when the attempt began: see TreePort.layout. Absent if it never changes. */
  readonly layout?: number;
  /** Like `layout`, but also counts writes: see TreePort.readStatics. */
  readonly contents?: number;
  /**
   * On a shared mount, the owner of the file, unless that is root or the user who mounted. The generator may not see
   * anything that this user may not read, and no rule generates the file, unless the file exists because of a rule.
   */
  readonly viewer?: number;
}

export interface Rewrite {
  /** The content so far. */
  readonly content: Uint8Array;
  /** The required change, in words. */
  readonly instruction: string;
}

/** The result of a finished generation. */
export interface GeneratedContent {
  readonly bytes: Uint8Array;
  /** The content was written to the sink, and `bytes` is unused. */
  readonly streamed?: true;
  /** Stored as `user.llmfs.meta.<key>`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** How long it is valid, in the notation of `user.llmfs.refresh`; absent: forever. */
  readonly refresh?: string;
  /** The existing content is still valid, and `bytes` is unused. Only if the request renews content. */
  readonly unchanged?: true;
}

/**
 * How far a generation has come.
 *
 * | stage | meaning |
 * |---|---|
 * | `preparing` | it has not begun anything worth keeping, or it waits for another file |
 * | `queued` | it waits for a slot: the maximum number of generations is running |
 * | `working` | the request was sent to the model, or another generator is running |
 */
export type Stage = "preparing" | "queued" | "working";

/** Receives the stages of a generation. It begins as `preparing`. */
export interface StageListener {
  setStage(stage: Stage): void;
}

/**
 * Receives large content while it is generated, so that the generator never has all of it in memory. No reader sees any
 * of it before the generation has succeeded; after a failure nothing is kept.
 */
export interface ContentSink extends StageListener {
  /** Resolves when there is room for another piece. Rejects with FsError: ENOSPC, EINTR. Calls are handled in order. */
  write(bytes: Uint8Array): Promise<void>;
}

/**
 * Answers one generation request, after its pause. Rejects with FsError; honours the signal. Without a sink the content
 * is returned in one piece.
 */
export type Generate = (
  request: GenerationRequest,
  signal: AbortSignal,
  sink?: ContentSink,
) => Promise<GeneratedContent>;

/**
 * The content that `Generate` would give, if it is kept on this machine and nothing has to be waited for. Undefined: call
 * `Generate`. Never throws.
 */
export type Recall = (request: GenerationRequest) => GeneratedContent | undefined;

/** A request to list a directory whose entries a generator knows. */
export interface ListingRequest {
  readonly ticket: number;
  readonly ino: number;
  readonly path: string;
  readonly generator: string;
  /** As in GenerationRequest, for the directory. */
  readonly pause: number;
  readonly viewer?: number;
}

/** The entries of such a directory: files with their generator, and directories that are listed in turn. */
export interface Listing {
  readonly entries: readonly ListingEntry[];
  /** As in GeneratedContent. */
  readonly refresh?: string;
}

export interface ListingEntry {
  /** Relative to the directory; parent directories are created. Invariant: no empty name, "." or "..". */
  readonly path: string;
  readonly type: "file" | "directory";
  readonly generator: string;
  readonly description?: string;
}

/** Answers one listing request. Rejects with FsError; honours the signal. */
export type List = (request: ListingRequest, signal: AbortSignal, listener?: StageListener) => Promise<Listing>;

/** A file or directory that exists from the start because of a rule. */
export interface Plant {
  readonly path: string;
  readonly type: "file" | "directory";
  /** The generator of the file, or the lister of the directory. Absent: the directory is not listed. */
  readonly generator?: string;
}

/** Files that exist if their generator says so when their name is looked up. */
export interface NamedFiles {
  /** A pattern, as written in a rule. */
  readonly match: string;
  readonly generator: string;
}
