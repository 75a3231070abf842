/**
 * The contract for generators, which return the content of a file when it is first read.
 *
 * A generator is a plain object, usually created by a factory that takes its options. Built-in generators use the same
 * contract. Generators do not know the kernel or inodes: they get a path and a context, and return content.
 */

import type { FileInfo, TreeEntry } from "../rpc/tree-port.ts";

/** A JSON value. It is written to the file as indented JSON with a final newline. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** The result of a generator. */
export interface FileContent {
  /**
   * A string is written as UTF-8 and bytes unchanged. An async iterable is written piece by piece; it may mix strings and
   * bytes, and the next piece is requested when there is room for it. A Blob (such as `Bun.file()`) is also streamed.
   * Anything else is written as JSON. A top-level string is text, not a JSON string.
   */
  readonly content: string | Uint8Array | Blob | AsyncIterable<string | Uint8Array> | JsonValue;
  /** Stored with the file as `user.llmfs.meta.<key>`, and in the snapshot. Values are stored as text. */
  readonly metadata?: Readonly<Record<string, string | number | boolean>>;
}

/** Returned instead if the content of `context.previous` is still valid. The file then stays unchanged. */
export interface Unchanged {
  readonly unchanged: true;
}

/** A file or directory that a generator lists. */
export interface ListedEntry {
  /** The path below the listed directory: "17.json", or "de/berlin.json", which implies the directory "de". */
  readonly path: string;
  /** A directory is listed when a program reads it. Default: "directory" for a path that ends in "/", otherwise "file". */
  readonly type?: "file" | "directory";
  /** Stored as `user.llmfs.description`. */
  readonly description?: string;
}

/** A file that may help to generate this one, and why. */
export interface RelatedFile {
  readonly path: string;
  /** "named by this file's description", "same folder", "README of the tree" … */
  readonly reason: string;
  readonly content: string;
}

export interface GeneratorLog {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
}

/** The information that a generator gets. All of it depends on the definition of the tree, not on earlier reads. */
export interface GeneratorContext {
  readonly file: FileInfo;
  /** The inherited prompts: `user.llmfs.prompt` from the root down to the file itself. */
  readonly prompts: readonly string[];
  /** `user.llmfs.model` of the file or of the nearest parent directory that sets it. */
  readonly model?: string;
  /** The options of the rule that chose this generator. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The values of `{name}` parts in that rule's `match` for this path. */
  readonly params: Readonly<Record<string, string>>;
  /** That rule's `match`. */
  readonly match?: string;
  /** Set if new content was requested, so that a cached answer must not be used. */
  readonly again?: true;
  /** The metadata of the existing content, if it is regenerated because it has expired. */
  readonly previous?: Readonly<Record<string, string>>;
  /** The maximum size of content in bytes. Larger content fails with EFBIG. */
  readonly maxBytes?: number;
  /** `user.llmfs.<name>` of the file or of the nearest parent directory that sets it, as text. */
  setting(name: string): Promise<string | undefined>;
  /**
   * The whole tree, each directory before its entries, names in byte order. It does not contain entries listed by
   * generators; use `list` for those.
   */
  outline(): Promise<readonly TreeEntry[]>;
  /** The static files that are most useful for this one, best first. */
  related(): Promise<readonly RelatedFile[]>;
  /** The entries of a directory. Rejects with FsError ENOENT or ENOTDIR. */
  list(path: string): Promise<readonly TreeEntry[]>;
  /**
   * The whole content of a file. A pending file is generated first. Rejects with FsError ENOENT or EISDIR, with EINTR once
   * `signal` has fired, and with EDEADLK if files form a dependency cycle; the message names them.
   */
  read(path: string): Promise<Uint8Array>;
  /**
   * Reports that a program with this pid generates the content. Reads of the program and its children in the mount then
   * count as reads by this file: cycles of files that wait for each other fail with EDEADLK, and the slot of this
   * generation is free for others while the program waits.
   */
  working?(pid: number): void;
  /** Fires shortly after the last reader is gone, or when the deadline has passed. The result is then not needed. */
  readonly signal: AbortSignal;
  readonly log: GeneratorLog;
}

/** The information that a generator gets to list a directory. */
export type ListContext = Pick<
  GeneratorContext,
  "options" | "match" | "outline" | "list" | "read" | "working" | "signal" | "log"
>;

export type Listed = string | ListedEntry;

export interface ContentGenerator {
  /** The files for which it is the default, if no rule applies: patterns as in a rule's `match`. */
  readonly match?: string | readonly string[];
  /**
   * Called before mounting, once for each rule that names the generator, with the options of the rule. Throw an Error that
   * names the problem with them.
   */
  validate?(options: Readonly<Record<string, unknown>>): void | Promise<void>;
  /**
   * Generates the content of one file. Called once per file when it is first opened for reading, even if several readers
   * wait for it. Reject with FsError to choose the errno for readers; any other error is EIO.
   */
  generate(path: string, context: GeneratorContext): FileContent | Unchanged | Promise<FileContent | Unchanged>;
  /**
   * Lists a directory: the part of the rule's `match` before the first wildcard, or a directory below it that was listed
   * before. Called when a program first reads the directory, and again according to the rule's `refresh`.
   */
  list?(
    path: string,
    context: ListContext,
  ): Iterable<Listed> | AsyncIterable<Listed> | Promise<Iterable<Listed> | AsyncIterable<Listed>>;
  /** Called once when the generator is no longer needed. */
  dispose?(): void | Promise<void>;
}
