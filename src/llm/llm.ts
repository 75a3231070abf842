/**
 * The contract of a language model: one method, one request, one answer.
 *
 * Lives here: what a chat completion is to llmfs, and the error by which every failure is told apart.
 * Not known here: files, trees, prompts, recordings. `openai.ts` is the one implementation that speaks to a server;
 * whatever else answers (a recording, a test's script) implements the same interface.
 */

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/**
 * One chat completion. Plain data, JSON-able, and complete: two equal requests may be answered by one recording, so
 * nothing that varies from run to run (times, paths of this machine, user names) may be put into it.
 */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  /** 0 to 2. Absent: the server's default (some models accept no other). */
  readonly temperature?: number;
  /** Upper bound of generated tokens. Absent: the server's default. */
  readonly maxTokens?: number;
  /** The answer must be JSON of this shape: strict JSON schema where the server can, asked for in words where it can't. */
  readonly schema?: ChatSchema;
}

export interface ChatSchema {
  /** Letters, digits, `_` and `-`, 64 at most (OpenAI's rule). */
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
  /** Never empty, and whole: a cut-off or refused answer is an LlmError. */
  readonly text: string;
  /** The model that answered, as the server names it. */
  readonly model: string;
  /** Absent when the server tells none. */
  readonly usage?: ChatUsage;
  /** The request's key, when whoever answered keyed it: see recording/key.ts. */
  readonly key?: string;
  /** The answer was recorded earlier; nothing was asked and nothing spent. Absent: it came from a server. */
  readonly recorded?: boolean;
  /** What it cost, in US dollars, at most; absent when the price is not known. */
  readonly usd?: number;
}

export interface ChatOptions {
  /** Aborting drops the connection, so that the server sees it; `complete` then rejects with kind "cancelled". */
  readonly signal?: AbortSignal;
  /** Called with each piece of text as it streams in, and with the empty string when an attempt starts over. */
  readonly onText?: (delta: string) => void;
  /**
   * Called before the request is sent once more (a stream broke, the server failed or did not understand), with whether
   * it reached the server before; returns what is sent. If it rejects, with LlmError, nothing is sent, and `complete`
   * rejects with that.
   */
  readonly repeat?: (request: ChatRequest, sent: boolean) => Promise<ChatRequest>;
  /** Called when the request begins to wait, and for what. */
  readonly onPhase?: (phase: ChatPhase) => void;
  /** An answer recorded earlier is not wanted, where a new one can be had. */
  readonly again?: true;
  /** What the request is for, as people call it: a file's path, "structure". For messages and recordings; no key. */
  readonly label?: string;
}

/**
 * | phase | what is waited for |
 * |---|---|
 * | `elsewhere` | somebody else who is asking the same: another file, another machine |
 * | `queued` | a turn: as many requests are with the model as may be |
 * | `asked` | the server |
 */
export type ChatPhase = "elsewhere" | "queued" | "asked";

export interface LanguageModel {
  /**
   * Answers one request, with retries and deadlines of its own.
   * Rejects with LlmError and nothing else.
   */
  complete(request: ChatRequest, options?: ChatOptions): Promise<ChatAnswer>;
  /**
   * The answer to this request was of no use: where answers are kept, it is not given again. Never rejects. Absent where
   * none are kept.
   */
  forget?(request: ChatRequest): Promise<void>;
  /**
   * The answer that took the place of an earlier one, because `again` was asked, is taken back: from here on the earlier one
   * is given, and the next time it is this one again. Never rejects. Absent where no answers are kept.
   */
  restore?(key: string): Promise<void>;
}

/**
 * What went wrong, in the terms a caller acts on:
 *
 * | kind | meaning |
 * |---|---|
 * | `unconfigured` | no provider: nothing says where to send the request |
 * | `refused-key` | 401 or 403: no key, a wrong one, or one that may not |
 * | `no-connection` | refused, reset, unknown host, TLS failure |
 * | `timeout` | no first byte, or a stall, or too long in all |
 * | `rate-limited` | 429 (or 503 with Retry-After) still after the retries |
 * | `recordings` | the place where answers are recorded cannot be used |
 * | `quota` | the account's or the mount's budget is spent |
 * | `server` | 5xx still after the retries, or an answer that is not the protocol |
 * | `bad-request` | the server rejects the request: unknown model, context too long |
 * | `refusal` | the model, or a content filter, declines |
 * | `truncated` | cut by the length limit |
 * | `empty` | an answer without text |
 * | `unusable` | an answer that is not what was asked for, after all repairs |
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
}

/** A failure of the model, with a message for people: what was asked of whom, what came back, what would cure it. */
export class LlmError extends Error {
  override readonly name = "LlmError";
  readonly kind: LlmErrorKind;
  /** Whether a request may have reached the server. */
  readonly sent: boolean;
  /** What the server says that the answer cost which cannot be used. */
  readonly usage: ChatUsage | undefined;

  constructor(kind: LlmErrorKind, message: string, options: LlmErrorOptions = {}) {
    super(message, options);
    this.kind = kind;
    this.usage = options.usage;
    this.sent = options.sent ?? !(kind === "unconfigured" || kind === "unrecorded" || kind === "no-connection");
  }
}
