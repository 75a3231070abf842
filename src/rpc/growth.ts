/** What is added to a tree that exists: by `llmfs add`, or as a model proposes. All of it is plain data. */

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
