/**
 * Recordings: answers of a model, kept under the key of the request they answer.
 *
 * This file says what a recording is and what a store of them does. The stores are in stores/, and the model that answers
 * from one is in recorded-model.ts. Nothing in this folder knows servers, files of the tree, or what a request is for
 * beyond its label.
 */

import type { ChatRequest, ChatUsage } from "../llm/llm.ts";

/** One answer and all that it depends on. No keys, no headers, no times: two recordings of one answer are equal. */
export interface Recording {
  /** sha-256 of the canonical request: see key.ts. */
  readonly key: string;
  /** What the request was for, as people call it: a file's path, "structure". No part of the key. */
  readonly label: string;
  readonly request: ChatRequest;
  readonly answer: RecordedAnswer;
}

export interface RecordedAnswer {
  readonly text: string;
  /** The model as the server named it. */
  readonly model: string;
  readonly usage?: ChatUsage;
}

/**
 * A place that keeps recordings.
 *
 * A recording that cannot be read, or does not belong to its key, is reported and counts as absent: it is never used.
 * Methods reject with an Error in people's words only when the store as a whole cannot be used.
 */
export interface RecordingStore {
  /** For messages: "recordings in fixtures/llm", "redis://cache:6379". */
  readonly name: string;
  /**
   * `label` may help to find it; it does not decide. `request` is the one the key belongs to, and may help to check
   * what is found.
   */
  get(key: string, label?: string, request?: ChatRequest): Promise<Recording | undefined>;
  /** Keeps it, whole or not at all. Putting the same one again changes nothing. Rejects where there is only reading. */
  put(recording: Recording): Promise<void>;
  /** All of them, by label, then by key. */
  list(): Promise<readonly Recording[]>;
  /**
   * A handful that may be an earlier answer for the same thing: those with this label, or else some whose labels are
   * like it. Absent where `list` is as cheap.
   */
  near?(label: string): Promise<readonly Recording[]>;
  /** Which recording of this key was found and not used, and why. */
  unusable?(key: string): string | undefined;
  /** Forgets one. Absent where there is only reading. */
  remove?(key: string): Promise<void>;
  /** What is in the store and cannot be used. Absent where nothing can go wrong. */
  check?(): Promise<readonly Fault[]>;
  /** Takes away something that `check` found. */
  discard?(name: string): Promise<void>;
  /**
   * Claims the making of one answer, so that of many machines one asks the model and the others wait. A claim ends
   * when it is disposed, or by itself some time after its holder died. Undefined: somebody else holds it. Absent where
   * nobody else can write.
   */
  claim?(key: string): Promise<Claim | undefined>;
  /** Who holds the claim, in words. Undefined: nobody does, or it is not known. */
  holder?(key: string): Promise<string | undefined>;
  /** Lets go of connections. */
  close?(): Promise<void>;
}

/** Something in a store that is no recording, or no longer. */
export interface Fault {
  readonly name: string;
  readonly reason: string;
  /** Another version of llmfs wrote it, and may need it: it is not for us to take away. */
  readonly foreign?: true;
}

/** The right to make one answer. Kept alive until it is disposed. */
export type Claim = AsyncDisposable;

/** The claim where nobody could hold another. */
export const NOBODY_ELSE: Claim = { async [Symbol.asyncDispose]() {} };
