/**
 * Recordings: answers of a model, stored under the key of the request they answer.
 *
 * This file defines a recording and the contract of a store. The stores are in stores/, and the model that answers from
 * one is in recorded-model.ts. Nothing in this folder knows servers, files of the tree, or the purpose of a request
 * beyond its label.
 */

import type { ChatRequest, ChatUsage } from "../llm/llm.ts";

/** One answer and everything it depends on. No API keys, headers or times: two recordings of one answer are equal. */
export interface Recording {
  /** The sha-256 of the canonical request: see key.ts. */
  readonly key: string;
  /** What the request was for, in words: a file's path, "layout". Not part of the key. */
  readonly label: string;
  readonly request: ChatRequest;
  readonly answer: RecordedAnswer;
  /** Whose it is, so that a team that shares a store can find its own. Absent if nobody said so. */
  readonly owner?: string;
  /** The signature that it was read with: see signature.ts. Verified only by a store that has the key. */
  readonly signature?: string;
}

export interface RecordedAnswer {
  readonly text: string;
  /** The model as the server named it. */
  readonly model: string;
  readonly usage?: ChatUsage;
  /** The context of a local server in tokens, if it decided how much was requested. */
  readonly contextLength?: number;
  /** As in ChatAnswer. */
  readonly frozen?: readonly string[];
}

/**
 * A place that keeps recordings.
 *
 * A recording that cannot be read, or does not match its key, is reported and counts as absent: it is never used.
 * Methods reject, with an Error for people, only if the store as a whole cannot be used.
 */
export interface RecordingStore {
  /** For messages: "recordings in fixtures/llm", "redis://cache:6379". */
  readonly name: string;
  /**
   * `label` may help to find it, but does not decide. `request` is the request of the key, and may help to check what
   * is found.
   */
  get(key: string, label?: string, request?: ChatRequest): Promise<Recording | undefined>;
  /**
   * What `get` would resolve with, if it can be read at once; undefined otherwise. Never throws, and reports nothing. Absent if the
   * store is not on this machine.
   */
  getAtOnce?(key: string, label: string, request: ChatRequest): Recording | undefined;
  /** Stores it atomically. Storing the same recording again changes nothing. Rejects if the store is read-only. */
  put(recording: Recording): Promise<void>;
  /**
   * Like `put`, but if another answer to the same request is there, that one stays. Returns the one that the store has:
   * everybody who uses the store gets that one.
   */
  offer(recording: Recording): Promise<Recording>;
  /** All recordings, sorted by label, then by key. */
  list(): Promise<readonly Recording[]>;
  /**
   * A few that may be an earlier answer for the same thing: those with this label, or else some with a similar label.
   * Absent if `list` is just as cheap.
   */
  near?(label: string): Promise<readonly Recording[]>;
  /**
   * Whether no recording had this label when the store was last looked at, as far as that is known. Looks at nothing: `get` may find
   * one that another process has added since. Absent if that is never known.
   */
  lacks?(label: string): boolean;
  /** Whether the place of the recordings does not exist. Absent if it always does. */
  missing?(): Promise<boolean>;
  /** Which recording of this key was found but not used, and why. */
  unusable?(key: string): Fault | undefined;
  /** Removes one. The label, if it is known, removes it from an index too. Absent if the store is read-only. */
  remove?(key: string, label?: string): Promise<void>;
  /** Everything in the store, usable or not. Absent if `list` is everything. */
  entries?(): AsyncIterable<StoreEntry>;
  /** Removes something that `entries` returned. */
  discard?(name: string): Promise<void>;
  /**
   * Claims the generation of one answer, so that one of many machines asks the model and the others wait. A claim ends
   * when it is disposed, or some time after its holder died. Undefined: another process holds it. Absent if no other
   * process can write to the store.
   */
  claim?(key: string): Promise<Claim | undefined>;
  /** The holder of the claim, in words. Undefined if there is none, or if it is unknown. */
  holder?(key: string): Promise<string | undefined>;
  /**
   * An id that the store keeps as long as it keeps its recordings. It is created if it is missing. If it differs from an
   * earlier one, the store was emptied in between. Undefined if it cannot be created.
   */
  identity?(): Promise<string | undefined>;
  /** Calls the listener whenever there is a new connection. */
  onConnect?(listener: () => void): void;
  /**
   * Resolves when everything that was stored survives a crash of this machine. Rejects if that failed. Absent if it always does, or
   * if another machine decides about it.
   */
  flush?(): Promise<void>;
  /**
   * Called before `close`: flushes, and copies the missing answers to the store. Returns the problems, as text: answers that only this
   * machine has, or for which other machines have different content.
   */
  settle?(): Promise<readonly string[]>;
  /** Throws StoreRefusal if no answer should be paid for, because the store refuses new ones. Absent if it never does. */
  ensureAccepts?(): void;
  /** Whether it can be reached. Absent for stores that always can. */
  health?(): StoreHealth;
  /** Closes connections. */
  close?(): Promise<void>;
}

export interface StoreHealth {
  /** Undefined: it was not asked yet. */
  readonly reachable?: boolean | undefined;
  /** Since when, in milliseconds since 1970. */
  readonly since?: number | undefined;
  /** The number of answers that only this machine has. */
  readonly onlyLocal: number;
}

/** The store as a whole cannot be used. */
export class Unreachable extends Error {
  /** The server answered, and waiting does not help: a wrong password, a missing right, a full disk. */
  readonly refused: boolean;

  constructor(message: string, { refused = false }: { readonly refused?: boolean } = {}) {
    super(message);
    this.refused = refused;
  }
}

/**
 * The store answers, but refuses new answers, so the machines that share it cannot avoid paying for the same one. The
 * message is complete.
 */
export class StoreRefusal extends Unreachable {
  constructor(message: string) {
    super(message, { refused: true });
  }
}

/** Something in a store that is not, or no longer, a valid recording. */
export interface Fault {
  /** Where it is. It comes from outside, so it must be escaped before it is printed. */
  readonly name: string;
  readonly reason: string;
  /** What to do about it. Absent: restore it or record the answer again. */
  readonly cure?: string;
  /** Another version of llmfs wrote it, or somebody signed it with another key: it may be needed, so never remove it. */
  readonly foreign?: true;
  /** Its signature is missing or wrong. */
  readonly untrusted?: true;
}

/** Something in a store: a valid recording, or a fault. */
export type StoreEntry = {
  readonly name: string;
  /** Milliseconds since it was written, by the clock of the store. Undefined if that is unknown. */
  readonly age?: number | undefined;
} & ({ readonly recording: Recording; readonly fault?: never } | { readonly fault: Fault; readonly recording?: never });

/** The right to generate one answer. Kept alive until it is disposed. */
export type Claim = AsyncDisposable;

/** The claim for stores that no other process can write to. */
export const NOBODY_ELSE: Claim = { async [Symbol.asyncDispose]() {} };
