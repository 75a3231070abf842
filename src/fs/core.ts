/** What every part of a mount may use: the tree, counts of its changes, the conversation with the kernel, the log. */
import type { Session } from "../fuse/session.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Inode } from "../tree/inode.ts";
import type { Tree } from "../tree/tree.ts";
import type { Timers } from "./waiting/timers.ts";

export interface FsCore {
  readonly tree: Tree;
  readonly timers: Timers;
  /** Does work of our own, such as taking what a generator made: its changes bear the time that SOURCE_DATE_EPOCH may fix. */
  withGenerationClock<T>(work: () => T): T;
  /** Counts the files that somebody's writing or an attribute made something else: see RpcHandlers.outlineSince. */
  definitions: number;
  /** Counts what was written to files: see RpcHandlers.readStatics. */
  writes: number;
  /** What a file without content claims as its size, in bytes. */
  readonly claimedSize: number;
  /** A line in the log for whoever uses the mount. */
  warn(text: string): void;
  /** The conversation with the kernel. It exists once the operations do. */
  session(): Session;
  /** Does the work; what it has to say to the other thread goes over at once. */
  batchMessages(work: () => void): void;
  /** A file's content is about to change, from `offset` (0) on, `length` bytes (all): whoever reads the old one (a snapshot being saved) takes it first. */
  beforeChange(file: RegularFile, offset?: number, length?: number): void;
  /** Two files are about to exchange their contents: whoever reads one of these goes on with the other file. */
  beforeExchange(one: RegularFile, other: RegularFile): void;
  /**
   * A file's content did change, at the hand of somebody who writes. One that waited for a generator is an ordinary
   * file from here on, and its readers see what was written. Not called when the change failed.
   */
  onWrite(file: RegularFile): void;
  /** A content may be another than before, at whoever's hand. Part of `changed`. */
  onContentChange(file: RegularFile): void;
  /**
   * A file that became pending while somebody had it open for writing may have bytes that the kernel wrote by itself.
   * They count as any that are written. True if there are some.
   */
  claimUnseenWrites(file: RegularFile): boolean;
  /** Hands content that came into being to the kernel, with its size, before anybody who waits for it goes on. */
  store(file: RegularFile): void;
  /** Tells the kernel that what it keeps of an inode is out of date: its attributes, and its pages if `pages`. */
  invalidate(inode: Inode, pages: boolean): void;
  /**
   * An open of the file is about to be answered. A notification about an inode may have reached the kernel before it had processed
   * the lookup that returned the inode; then the lookup's attributes count. By now it has, so the notification is repeated.
   */
  repeatInvalidation(file: RegularFile): void;
}
