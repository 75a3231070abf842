/** The tree as the other thread sees it: its entries as plain data, and the port for accessing them. */

/** One entry of the tree as a generator sees it. Paths are absolute within the mount: "/src/main.c". */
export interface TreeEntry {
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "other";
  /**
   * In bytes, for static files. Generators get no other sizes, because those depend on which files were read before.
   */
  readonly size?: number;
  /** Files only. Generators see "static" for files written by users, and "pending" for all others, generated or not. */
  readonly state?: "static" | "pending" | "generating" | "ready" | "failed";
  /** `user.llmfs.description`, one line, if it has one. */
  readonly description?: string;
  /** Symlinks only. */
  readonly target?: string;
}

/** An entry for people and scripts, as `.llmfs/tree.json` has it. */
export interface DetailedEntry extends TreeEntry {
  /** Permission bits in octal, as in snapshots: "0644". */
  readonly mode: string;
  /** The generator that made the file, or that the file names for itself. */
  readonly generator?: string;
  /** A file that was made from others that have changed since. */
  readonly outdated?: true;
  /** Absent if the last one succeeded, or if there was none. */
  readonly failedRenewal?: FailedRenewal;
}

/** A file that keeps its content because it could not be generated again, or a directory that could not be listed. */
export interface FailedRenewal {
  readonly what: "refresh" | "regeneration" | "listing";
  /** "EHOSTUNREACH: no connection to …". */
  readonly error: string;
  /** When it failed, in ISO 8601. */
  readonly at: string;
}

/** The file to be generated. */
export interface FileInfo extends TreeEntry {
  /** Permission bits, owner. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Own xattrs, values as UTF-8 text (not text: base64 after "base64:"). */
  readonly xattrs: ReadonlyMap<string, string>;
}

/** The main thread's access to the tree. */
export interface TreePort {
  /**
   * Every entry, directories before their entries, names in byte order; without `.llmfs`, and without entries that
   * exist only because a generator listed them.
   */
  outline(): Promise<readonly TreeEntry[]>;
  /**
   * Like `outline`, but returns the same list while names, descriptions and static contents are unchanged. States and
   * sizes of generated files may be older. The result is at least as new as the latest generation request. Absent: use
   * `outline`.
   */
  layout?(): Promise<readonly TreeEntry[]>;
  /** What `layout` would resolve with, if it is here; otherwise undefined. */
  layoutAtOnce?(): readonly TreeEntry[] | undefined;
  /** `requester` as for `read`. Rejects with FsError ENOENT, ENOTDIR, EINTR. */
  list(path: string, requester?: number): Promise<readonly TreeEntry[]>;
  /** Returns one entry, without following symlinks. Rejects with FsError ENOENT, ENOTDIR. */
  stat(path: string): Promise<FileInfo>;
  /**
   * Returns the whole content and follows symlinks; a pending file is generated first. `requester` is the ticket of the
   * generation that reads: a cycle rejects with FsError EDEADLK, and if the generation ends before the content is
   * there, the read rejects with EINTR.
   */
  read(path: string, requester?: number): Promise<Uint8Array>;
  /** The content if the file is static, up to `limit` bytes; undefined for any other file. Never generates. */
  readStatic(path: string, limit: number): Promise<Uint8Array | undefined>;
  /**
   * Returns the contents of static files, and the first `limit` bytes of longer ones; undefined for any other path. The
   * result is at least as new as the latest generation request; unchanged content is the same object. Absent: read the
   * files one by one.
   */
  readStatics?(paths: readonly string[], limit: number): Promise<readonly (Uint8Array | undefined)[]>;
  /**
   * A program generates the content of the ticket: what it and its children read in the mount is read on its behalf.
   * `waits` is called each time they start or stop waiting. Absent: there is no mount.
   */
  setMaker?(ticket: number, pid: number, waits: (over: Promise<void>) => void): void;
  /**
   * Returns the tree as this user may see it: everything else does not exist, or is EACCES. Absent: only the user who
   * mounted has files in it.
   */
  viewAs?(uid: number): TreePort;
}
