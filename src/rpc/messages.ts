/**
 * The messages between the two threads, and the methods that the main thread calls.
 *
 * The filesystem thread owns the tree and never waits. It requests content ("generate") and continues; the answer is
 * matched by its ticket. Everything here is plain data that `postMessage` can copy.
 */

import type { MessagePort } from "node:worker_threads";
import type { ErrnoName } from "../errno.ts";
import type { LogLevel } from "../log.ts";
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
import type { MountEvent, ProgramSettings, SaveEvent } from "./programs.ts";
import type { DetailedEntry, FileInfo, TreeEntry } from "./tree-port.ts";

export type { LogLevel };

/** The state of the tree at one moment. */
export interface Revision {
  /** As long as the number is the same, there was no request that changes anything. */
  readonly count: number;
  /** Whether a file is open for writing. */
  readonly writing: boolean;
}

export interface StaticsRequest {
  readonly paths: readonly string[];
  readonly limit: number;
  /** A different number than in the last call means that the caller has dropped all contents. */
  readonly epoch: number;
  /** If given, every content that this user may read is sent. */
  readonly viewer?: number;
}

/** `ino` 0: no such file. `bytes` absent: as sent before in the same epoch. */
export interface StaticContent {
  readonly ino: number;
  readonly bytes?: Uint8Array;
}

/** What the kernel and the tree hold. */
export interface HeldCounts {
  /** Inodes that the kernel may still use; always includes the root. */
  readonly nodes: number;
  /** Open files. */
  readonly handles: number;
  /** Inodes that have a name, including the root. */
  readonly named: number;
  /** Inodes in memory. */
  readonly inodes: number;
}

/** An answer that grows with the tree. It is made in slices, and sent in parts. */
export interface InParts<P, V = undefined> {
  readonly parts: readonly P[];
  readonly value: V;
}

/**
 * The methods that the main thread may call. Arguments and results are plain data. `viewer` is a user id: only what
 * that user may see is returned.
 */
export interface Methods {
  list(path: string, requester?: number, viewer?: number): Promise<readonly TreeEntry[]>;
  stat(path: string, viewer?: number): Promise<FileInfo>;
  read(path: string, requester?: number, viewer?: number): Promise<Uint8Array>;
  readStatic(path: string, limit: number, viewer?: number): Promise<Uint8Array | undefined>;
  readStatics(request: StaticsRequest): Promise<readonly StaticContent[]>;
  /** Resolves when the file has its content; a pending one is generated. Rejects as `read` does. */
  make(path: string): Promise<void>;
  /** The outline of this moment; its parts only if the version is not this one. */
  outlineSince(version: number, viewer?: number): Promise<InParts<PackedEntries, { readonly version: number }>>;
  /** Returns a value to compare with an earlier one. */
  revision(): Promise<Revision>;
  /** Starts a snapshot of this moment; returns its number. */
  saveBegin(times: boolean): Promise<number>;
  /** Returns the next piece of the snapshot, as UTF-8; undefined at the end. */
  saveNext(id: number): Promise<Uint8Array | undefined>;
  saveEnd(id: number): Promise<void>;
  /** Adds the end of a save to the events. Resolves when it is reported. */
  noteSave(event: SaveEvent): Promise<void>;
  /** Counts what is held. Rejects if an invariant of the tree is violated. */
  check(): Promise<HeldCounts>;
  /** Every file that has no content yet, as packed PendingFiles (packed-list.ts). */
  pending(): Promise<InParts<string>>;
  /** Adds entries: all that are new, or none. Rejects with FsError, with nothing added. */
  add(entries: readonly NewEntry[], adder: Adder): Promise<Added>;
  /** A number that changes with the names and the contents of files. */
  version(): Promise<number>;
  /** The paths of all files with generated content, packed. */
  generated(): Promise<InParts<string>>;
  /** What would be asked for these files now. Those without generated content are left out. The tickets are NO_TICKET. */
  requestsFor(paths: readonly string[]): Promise<readonly GenerationRequest[]>;
  /**
   * Replaces metadata of files with generated content; undefined removes it. They count as generated from
   * the current content of the files that they use. Other files are left alone.
   */
  setMetadata(files: readonly FileMetadata[]): Promise<void>;
  /** Every entry but the root, as `.llmfs/tree.json` has it. */
  listAll(): Promise<readonly DetailedEntry[]>;
  /**
   * Replaces the content of a file, and makes the file and the directories above it if they are missing. It counts as
   * written by hand. Rejects with FsError ENOTDIR, EISDIR, EINVAL, ENOSPC, EPERM.
   */
  writeFile(path: string, content: Uint8Array, writer: Adder): Promise<void>;
  /** Generates new content, as `regen` of `.llmfs/control` does. Rejects with FsError. */
  regenerate(path: string, options: RegenerateOptions): Promise<void>;
}

export interface RegenerateOptions {
  /** The file's own prompt from now on. */
  readonly prompt?: string | undefined;
  /** Whether to replace content that a user wrote, too. */
  readonly force?: boolean | undefined;
}

export interface FileMetadata {
  readonly path: string;
  readonly metadata: ReadonlyMap<string, string | undefined>;
}

/** A request through `.llmfs/control` that the main thread handles. */
export type MountCommand =
  /** Allows as much spending again as --confirm-over: `allowed` in the answer, absent without it. */
  | { readonly op: "allow" }
  /** Saves the tree at its configured destination. */
  | { readonly op: "save" }
  /** Asks the model which files made a check fail: `diagnosis` in the answer. */
  | { readonly op: "diagnose"; readonly failure: FailedCheck }
  /** Records the content of all generated files, if this is still the version of the contents: `frozen` in the answer. */
  | { readonly op: "freeze"; readonly version: number }
  /** Has a model lay out more files below a directory. With `dry`, they are not added. */
  | {
      readonly op: "grow";
      readonly path: string;
      readonly prompt: string;
      readonly dry: boolean;
      readonly adder: Adder;
    };

/** The members of the answer, as JSON values, or the reason for a failure. */
export type CommandOutcome =
  | { readonly result: Readonly<Record<string, unknown>> }
  | { readonly failure: { readonly code: ErrnoName; readonly message: string; readonly kind?: string } };

/** Control files whose text comes from the main thread. */
export type PublishedName = "config.json" | "usage.json" | "recordings";

/** A file without content, as a JSON value: `.llmfs/pending.json` is a list of them. */
export interface PendingFile {
  /** As text; see tree/path.ts for names that are not UTF-8. */
  readonly path: string;
  readonly state: "pending" | "generating" | "failed";
  /** The value of `user.llmfs.generator`, or "llm". */
  readonly generator: string;
  /** The value of `user.llmfs.depends`. */
  readonly depends?: string;
  /** When the generation that is running began, in ISO 8601. */
  readonly since?: string;
  /** The generation waits until fewer requests to the model are running. */
  readonly queued?: true;
  /** The files that are generated first, because the generator of this one reads them. */
  readonly waitsFor?: readonly string[];
  /** The reason for the last failure: "EDQUOT: the budget …". */
  readonly error?: string;
}

/** What a mount starts from: a snapshot, or a directory on disk (a real path). */
export type StartingTree = { readonly file: string } | { readonly text: Uint8Array } | { readonly directory: string };

/** A generated file whose used files have changed since it was written. `.llmfs/outdated.json` has a list of them. */
export interface OutdatedFile {
  /** As text; see tree/path.ts for names that are not UTF-8. */
  readonly path: string;
  /** The used files that have changed, are gone, or are outdated themselves. */
  readonly changed: readonly string[];
  /** All used files, as in `user.llmfs.depends`. */
  readonly depends: string;
}

/** What the filesystem thread is started with. The first message on the port is a WorkerOptions. */
export interface WorkerStart {
  readonly port: MessagePort;
  /** One number: an eventfd that the main thread increments after each message; 0 until it has sent the options. */
  readonly wake: Int32Array<SharedArrayBuffer>;
}

/** What the filesystem thread serves, and how. */
export interface WorkerOptions {
  readonly mountpoint: string;
  readonly debug: boolean;
  readonly passthrough: boolean;
  readonly lowPower: boolean;
  /** The owner of the root directory, unless the snapshot says otherwise. */
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Whether other users can enter the mount. */
  readonly shared: boolean;
  readonly size?: number;
  readonly inodes?: number;
  readonly from?: StartingTree;
  readonly claimedSize?: number;
  readonly programs?: ProgramSettings;
  readonly epoch?: number;
  readonly plants?: readonly Plant[];
  readonly named?: readonly NamedFiles[];
}

/** Filesystem thread → main thread: one message, or several at once. */
export type FromFilesystem =
  /** The tree is built; `pending` tells whether it contains a pending file. */
  | { readonly type: "loaded"; readonly pending: boolean }
  /** The snapshot is invalid, and there is nothing to mount. `name` is the error's. */
  | { readonly type: "refused"; readonly name: string; readonly message: string }
  /** The handshake with the kernel is done. */
  | { readonly type: "ready"; readonly protocol: string }
  | { readonly type: "generate"; readonly request: GenerationRequest }
  | { readonly type: "list"; readonly request: ListingRequest }
  /** Answered with "completed". */
  | { readonly type: "command"; readonly id: number; readonly command: MountCommand }
  /** The answer to this command is no longer needed. It is answered anyway. */
  | { readonly type: "stop"; readonly id: number }
  /** A regeneration was undone, and both contents answer the same request, whose key this is. */
  | { readonly type: "undone"; readonly request: string }
  /** This attempt has no waiters any more. */
  | { readonly type: "cancel"; readonly ticket: number }
  /** A program that generates the ticket's content waits for another file, or no longer does. Several may wait. */
  | { readonly type: "waits"; readonly ticket: number; readonly waits: boolean }
  /** Answered with "settled" when the cost of all calls cancelled so far is known. */
  | { readonly type: "settle"; readonly id: number }
  /** A piece was accepted. With a code it was rejected, and no other will be accepted. */
  | { readonly type: "taken"; readonly ticket: number; readonly code?: ErrnoName; readonly message?: string }
  /** A part of the answer to a call. `inParts`: the parts sent before belong to the answer. */
  | { readonly type: "part"; readonly id: number; readonly part: unknown }
  | { readonly type: "reply"; readonly id: number; readonly value: unknown; readonly inParts?: true }
  | { readonly type: "fault"; readonly id: number; readonly code: ErrnoName; readonly message: string }
  /** Sent only if ProgramSettings.reports. */
  | { readonly type: "event"; readonly event: MountEvent }
  | { readonly type: "log"; readonly level: LogLevel; readonly tag: string; readonly text: string }
  | { readonly type: "ended"; readonly reason: "unmounted" | "failed"; readonly message?: string };

/** Main thread → filesystem thread; always several at once. */
export type ToFilesystem =
  /** The mount exists: `fd` is /dev/fuse. "none": there will be no mount. */
  | { readonly type: "serve"; readonly fd: number | "none" }
  /** The next bytes of content that is being generated. Each is answered with "taken". */
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
  /** The attempt's content is generated by this program, which may read the mount. */
  | { readonly type: "working"; readonly ticket: number; readonly pid: number }
  | { readonly type: "call"; readonly id: number; readonly method: keyof Methods; readonly args: readonly unknown[] }
  | ({ readonly type: "completed"; readonly id: number } & CommandOutcome)
  /** The text of `.llmfs/NAME` until the next message of this type. */
  | { readonly type: "publish"; readonly name: PublishedName; readonly text: string }
  | { readonly type: "close" };
