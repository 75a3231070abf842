/**
 * The messages between the two threads, and the port by which the main thread reaches the tree.
 *
 * The filesystem thread owns the tree and never waits. It asks for content ("generate") and goes on; the answer comes
 * back by ticket. Everything here is plain data that `postMessage` can copy.
 */

import type { MessagePort } from "node:worker_threads";
import type { ErrnoName } from "../errno.ts";
import type { FileInfo, TreeEntry } from "../generators/generator.ts";
import type { Revision } from "./changes.ts";
import type { PackedEntries } from "./packed.ts";

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

/** What a finished generation hands over. */
export interface GeneratedContent {
  readonly bytes: Uint8Array;
  /** The content is what the sink was given, and `bytes` mean nothing. */
  readonly streamed?: true;
  /** Stored as `user.llmfs.meta.<key>`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** How long it holds, as `user.llmfs.refresh` says it; absent: for ever. */
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
  stage(stage: Stage): void;
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

/** What the main thread may ask of the tree. */
export interface TreePort {
  /**
   * Every entry, directories before what they hold, names in byte order; `.llmfs` is not in it, nor what is there only
   * because a generator listed it.
   */
  outline(): Promise<readonly TreeEntry[]>;
  /**
   * As `outline`, and the same list again while names, descriptions and what was written by hand are the same; states
   * and sizes of files that are generated may be those of an earlier time. It is as of the latest generation request, or
   * of a later time. Absent: ask for the outline.
   */
  layout?(): Promise<readonly TreeEntry[]>;
  /** `requester` as for `read`. Rejects with FsError ENOENT, ENOTDIR, EINTR. */
  list(path: string, requester?: number): Promise<readonly TreeEntry[]>;
  /** One entry, symlinks not followed. Rejects with FsError ENOENT, ENOTDIR. */
  stat(path: string): Promise<FileInfo>;
  /**
   * The whole content, symlinks followed; a pending file is generated first.
   * `requester` is the ticket of the generation that reads: a cycle rejects with FsError EDEADLK, and if the generation
   * ends before the content is there, the read rejects with EINTR.
   */
  read(path: string, requester?: number): Promise<Uint8Array>;
  /** The content if the file is static, up to `limit` bytes; undefined for any other file. Never generates. */
  readStatic(path: string, limit: number): Promise<Uint8Array | undefined>;
  /**
   * The contents of static files, of longer ones the first `limit` bytes; undefined for any other path. As of the latest generation
   * request, or later; a content that is the same is the same object. Absent: read them one by one.
   */
  readStatics?(paths: readonly string[], limit: number): Promise<readonly (Uint8Array | undefined)[]>;
  /**
   * A program makes what the ticket is for: what it and its children read of the mount is read on its behalf. `waits` is
   * told of each time that they wait, and when it is over. Absent: there is no mount.
   */
  working?(ticket: number, pid: number, waits: (over: Promise<void>) => void): void;
  /**
   * The same tree as this user may see it: everything else is not there, or EACCES. Absent: nobody has files in it but the
   * one who made it.
   */
  as?(uid: number): TreePort;
}

export interface StaticsRequest {
  readonly paths: readonly string[];
  readonly limit: number;
  /** Another one than before: what was told is forgotten. */
  readonly epoch: number;
  /** With one, every content is told, and that as far as this user may read it. */
  readonly viewer?: number;
}

/** `ino` 0: no such file. `bytes` absent: as told before in the same epoch. */
export interface StaticContent {
  readonly ino: number;
  readonly bytes?: Uint8Array;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** What the kernel and the tree hold on to. */
export interface Held {
  /** Inodes that the kernel may still ask for; the root always. */
  readonly nodes: number;
  /** Open files. */
  readonly handles: number;
  /** Inodes that have a name, the root among them. */
  readonly named: number;
  /** Inodes that take memory. */
  readonly inodes: number;
}

/**
 * What the main thread may call, by name. Arguments and results are plain data. `viewer` is a user's number: only what
 * that user may see is there.
 */
export interface Methods {
  outline(viewer?: number): Promise<readonly TreeEntry[]>;
  list(path: string, requester?: number, viewer?: number): Promise<readonly TreeEntry[]>;
  stat(path: string, viewer?: number): Promise<FileInfo>;
  read(path: string, requester?: number, viewer?: number): Promise<Uint8Array>;
  readStatic(path: string, limit: number, viewer?: number): Promise<Uint8Array | undefined>;
  readStatics(request: StaticsRequest): Promise<readonly StaticContent[]>;
  /** Resolves when the file has its content; a pending one is generated. Rejects as `read` does. */
  make(path: string): Promise<void>;
  /** The outline, unless its version is still this one. */
  outlineSince(
    version: number,
    viewer?: number,
  ): Promise<{ readonly version: number; readonly entries?: PackedEntries }>;
  /** To be compared with an earlier one. */
  revision(): Promise<Revision>;
  /** Begins a snapshot as of this moment; returns its number. */
  saveBegin(times: boolean): Promise<number>;
  /** The next piece of it, UTF-8; undefined at the end. */
  saveNext(id: number): Promise<Uint8Array | undefined>;
  saveEnd(id: number): Promise<void>;
  /** What is held. Rejects where the tree's invariants are broken. */
  check(): Promise<Held>;
  /** Every file whose content is still to be made, in the order of the tree. */
  pending(): Promise<readonly PendingFile[]>;
}

/** Control files whose text the main thread knows. */
export type PublishedName = "config.json" | "usage.json";

/** A file without content. JSON-able: `.llmfs/pending.json` holds a list of them. */
export interface PendingFile {
  /** As text; see tree/path.ts for names that are not UTF-8. */
  readonly path: string;
  readonly state: "pending" | "generating" | "failed";
  /** What `user.llmfs.generator` says, or "llm". */
  readonly generator: string;
  /** What `user.llmfs.depends` says. */
  readonly depends?: string;
  /** Why it failed: "EDQUOT: the budget …". */
  readonly error?: string;
}

/** How the filesystem thread is started. */
export interface WorkerOptions {
  readonly port: MessagePort;
  /** An eventfd that the main thread counts up after each message. */
  readonly wake: number;
  readonly mountpoint: string;
  readonly debug: boolean;
  readonly passthrough: boolean;
  readonly lowPower: boolean;
  /** Of the root directory, where the snapshot says nothing. */
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Other users may come in. */
  readonly shared: boolean;
  readonly size?: number;
  readonly inodes?: number;
  readonly from?: { readonly file: string } | { readonly text: Uint8Array };
  readonly claimedSize?: number;
  readonly epoch?: number;
  readonly plants?: readonly Plant[];
  readonly named?: readonly NamedFiles[];
}

/** Filesystem thread → main thread: one message, or several at once. */
export type FromFilesystem =
  /** The tree is built; `pending` says whether a file in it waits to be generated. */
  | { readonly type: "loaded"; readonly pending: boolean }
  /** The snapshot is no good, and there is nothing to mount. `name` is the error's. */
  | { readonly type: "refused"; readonly name: string; readonly message: string }
  /** The kernel and we have shaken hands. */
  | { readonly type: "ready"; readonly protocol: string }
  | { readonly type: "generate"; readonly request: GenerationRequest }
  | { readonly type: "list"; readonly request: ListingRequest }
  /** Somebody wants the tree saved where it is to be saved. Answered with "saved". */
  | { readonly type: "save"; readonly id: number }
  /** A content that was made anew is undone, and what it replaced answers the same request: its key. */
  | { readonly type: "undone"; readonly request: string }
  /** Nobody waits for this attempt any more. */
  | { readonly type: "cancel"; readonly ticket: number }
  /** A program that makes the ticket's content waits for another one, or does so no longer. They may be several. */
  | { readonly type: "waits"; readonly ticket: number; readonly waits: boolean }
  /** Answered with "settled" when the calls that were called off until now are booked. */
  | { readonly type: "settle"; readonly id: number }
  /** A piece was taken; with a code it was not, and no other will be. */
  | { readonly type: "taken"; readonly ticket: number; readonly code?: ErrnoName; readonly message?: string }
  | { readonly type: "reply"; readonly id: number; readonly value: unknown }
  | { readonly type: "fault"; readonly id: number; readonly code: ErrnoName; readonly message: string }
  | { readonly type: "log"; readonly level: LogLevel; readonly tag: string; readonly text: string }
  | { readonly type: "ended"; readonly reason: "unmounted" | "failed"; readonly message?: string };

/** Main thread → filesystem thread; always several at once. */
export type ToFilesystem =
  /** It is mounted: `fd` is /dev/fuse. */
  | { readonly type: "serve"; readonly fd: number }
  /** The next bytes of a content that is being made. Each is answered with "taken". */
  | { readonly type: "piece"; readonly ticket: number; readonly bytes: Uint8Array }
  | {
      readonly type: "content";
      readonly ticket: number;
      readonly content: GeneratedContent;
    }
  | { readonly type: "listed"; readonly ticket: number; readonly listing: Listing }
  | { readonly type: "failed"; readonly ticket: number; readonly code: ErrnoName; readonly message: string }
  | { readonly type: "settled"; readonly id: number }
  | { readonly type: "stage"; readonly ticket: number; readonly stage: Stage }
  /** The attempt's content is made by this program, which may read the mount. */
  | { readonly type: "working"; readonly ticket: number; readonly pid: number }
  | { readonly type: "call"; readonly id: number; readonly method: keyof Methods; readonly args: readonly unknown[] }
  /** What came of it, JSON-able. */
  | { readonly type: "saved"; readonly id: number; readonly outcome: unknown }
  /** What `.llmfs/NAME` says from here on, until it is told again. */
  | { readonly type: "publish"; readonly name: PublishedName; readonly text: string }
  | { readonly type: "close" };
