/** The tree as it is seen from the other thread: its entries as plain data, and the port by which they are reached. */

/** One entry of the tree as a generator sees it. Paths are absolute within the mount: "/src/main.c". */
export interface TreeEntry {
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "other";
  /** Bytes; of files that somebody wrote. Generators get no other sizes, because those depend on which files were read before. */
  readonly size?: number;
  /** Files only. Generators see "static" for what somebody wrote, and "pending" for everything else, generated or not. */
  readonly state?: "static" | "pending" | "generating" | "ready" | "failed";
  /** `user.llmfs.description`, one line, if it has one. */
  readonly description?: string;
  /** Symlinks only. */
  readonly target?: string;
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
  setMaker?(ticket: number, pid: number, waits: (over: Promise<void>) => void): void;
  /**
   * The same tree as this user may see it: everything else is not there, or EACCES. Absent: nobody has files in it but the
   * one who made it.
   */
  viewAs?(uid: number): TreePort;
}
