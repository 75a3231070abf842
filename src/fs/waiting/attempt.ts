/** An attempt to generate content or a listing, its waiters, and its outcome. Types only: see waiters.ts. */
import type { FsError } from "../../errno.ts";
import type { GeneratedContent, Listing, Stage } from "../../rpc/generation.ts";
import type { Inode } from "../../tree/inode.ts";
import type { PartialContent } from "../lazy/partial-content.ts";
import type { UsedFiles } from "../outdated.ts";

export interface Waiter {
  /** The parked request, for the kernel's waiters; a negative number for a waiter of the control channel. */
  readonly unique?: number;
  /** The attempt whose generator reads this one, for waiters that are generators. */
  readonly requester?: Attempt;
  /** The waiting thread, for the kernel's waiters. It may belong to a program that generates content. */
  readonly pid?: number;
  /** Called when the content or listing is there. */
  done(): void;
  fail(error: FsError): void;
}

/** Complete content: its bytes are in the message, or in the draft to which pieces were added. */
export interface ArrivedContent extends GeneratedContent {
  readonly draft?: PartialContent;
}

/** Handles the outcome of an attempt. Each method except `onLeft` is called at most once, and ends the attempt. */
export interface AttemptHandler {
  onContent?(content: ArrivedContent): void;
  onListing?(listing: Listing): void;
  onFailure(error: FsError): void;
  /** Called when nothing waits any more, or the mount is gone. */
  onCallOff(): void;
  /** Called when the last waiter left; another may come in time (see grace.ts). May cancel the attempt. */
  onLeft?(): void;
}

export interface Attempt {
  readonly ticket: number;
  readonly inode: Inode;
  /** In milliseconds since 1970. */
  readonly begun: number;
  readonly waiters: Set<Waiter>;
  readonly handler: AttemptHandler;
  /** The content received so far, if it comes in pieces. */
  draft: PartialContent | undefined;
  /** The program that generates it, if there is one. */
  maker: number | undefined;
  stage: Stage;
  /** It runs for its own sake, whether or not anything waits for it. */
  standing: boolean;
  /**
   * The state of the tree when it began: FsCore.definitions, and a counter of everything that a request may contain.
   */
  readonly definitions: number;
  readonly contents: number;
  /** The attempts that have a waiter on this one's behalf. */
  readonly reads: Set<Attempt>;
  /** The files that its generator has read. */
  readonly used: UsedFiles;
}

/** Notified of waits and their outcome: see programs/programs.ts. */
export interface WaitObserver {
  /** Throws EACCES if the thread may not have the inode generated. */
  check(inode: Inode, thread: number): void;
  onJoin(attempt: Attempt, waiter: Waiter): void;
  onContent(attempt: Attempt, content: GeneratedContent): void;
  onListing(attempt: Attempt): void;
  onFailure(attempt: Attempt, error: FsError): void;
  onCallOff(attempt: Attempt): void;
}
