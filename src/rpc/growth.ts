/** What is added to a tree that exists: by `llmfs add`, or as a model proposes. Entries are plain data. */
import type { TreePort } from "./tree-port.ts";

export interface NewEntry {
  readonly type: "directory" | "file" | "symlink";
  /** Absolute within the mount. Directories on the way are made. */
  readonly path: string;
  readonly description?: string;
  readonly prompt?: string;
  /** Files only: the files that it is written from, as lines of `user.llmfs.depends`. */
  readonly uses?: readonly string[];
  readonly executable?: boolean;
  /** Files only. Default: the model. */
  readonly generator?: string;
  /** Symlinks only. */
  readonly target?: string;
}

/** Who adds entries: they belong to this user, whose permissions count. `pid` is a process of that user. */
export interface Adder {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

export interface Added {
  /** How many entries were made, directories on the way included. */
  readonly count: number;
  /** Paths that existed already, which were left as they were. */
  readonly clashes: readonly string[];
}

/** What came of a request to grow. */
export interface Growth {
  /** In order, directories before their entries. */
  readonly entries: readonly NewEntry[];
  /** Whether they were added. */
  readonly added: boolean;
  /** Paths that the model proposed although they exist. They were left as they were. */
  readonly clashes: readonly string[];
  /** What else of the proposal was left out, in sentences for people. */
  readonly leftOut: readonly string[];
  /** The server's name for the model. */
  readonly model: string;
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** A tree that entries can be added to. */
export interface GrowableTree {
  readonly tree: TreePort;
  /** Adds all entries that are new, or none. Rejects with FsError. */
  add(entries: readonly NewEntry[], adder: Adder): Promise<Added>;
}
