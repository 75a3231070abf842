/** What every part of a mount may use: the tree, change counters, the kernel session, the log. */
import type { Session } from "../fuse/session.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Inode } from "../tree/inode.ts";
import type { Tree } from "../tree/tree.ts";
import type { FailedRenewals } from "./failed-renewals.ts";
import type { Timers } from "./waiting/timers.ts";

export interface FsCore {
  readonly tree: Tree;
  readonly timers: Timers;
  readonly failedRenewals: FailedRenewals;
  /**
   * Does work of our own, such as storing generated content. Its changes get the time that SOURCE_DATE_EPOCH may fix.
   */
  withGenerationClock<T>(work: () => T): T;
  /** Counts the files that a write or an attribute turned into something else: see RpcHandlers.outlineSince. */
  definitions: number;
  /** Counts writes to files: see RpcHandlers.readStatics. */
  writes: number;
  /** Counts writes by users, and how many of them the last saved snapshot contains. */
  readonly userWrites: { count: number; saved: number };
  /** Whether something in the tree has, or had, an access control list. */
  hasAcls: boolean;
  /** The size in bytes that a file without content reports. */
  readonly claimedSize: number;
  /** The execute bits that generated scripts do not get. */
  readonly umask: number;
  /** Logs a warning for the user of the mount. */
  warn(text: string): void;
  /** The session with the kernel. It exists once the operations do. */
  session(): Session;
  /** Does the work, and sends the messages posted during it to the other thread at once. */
  batchMessages(work: () => void): void;
  /**
   * Called before a file's content changes, from `offset` (default 0), `length` bytes (default all), so that a snapshot
   * being saved can read the old content first.
   */
  beforeChange(file: RegularFile, offset?: number, length?: number): void;
  /**
   * Called before two files exchange their contents, so that a snapshot that reads one of them continues with the
   * other.
   */
  beforeExchange(one: RegularFile, other: RegularFile): void;
  /**
   * Called after a user's write changed a file's content. A pending file becomes an ordinary file by that, and its
   * readers see what was written. Not called if the change failed.
   */
  onWrite(file: RegularFile): void;
  /** Called when a file's content may have changed, whoever changed it. Part of `changed`. */
  onContentChange(file: RegularFile): void;
  /**
   * Handles bytes that the kernel wrote by itself to a file that became pending while it was open for writing. They
   * count as written. Returns true if there are any.
   */
  claimUnseenWrites(file: RegularFile): boolean;
  /** Sends new content to the kernel, with its size, before its waiters are answered. */
  store(file: RegularFile): void;
  /** Notifies the kernel that its cached attributes of an inode are out of date, and its cached pages if `pages`. */
  invalidate(inode: Inode, pages: boolean): void;
  /**
   * Called before an open of the file is answered. An earlier notification about the inode may have reached the kernel
   * before it had processed the lookup that returned the inode; then the lookup's attributes are cached. By now it has
   * processed it, so the notification is repeated.
   */
  repeatInvalidation(file: RegularFile): void;
}
