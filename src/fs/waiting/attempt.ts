/** An attempt to make a content or a listing, those who wait for it, and what comes of it. Types only: see waiters.ts. */
import type { FsError } from "../../errno.ts";
import type { GeneratedContent, Listing, Stage } from "../../rpc/generation.ts";
import type { Inode } from "../../tree/inode.ts";
import type { PartialContent } from "../lazy/partial-content.ts";

export interface Waiter {
  /** The parked request, for those of the kernel; a number below 0 for what a control file was asked to have made. */
  readonly unique?: number;
  /** The attempt whose generator reads this one, for those of generators. */
  readonly requester?: Attempt;
  /** The thread that waits, for those of the kernel. It may be one of a program that makes a content. */
  readonly pid?: number;
  /** It is there. */
  done(): void;
  fail(error: FsError): void;
}

/** A content that is complete: its bytes are in the message, or in the draft that pieces were added to. */
export interface ArrivedContent extends GeneratedContent {
  readonly draft?: PartialContent;
}

/** What comes of an attempt. Each method but `left` is called at most once, and then the attempt has ended. */
export interface AttemptHandler {
  onContent?(content: ArrivedContent): void;
  onListing?(listing: Listing): void;
  onFailure(error: FsError): void;
  /** Nobody waits any more, or the mount is gone. */
  onCallOff(): void;
  /** The last waiter left; somebody may come in time (see grace.ts). May call the attempt off. */
  onLeft?(): void;
}

export interface Attempt {
  readonly ticket: number;
  readonly inode: Inode;
  readonly waiters: Set<Waiter>;
  readonly handler: AttemptHandler;
  /** What came of its content so far, if it comes in pieces. */
  draft: PartialContent | undefined;
  /** The program that makes it, if one does. */
  maker: number | undefined;
  stage: Stage;
  /** It is made for its own sake, whether or not somebody waits. */
  readonly standing: boolean;
  /** Of the tree when it began: as FsCore.definitions, and with everything that may go into a request. */
  readonly definitions: number;
  readonly contents: number;
  /** The attempts that have a waiter on this one's behalf. */
  readonly reads: Set<Attempt>;
}
