/**
 * What can go wrong with one attempt, and how it is told to people.
 *
 * The client's errors are read here and dropped: they hold the request, and the request holds the key.
 */
import { messageOf } from "../errno.ts";
import { LlmError, type LlmErrorKind } from "./llm.ts";

/** Who was asked, for messages; and what must never be in one. */
export interface Party {
  readonly host: string;
  readonly model: string;
  readonly secrets: readonly string[];
}

const LONGEST_DETAIL = 400;

/** What Bun says to people who write programs. */
const ADVICE = /\s*(Is the computer able to access the url\?|For more information, pass `verbose: true`.*)/g;

/** One attempt that failed, in the terms that decide what happens next. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly kind: LlmErrorKind;
  /** Worth another attempt. */
  readonly transient: boolean;
  /** Whether the request may have reached the server. */
  readonly sent: boolean;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  /** Everything the server said, lower case, to find out what it did not understand. */
  readonly said: string;
  /** The parameter the server names as the culprit. */
  readonly param: string | undefined;
  readonly #cure: string;

  constructor(kind: LlmErrorKind, message: string, cure: string, more: FailureDetails = {}) {
    super(message);
    this.kind = kind;
    this.#cure = cure;
    this.transient = more.transient ?? false;
    this.sent = more.sent ?? true;
    this.status = more.status;
    this.retryAfterMs = more.retryAfterMs;
    this.said = more.said ?? "";
    this.param = more.param;
  }

  toLlmError(attempts: number, why: string): LlmError {
    const tried = attempts > 1 ? ` (${attempts} attempts)` : "";
    return new LlmError(
      this.kind,
      [`${this.message}${tried}`, why, this.#cure].filter((part) => part !== "").join("; "),
      { sent: this.sent },
    );
  }

  /**
   * Reads whatever `complete` caught in an attempt. The client gives a status to what a server answered and a cause to
   * a connection that failed; anything else is a bug of ours and thrown again as it is.
   */
  static from(error: unknown, party: Party): Failure {
    if (error instanceof Failure) return error;
    if (error instanceof LlmError) return new Failure(error.kind, error.message, "", { sent: error.sent });
    const status = number(property(error, "status"));
    if (status !== undefined) {
      const headers = property(error, "headers");
      return fromStatus(status, property(error, "error"), headers instanceof Headers ? headers : new Headers(), party);
    }
    const cause = property(error, "cause");
    if (cause === undefined) throw error;
    const code = text(property(cause, "code")) ?? "";
    const words = messageOf(cause).replace(ADVICE, "");
    const detail = code === "" || words.startsWith(code) ? words : `${code}: ${words}`;
    return noConnection(scrub(detail, party.secrets), party, !UNREACHED.test(code));
  }
}

/** Codes of connections that never came to be: nobody there, no such name, no agreement on TLS. */
const UNREACHED = /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_\w+|EPROTO)$|CERT|TLS|SSL|SIGNATURE/;

interface FailureDetails {
  readonly transient?: boolean;
  readonly sent?: boolean;
  readonly status?: number;
  readonly retryAfterMs?: number | undefined;
  readonly said?: string;
  readonly param?: string | undefined;
}

export function cancelled(party: Party): LlmError {
  return new LlmError("cancelled", `the request to ${party.host} (model ${party.model}) was cancelled`);
}

/** Connection refused, reset, name unknown, TLS: nothing of an answer. */
export function noConnection(detail: string, party: Party, sent = true): Failure {
  return new Failure(
    "no-connection",
    `no connection to ${party.host} (model ${party.model}): ${bounded(detail)}`,
    "is the server running, and the base URL right?",
    { transient: true, sent },
  );
}

/** The connection went in the middle of an answer. */
export function lostConnection(characters: number, error: unknown, party: Party): Failure {
  const detail = scrub(messageOf(error).replace(ADVICE, ""), party.secrets);
  return new Failure(
    "no-connection",
    `the connection to ${party.host} (model ${party.model}) was lost after ${characters} characters of the answer: ${bounded(detail)}`,
    "does the server, or a proxy before it, end answers that take long?",
    { transient: true },
  );
}

/** An answer that is not a chat completion, or only the beginning of one. */
export function notTheProtocol(detail: string, party: Party): Failure {
  return new Failure(
    "server",
    `${party.host} (model ${party.model}) ${scrub(bounded(detail), party.secrets)}`,
    "is the base URL that of an OpenAI-compatible API (it usually ends in /v1)?",
    { transient: true },
  );
}

/** An error the server put into the body of a good status, or into the middle of a stream. */
export function fromErrorBody(body: unknown, party: Party): Failure {
  const status = number(property(body, "status")) ?? number(property(body, "code"));
  return fromStatus(status !== undefined && status >= 400 && status < 600 ? status : 500, body, new Headers(), party);
}

function fromStatus(status: number, body: unknown, headers: Headers, party: Party): Failure {
  const detail = scrub(bounded(messageIn(body)), party.secrets);
  const said = safeJson(body).toLowerCase();
  const code = `${text(property(body, "code")) ?? ""} ${text(property(body, "type")) ?? ""}`;
  const param = text(property(body, "param"));
  const verdict = judge(status, code, headers);
  const message = `${party.host} answered ${status} for model ${party.model}${detail === "" ? "" : `: ${detail}`}`;
  const retryAfterMs = retryAfter(headers);
  return new Failure(verdict.kind, message, verdict.cure, { ...verdict, status, said, param, retryAfterMs });
}

function judge(
  status: number,
  code: string,
  headers: Headers,
): { kind: LlmErrorKind; cure: string; transient: boolean } {
  const transient = headers.get("x-should-retry") !== "false";
  if (status === 401 || status === 403) {
    return {
      kind: "refused-key",
      cure: "set OPENAI_API_KEY to a key this server accepts for this model",
      transient: false,
    };
  }
  if (status === 402 || (status === 429 && /insufficient_quota|billing|credit/.test(code))) {
    return { kind: "quota", cure: "the account has no credit left: add some, or use another key", transient: false };
  }
  if (status === 404) {
    return {
      kind: "bad-request",
      cure: "check the model's name and the base URL (it usually ends in /v1)",
      transient: false,
    };
  }
  if (status === 429) return { kind: "rate-limited", cure: "lower the concurrency, or try again later", transient };
  if (status === 503 && headers.has("retry-after")) return { kind: "rate-limited", cure: "try again later", transient };
  if (status === 408 || status === 409 || status >= 500) return { kind: "server", cure: "try again later", transient };
  if (status >= 400)
    return { kind: "bad-request", cure: "another model or a shorter prompt may be accepted", transient: false };
  return { kind: "server", cure: "is the base URL that of an OpenAI-compatible API?", transient: false };
}

/** Retry-After in seconds or as a date, or OpenAI's retry-after-ms. */
function retryAfter(headers: Headers): number | undefined {
  const ms = Number.parseFloat(headers.get("retry-after-ms") ?? "");
  if (Number.isFinite(ms)) return Math.max(0, ms);
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  const inSeconds = Number(value);
  if (Number.isFinite(inSeconds)) return Math.max(0, inSeconds * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** The sentence in an error body: OpenAI's `message`, Ollama's bare string, FastAPI's `detail`. */
function messageIn(body: unknown): string {
  if (typeof body === "string") return body;
  const inner = property(body, "error");
  if (inner !== undefined && inner !== null) return messageIn(inner);
  const message = text(property(body, "message")) ?? text(property(body, "detail"));
  if (message !== undefined) return message;
  return body === undefined || body === null ? "" : safeJson(body);
}

/** Without keys: the ones we know, and anything that looks like one (servers quote part of a wrong key). */
export function scrub(message: string, secrets: readonly string[]): string {
  let clean = message;
  for (const secret of secrets) if (secret.length > 3) clean = clean.replaceAll(secret, "[key]");
  return clean.replace(/\b(sk|pk|gsk|xai|key)-[\w*.-]{6,}/g, "[key]").replace(/(Bearer\s+)[^\s"']+/gi, "$1[key]");
}

/** One line of bounded length, without control characters. */
function bounded(message: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a server says may hold terminal escapes
  const line = message.replace(/[\u0000-\u001f\u007f\s]+/g, " ").trim();
  return line.length <= LONGEST_DETAIL ? line : `${line.slice(0, LONGEST_DETAIL)}…`;
}

export function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

export function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

export function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

function safeJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "";
  }
}
