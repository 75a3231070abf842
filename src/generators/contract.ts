/**
 * The contract for generators: how anything becomes the content of a file when it is first read.
 *
 * A generator is a plain object, usually made by a factory that takes its options. The built-in ones come through this
 * same door. Generators know nothing of the kernel or of inodes: they get a path and a context, and return content.
 */

import type { FileInfo, TreeEntry } from "../rpc/tree-port.ts";

/** A value that JSON can hold; written to the file as indented JSON with a final newline. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** What a generator returns. */
export interface FileContent {
  /**
   * A string is written as UTF-8, bytes as they are, an async iterable piece by piece (strings and bytes may be mixed;
   * the next one is asked for when there is room for it), a Blob (as `Bun.file()` is) likewise, anything else as JSON. A
   * top-level string is text, never a JSON string.
   */
  readonly content: string | Uint8Array | Blob | AsyncIterable<string | Uint8Array> | JsonValue;
  /** Kept with the file, readable as `user.llmfs.meta.<key>` and in the snapshot. Values are stored as text. */
  readonly metadata?: Readonly<Record<string, string | number | boolean>>;
}

/** What a generator returns instead when `context.previous` still holds: the file stays as it is. */
export interface Unchanged {
  readonly unchanged: true;
}

/** One file or directory that a generator says is there. */
export interface ListedEntry {
  /** Below the listed directory: "17.json", or "de/berlin.json", whose directories then are there too. */
  readonly path: string;
  /** A directory is listed in its turn when somebody looks into it. Default "file"; a path that ends in "/" is one too. */
  readonly type?: "file" | "directory";
  /** Becomes `user.llmfs.description`. */
  readonly description?: string;
}

/** A file that may help to write this one, and why. */
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

/** What a generator may look at. Everything in it depends on the tree's definition, never on what was read before. */
export interface GeneratorContext {
  readonly file: FileInfo;
  /** Inherited instructions: `user.llmfs.prompt` from the root down to the file itself, root first, nearest last. */
  readonly prompts: readonly string[];
  /** `user.llmfs.model` of the file or of the nearest directory above that sets it. */
  readonly model?: string;
  /** Options from the rule that bound this generator to the file. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What `{name}` in that rule's `match` stands for in this path. */
  readonly params: Readonly<Record<string, string>>;
  /** That rule's `match`. */
  readonly match?: string;
  /** Somebody wants another content than the one there is: an answer kept from earlier will not do. */
  readonly again?: true;
  /** Metadata of the content there is, if it is to be made anew because its time has passed. */
  readonly previous?: Readonly<Record<string, string>>;
  /** The largest content that is taken, in bytes. More is EFBIG: there is no need to make it. */
  readonly maxBytes?: number;
  /** `user.llmfs.<name>` of the file or of the nearest directory above that sets it, as text. */
  setting(name: string): Promise<string | undefined>;
  /**
   * The whole tree, every directory before what it holds, names in byte order. What is there only because a generator
   * listed it is not in it: `list` has that.
   */
  outline(): Promise<readonly TreeEntry[]>;
  /** Static files that matter most for this one, most related first. */
  related(): Promise<readonly RelatedFile[]>;
  /** The names in a directory. Rejects with FsError ENOENT or ENOTDIR. */
  list(path: string): Promise<readonly TreeEntry[]>;
  /**
   * The whole content of a file. A pending one is generated first; a cycle of files that wait for each other rejects
   * with FsError EDEADLK that names the loop. Rejects with FsError ENOENT, EISDIR, and EINTR once `signal` has fired.
   */
  read(path: string): Promise<Uint8Array>;
  /**
   * Tells that a program of this number makes the content. What it and its children read of the mount then counts as
   * read by this file: files that wait for each other in a circle fail with EDEADLK there too, and its place is another's
   * while it waits.
   */
  working?(pid: number): void;
  /** Fires a moment after the last reader is gone, or when the deadline has passed: stop, nobody wants the result. */
  readonly signal: AbortSignal;
  readonly log: GeneratorLog;
}

/** What a generator may look at while it lists a directory. */
export type ListContext = Pick<
  GeneratorContext,
  "options" | "match" | "outline" | "list" | "read" | "working" | "signal" | "log"
>;

export type Listed = string | ListedEntry;

export interface ContentGenerator {
  /** Which files it is for where no rule of the configuration says otherwise: patterns as in a rule's `match`. */
  readonly match?: string | readonly string[];
  /**
   * Called before anything is mounted, once for each rule that names the generator, with the rule's options. Throw an
   * Error that says what is wrong with them.
   */
  validate?(options: Readonly<Record<string, unknown>>): void | Promise<void>;
  /**
   * Makes the content of one file. Called once a file, however many readers wait for it, when it is first opened for
   * reading. Reject with FsError to choose the errno the readers get; anything else is EIO.
   */
  generate(path: string, context: GeneratorContext): FileContent | Unchanged | Promise<FileContent | Unchanged>;
  /**
   * Says what is in a directory: everything before the first wildcard of the rule's `match`, and directories below it
   * that it named itself. Called when somebody first looks into the directory, and again as the rule's `refresh` says.
   */
  list?(
    path: string,
    context: ListContext,
  ): Iterable<Listed> | AsyncIterable<Listed> | Promise<Iterable<Listed> | AsyncIterable<Listed>>;
  /** Called once when the generator is no longer needed. */
  dispose?(): void | Promise<void>;
}
