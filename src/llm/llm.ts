/**
 * The contract of a language model: one method, one request, one answer.
 *
 * This file defines what a chat completion is to llmfs, and the error that distinguishes all failures. It does not know
 * files, trees, prompts or recordings. `openai.ts` is the only implementation that talks to a server; everything else
 * that answers (a recording, a test's script) implements the same interface.
 */

/** The label of a request for a layout of the whole tree. */
export const LAYOUT_LABEL = "layout";

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/**
 * One chat completion. Plain JSON data, and complete: two equal requests may be answered by one recording, so it must
 * not contain anything that varies from run to run (times, paths of this machine, user names).
 */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  /** 0 to 2. Absent: the server's default (some models accept no other). */
  readonly temperature?: number;
  /** Maximum number of generated tokens. Absent: the server's default. */
  readonly maxTokens?: number;
  /**
   * The answer must be JSON of this shape: by strict JSON schema if the server supports it, otherwise by instructions.
   */
  readonly schema?: ChatSchema;
}

export interface ChatSchema {
  /** Letters, digits, `_` and `-`, at most 64 (OpenAI's rule). */
  readonly name: string;
  /** JSON Schema in the strict subset: every property required, `additionalProperties: false`. */
  readonly schema: Readonly<Record<string, unknown>>;
}

/** Tokens, as the server counted them. */
export interface ChatUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

export interface ChatAnswer {
  /** Never empty or incomplete: a truncated or refused answer is an LlmError. */
  readonly text: string;
  /** The model that answered, as the server names it. */
  readonly model: string;
  /** Absent if the server reports none. */
  readonly usage?: ChatUsage;
  /** The request's key, if the answering model computed it: see recording/key.ts. */
  readonly key?: string;
  /** The answer was recorded earlier; nothing was requested or spent. Absent: it came from a server. */
  readonly recorded?: boolean;
  /** The maximum cost in US dollars; absent if the price is not known. */
  readonly usd?: number;
  /**
   * The text is not what a model sent, but the content of a file that passed a check: every byte counts, and it may be
   * empty. The reasons why the file was written again before it passed, oldest first.
   */
  readonly frozen?: readonly string[];
}

export interface ChatOptions {
  /** Aborting drops the connection, so that the server notices; `complete` then rejects with kind "cancelled". */
  readonly signal?: AbortSignal;
  /** Called with each piece of streamed text, and with the empty string when an attempt starts over. */
  readonly onText?: (delta: string) => void;
  /**
   * Called before the request is sent once more (a stream broke, the server failed or did not understand it). `sent` is
   * whether it reached the server before. Returns the request to send. If this rejects with an LlmError, nothing is
   * sent and `complete` rejects with that error.
   */
  readonly repeat?: (request: ChatRequest, sent: boolean) => Promise<ChatRequest>;
  /** Called when the request is about to be sent for the first time, after all waits. If it rejects, nothing is sent. */
  readonly ready?: () => Promise<void>;
  /** Called when the request begins to wait, with the reason. */
  readonly onPhase?: (phase: ChatPhase) => void;
  /** Do not use an answer recorded earlier if a new one is possible. */
  readonly again?: true;
  /** The answer is useful only once: it is neither taken from recordings nor recorded. */
  readonly unrecorded?: true;
  /**
   * What the request is for, in words: a file's path, "layout". For messages and recordings; not part of the key.
   */
  readonly label?: string;
}

/**
 * | phase | waiting for |
 * |---|---|
 * | `recordings` | the store of recordings |
 * | `elsewhere` | the same request of another file or another machine |
 * | `queued` | a free slot: the maximum number of requests is in progress |
 * | `asked` | the server |
 */
export type ChatPhase = "recordings" | "elsewhere" | "queued" | "asked";

/** The content of a file, to be recorded as the answer to the request for that file. */
export interface FrozenContent {
  readonly request: ChatRequest;
  readonly label: string;
  readonly text: string;
  /** The model that wrote it, as the server named it. */
  readonly model: string;
  readonly usage?: ChatUsage;
  /** As in ChatAnswer. */
  readonly frozen: readonly string[];
  /** Whether an answer gives the same content. Then it stays as it is. */
  isGivenBy(answer: ChatAnswer): boolean;
}

export interface Freezing {
  /** The key of each request, in the order of the contents. */
  readonly keys: readonly string[];
  /** How many answers were recorded; all others were recorded already. */
  readonly written: number;
}

/** What an answer is for, and whether it is useful. */
export interface RecallOptions {
  /** As in ChatOptions. */
  readonly label: string;
  /** If not, nothing is counted as answered. */
  accepts(answer: ChatAnswer): boolean;
}

export interface LanguageModel {
  /** Answers one request, with retries and deadlines of its own. Rejects only with LlmError. */
  complete(request: ChatRequest, options?: ChatOptions): Promise<ChatAnswer>;
  /**
   * The answer that `complete` would give at once, because it is kept on this machine. Undefined: call `complete`. Never throws.
   * Absent if no answers are kept.
   */
  recall?(request: ChatRequest, options: RecallOptions): ChatAnswer | undefined;
  /** False if `recall` would find no answer with this label, so that nobody needs to compose the request for it. */
  mayRecall?(label: string): boolean;
  /**
   * The answer to this request was useless: if answers are kept, it is not given again. Never rejects. Absent if no
   * answers are kept.
   */
  forget?(request: ChatRequest): Promise<void>;
  /**
   * Undoes an answer that replaced an earlier one because of `again`: from now on the earlier one is given; calling it
   * once more swaps them back. Never rejects. Absent if no answers are kept.
   */
  restore?(key: string): Promise<void>;
  /**
   * Records these contents as the answers to their requests: all of them, or none if it rejects. Rejects with LlmError.
   * Absent if no answers are kept.
   */
  freeze?(contents: readonly FrozenContent[]): Promise<Freezing>;
}

/**
 * What went wrong, in the terms that callers act on:
 *
 * | kind | meaning |
 * |---|---|
 * | `unconfigured` | no provider: there is no server to send the request to |
 * | `refused-key` | 401 or 403: no key, a wrong one, or one without permission |
 * | `no-connection` | refused, reset, unknown host, TLS failure |
 * | `timeout` | no first byte, a stall, or too long in total |
 * | `rate-limited` | still 429 (or 503 with Retry-After) after the retries |
 * | `recordings` | the store of recordings cannot be used |
 * | `quota` | the budget of the account or the mount is spent |
 * | `server` | still 5xx after the retries, or an answer that breaks the protocol |
 * | `bad-request` | the server rejects the request: unknown model, context too long |
 * | `refusal` | the model, or a content filter, declines |
 * | `truncated` | cut off by the length limit |
 * | `empty` | an answer without text |
 * | `unusable` | an answer that is still not what was requested after all repairs |
 * | `cancelled` | the caller's signal |
 * | `unrecorded` | replaying, and this request has no recording |
 */
export type LlmErrorKind =
  | "unconfigured"
  | "refused-key"
  | "no-connection"
  | "timeout"
  | "rate-limited"
  | "recordings"
  | "quota"
  | "server"
  | "bad-request"
  | "refusal"
  | "truncated"
  | "empty"
  | "unusable"
  | "cancelled"
  | "unrecorded";

export interface LlmErrorOptions extends ErrorOptions {
  readonly sent?: boolean;
  readonly usage?: ChatUsage | undefined;
  readonly answer?: string;
}

/** A failure of the model, with a message for people: the server and model, what came back, and what to do. */
export class LlmError extends Error {
  override readonly name = "LlmError";
  readonly kind: LlmErrorKind;
  /** Whether a request may have reached the server. */
  readonly sent: boolean;
  /** The usage that the server reports for an answer that cannot be used. */
  readonly usage: ChatUsage | undefined;
  /** The text of an answer that cannot be used, if somebody may want to see it. */
  readonly answer: string | undefined;

  constructor(kind: LlmErrorKind, message: string, options: LlmErrorOptions = {}) {
    super(message, options);
    this.kind = kind;
    this.usage = options.usage;
    this.answer = options.answer;
    this.sent = options.sent ?? !(kind === "unconfigured" || kind === "unrecorded" || kind === "no-connection");
  }
}
