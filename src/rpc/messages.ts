/**
 * The messages between the two threads, and the methods that the main thread calls.
 *
 * The filesystem thread owns the tree and never waits. It asks for content ("generate") and goes on; the answer comes
 * back by ticket. Everything here is plain data that `postMessage` can copy.
 */

import type { MessagePort } from "node:worker_threads";
import type { ErrnoName } from "../errno.ts";
import type { FailedCheck } from "./control-protocol.ts";
import type {
  GeneratedContent,
  GenerationRequest,
  Listing,
  ListingRequest,
  NamedFiles,
  Plant,
  Stage,
} from "./generation.ts";
import type { Added, Adder, NewEntry } from "./growth.ts";
import type { PackedEntries } from "./packed-outline.ts";
import type { FileInfo, TreeEntry } from "./tree-port.ts";

/** What a snapshot is taken of, at one moment. */
export interface Revision {
  /** The same number: nothing was asked that changes anything. */
  readonly count: number;
  /** Somebody has a file open for writing. */
  readonly writing: boolean;
}

export interface StaticsRequest {
  readonly paths: readonly string[];
  readonly limit: number;
  /** Different from the last call: the caller has forgotten all contents. */
  readonly epoch: number;
  /** If given, every content is sent that this user may read. */
  readonly viewer?: number;
}

/** `ino` 0: no such file. `bytes` absent: as told before in the same epoch. */
export interface StaticContent {
  readonly ino: number;
  readonly bytes?: Uint8Array;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** What the kernel and the tree hold on to. */
export interface HeldCounts {
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
  check(): Promise<HeldCounts>;
  /** Every file whose content is still to be made, in the order of the tree. */
  pending(): Promise<readonly PendingFile[]>;
  /** Adds entries: all that are new, or none. Rejects with FsError, with nothing added. */
  add(entries: readonly NewEntry[], adder: Adder): Promise<Added>;
  /** A number that changes with the names and the contents of files. */
  version(): Promise<number>;
  /** The paths of all files with generated content. */
  generated(): Promise<readonly string[]>;
  /** What would be asked for these files now. Those without generated content are left out. The tickets are NO_TICKET. */
  requestsFor(paths: readonly string[]): Promise<readonly GenerationRequest[]>;
  /** Replaces metadata of files with generated content; undefined removes it. Other files are left alone. */
  setMetadata(files: readonly FileMetadata[]): Promise<void>;
}

export interface FileMetadata {
  readonly path: string;
  readonly metadata: ReadonlyMap<string, string | undefined>;
}

/** What somebody asked for through `.llmfs/control` and the main thread does. */
export type MountCommand =
  /** Saves the tree at its configured destination. */
  | { readonly op: "save" }
  /** Asks the model which files made a check fail: `diagnosis` in the answer. */
  | { readonly op: "diagnose"; readonly failure: FailedCheck }
  /** Records the content of all generated files, if this is still the version of the contents: `frozen` in the answer. */
  | { readonly op: "freeze"; readonly version: number };

/** JSON-able members of the answer, or why there are none. */
export type CommandOutcome =
  | { readonly result: Readonly<Record<string, unknown>> }
  | { readonly failure: { readonly code: ErrnoName; readonly message: string } };

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

/** What a mount starts from: a snapshot, or a directory of the disk (a real path). */
export type StartingTree = { readonly file: string } | { readonly text: Uint8Array } | { readonly directory: string };

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
  readonly from?: StartingTree;
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
  /** Answered with "completed". */
  | { readonly type: "command"; readonly id: number; readonly command: MountCommand }
  /** Nobody waits for this command any more. It is answered all the same. */
  | { readonly type: "stop"; readonly id: number }
  /** A regeneration was undone, and both contents answer the same request, whose key this is. */
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
  | ({ readonly type: "completed"; readonly id: number } & CommandOutcome)
  /** The text of `.llmfs/NAME` until the next message of this type. */
  | { readonly type: "publish"; readonly name: PublishedName; readonly text: string }
  | { readonly type: "close" };
