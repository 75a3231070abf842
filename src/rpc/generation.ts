/** What the filesystem thread asks to be generated or listed, and what it gets for an answer. All of it is plain data. */
import type { FileInfo } from "./tree-port.ts";

/** The ticket of a request that no attempt belongs to, because nothing is to be generated. */
export const NO_TICKET = 0;

/** A file somebody waits for. The ticket names this attempt, the ino names the file for as long as it lives. */
export interface GenerationRequest {
  readonly ticket: number;
  readonly ino: number;
  /** One of the file's paths when the attempt began. It may change under way; content belongs to the inode. */
  readonly path: string;
  /** Name of the generator: "llm" unless the file says otherwise. */
  readonly generator: string;
  readonly file: FileInfo;
  /** `user.llmfs.prompt` from the root down to the file itself, root first. */
  readonly prompts: readonly string[];
  /** `user.llmfs.model` of the file or the nearest directory above. */
  readonly model?: string;
  /** `user.llmfs.*` of the directories above, the nearest one's value, prompts left out. Absent: look for yourself. */
  readonly settings?: ReadonlyMap<string, string>;
  /** There is a content, and its time has passed. */
  readonly renews?: true;
  /** Somebody wants another content than the one there is: an earlier answer will not do. */
  readonly again?: true;
  /** The file is written again from its content and an instruction. Only the generator "llm" can do that. */
  readonly rewrite?: Rewrite;
  /** Milliseconds to wait first: above 0 for a file that failed before, more with every time. */
  readonly pause: number;
  /** Which layout the tree had when the attempt began: see TreePort.layout. Absent: where it never changes. */
  readonly layout?: number;
  /** As `layout`, counting all that was written too: see TreePort.readStatics. */
  readonly contents?: number;
  /**
   * On a shared mount: the user who owns the file, where it is neither root nor the one who mounted. Nothing may be shown
   * that this user may not read, and no rule makes the file, unless it exists because of one.
   */
  readonly viewer?: number;
}

export interface Rewrite {
  /** The content so far. */
  readonly content: Uint8Array;
  /** What must change, in words. */
  readonly instruction: string;
}

/** What a finished generation hands over. */
export interface GeneratedContent {
  readonly bytes: Uint8Array;
  /** The content is what the sink was given, and `bytes` mean nothing. */
  readonly streamed?: true;
  /** Stored as `user.llmfs.meta.<key>`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** How long it is valid, in the notation of `user.llmfs.refresh`; absent: forever. */
  readonly refresh?: string;
  /** The content there is still holds, and `bytes` mean nothing. Only where the request renews one. */
  readonly unchanged?: true;
}

/**
 * How far a generation has come.
 *
 * | stage | meaning |
 * |---|---|
 * | `preparing` | nothing that is worth keeping was begun, or it waits for another file |
 * | `queued` | it waits for a place: as many are working as may be |
 * | `working` | the model was asked, or another generator is at work |
 */
export type Stage = "preparing" | "queued" | "working";

/** Takes the news of a generation. It begins as `preparing`. */
export interface StageListener {
  setStage(stage: Stage): void;
}

/**
 * Takes a large content while it is being made, so that it is never whole in the memory of who makes it. Nobody sees any
 * of it before the generation has succeeded; of one that fails nothing stays.
 */
export interface ContentSink extends StageListener {
  /** Resolves when there is room for another piece. Rejects with FsError: ENOSPC, EINTR. Order is that of the calls. */
  write(bytes: Uint8Array): Promise<void>;
}

/**
 * Answers one generation request, after its pause. Rejects with FsError; honours the signal. Without a sink the content
 * comes in one.
 */
export type Generate = (
  request: GenerationRequest,
  signal: AbortSignal,
  sink?: ContentSink,
) => Promise<GeneratedContent>;

/** A directory whose entries a generator knows, and somebody looks into it. */
export interface ListingRequest {
  readonly ticket: number;
  readonly ino: number;
  readonly path: string;
  readonly generator: string;
  /** As in GenerationRequest, of the directory. */
  readonly pause: number;
  readonly viewer?: number;
}

/** What such a directory holds: files with their generator, and directories to be listed in their turn. */
export interface Listing {
  readonly entries: readonly ListingEntry[];
  /** As in GeneratedContent. */
  readonly refresh?: string;
}

export interface ListingEntry {
  /** Below the directory; directories on the way are made. Invariant: no empty name, no "." and no "..". */
  readonly path: string;
  readonly type: "file" | "directory";
  readonly generator: string;
  readonly description?: string;
}

/** Answers one listing request. Rejects with FsError; honours the signal. */
export type List = (request: ListingRequest, signal: AbortSignal, listener?: StageListener) => Promise<Listing>;

/** A file or directory that is there from the start because a rule says so. */
export interface Plant {
  readonly path: string;
  readonly type: "file" | "directory";
  /** Who makes the file, or lists the directory; absent: nobody lists it. */
  readonly generator?: string;
}

/** Files that are there if their generator says so when somebody asks for their name. */
export interface NamedFiles {
  /** A pattern, as it is written in a rule. */
  readonly match: string;
  readonly generator: string;
}
