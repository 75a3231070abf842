/** Paths are absolute within the mount. A directory comes before its entries, which are in byte order. */
export type ProposedEntry = ProposedDirectory | ProposedFile | ProposedSymlink;

export interface ProposedDirectory {
  readonly type: "directory";
  readonly path: string;
  readonly description?: string;
  readonly prompt?: string;
}

export interface ProposedFile {
  readonly type: "file";
  readonly path: string;
  readonly description: string;
  /**
   * The files that it is written from. In an answer, those that a later request lays out may be among them; in the whole
   * tree, all of them are files of the tree, without circles. Absent or not empty.
   */
  readonly uses?: readonly string[];
  readonly executable?: true;
}

export interface ProposedSymlink {
  readonly type: "symlink";
  readonly path: string;
  readonly target: string;
}

/** An entry that exists already: of the answer that this one continues, or of a tree that gets more files. */
export interface KnownEntry {
  readonly type: "directory" | "file" | "symlink" | "other";
  readonly path: string;
  readonly description?: string;
  readonly target?: string;
  readonly uses?: readonly string[];
}

/** A directory that a later request completes. */
export interface Unfinished {
  readonly path: string;
  readonly brief: string;
  readonly files: number;
}
