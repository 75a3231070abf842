/**
 * What can go wrong with one attempt, and how it is reported to people.
 *
 * The client's errors are read here and then dropped: they contain the request, and the request contains the key.
 */
import { messageOf } from "../errno.ts";
import { isLoopback } from "./connection/http.ts";
import { textOfPage } from "./connection/page-text.ts";
import { type ChatUsage, LlmError, type LlmErrorKind } from "./llm.ts";
import { isTooLong, SEND_LESS } from "./overflow.ts";

/** The server and model, for messages; and the secrets that must never appear in one. */
export interface Party {
  readonly host: string;
  readonly model: string;
  readonly secrets: readonly string[];
}

const LONGEST_DETAIL = 400;

/** Bun's hints for programmers. */
const ADVICE = /\s?(Is the computer able to access the url\?|For more information, pass `verbose: true`.*)/g;

/** One failed attempt, in the terms that decide what happens next. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly kind: LlmErrorKind;
  /** Whether another attempt may succeed. */
  readonly transient: boolean;
  /** Whether the request may have reached the server. */
  readonly sent: boolean;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  /** The usage that the server reports for an answer that cannot be used. */
  readonly usage: ChatUsage | undefined;
  /** Everything the server said, in lower case, to find out what it did not understand. */
  readonly said: string;
  /** The parameter that the server blames. */
  readonly param: string | undefined;
  /** Why no connection to the server could be opened; undefined if the server may be there. */
  readonly unreached: string | undefined;
  readonly #cure: string;

  constructor(kind: LlmErrorKind, message: string, cure: string, more: FailureDetails = {}) {
    super(message);
    this.kind = kind;
    this.#cure = cure;
    this.transient = more.transient ?? false;
    this.sent = more.sent ?? true;
    this.usage = more.usage;
    this.status = more.status;
    this.retryAfterMs = more.retryAfterMs;
    this.said = more.said ?? "";
    this.param = more.param;
    this.unreached = more.unreached;
  }

  toLlmError(attempts: number, why: string): LlmError {
    const tried = attempts > 1 ? ` (${attempts} attempts)` : "";
    return new LlmError(
      this.kind,
      [`${this.message}${tried}`, why, this.#cure].filter((part) => part !== "").join("; "),
      { sent: this.sent, usage: this.usage },
    );
  }

  /**
   * Converts anything that `complete` caught in an attempt. The client sets a status if the server answered, and a
   * cause if the connection failed; anything else is a bug of ours and is thrown again unchanged.
   */
  static from(error: unknown, party: Party): Failure {
    if (error instanceof Failure) return error;
    if (error instanceof LlmError) return new Failure(error.kind, error.message, "", error);
    const status = toNumber(getProperty(error, "status"));
    if (status !== undefined) {
      const headers = getProperty(error, "headers");
      const body = getProperty(error, "error") ?? toPlainText(messageOf(error));
      return fromStatus(status, withoutList(body), headers instanceof Headers ? headers : new Headers(), party);
    }
    const cause = getProperty(error, "cause");
    if (cause === undefined) throw error;
    return toUnreachedFailure(cause, party) ?? createConnectionFailure(describeConnectionError(cause, party), party);
  }
}

/** The failure of a request that could not be sent; undefined if the request may have reached the server. */
export function toUnreachedFailure(error: unknown, party: ConnectionParty): Failure | undefined {
  const code = toText(getProperty(error, "code")) ?? "";
  const detail = describeConnectionError(error, party);
  if (CERTIFICATE.test(code)) return createTrustFailure(detail, party);
  return UNREACHED.test(code) ? createUnreachedFailure(detail, party) : undefined;
}

function describeConnectionError(error: unknown, { secrets }: ConnectionParty): string {
  const code = toText(getProperty(error, "code")) ?? "";
  const words = messageOf(error).replace(ADVICE, "");
  return scrub(code === "" || words.startsWith(code) ? words : `${code}: ${words}`, secrets);
}

/** Before the model is known, messages name the host only. */
type ConnectionParty = Omit<Party, "model"> & { readonly model?: string };

function nameOf({ host, model }: ConnectionParty): string {
  return model === undefined ? host : `${host} (model ${model})`;
}

/** Codes of connections that were never established: no server, unknown name, or no agreement on TLS. */
const UNREACHED = /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_\w+|EPROTO)$|TLS|SSL/;

/** Codes of rejected certificates. */
const CERTIFICATE = /CERT|SIGNATURE/;

interface FailureDetails {
  readonly transient?: boolean;
  readonly sent?: boolean;
  readonly usage?: ChatUsage | undefined;
  readonly status?: number;
  readonly retryAfterMs?: number | undefined;
  readonly said?: string;
  readonly param?: string | undefined;
  readonly unreached?: string;
}

/** `sent`: whether the request may have reached the server. */
export function createCancellation(party: Party, sent: boolean): LlmError {
  return new LlmError("cancelled", `the request to ${party.host} (model ${party.model}) was cancelled`, { sent });
}

/** No connection could be opened, for a reason that may pass: nothing was sent. */
export function createUnreachedFailure(detail: string, party: ConnectionParty): Failure {
  return createConnectionFailure(detail, party, { sent: false, unreached: detail });
}

/** Connection refused, reset, unknown name, TLS: no part of an answer arrived. */
function createConnectionFailure(detail: string, party: ConnectionParty, more: FailureDetails = {}): Failure {
  return new Failure(
    "no-connection",
    `no connection to ${nameOf(party)}: ${toBoundedLine(detail)}`,
    isLoopback(party.host.replace(/:\d+$/, ""))
      ? "is the server running, and is the base URL correct?"
      : "is the server running, and are the base URL and the proxy (HTTPS_PROXY, HTTP_PROXY) correct?",
    { transient: true, ...more },
  );
}

/** Nothing was sent, and the next attempt would fail in the same way. */
function createTrustFailure(detail: string, party: ConnectionParty): Failure {
  const cure = /ALTNAME/.test(detail)
    ? "the certificate is for another name; is the base URL correct?"
    : "to trust it, set NODE_EXTRA_CA_CERTS to a file with its certificate authority";
  const what = `no connection to ${nameOf(party)}: its certificate was rejected: ${toBoundedLine(detail)}`;
  return new Failure("no-connection", what, cure, { sent: false });
}

/** The connection was lost in the middle of an answer. */
export function createLostConnectionFailure(characters: number, error: unknown, party: Party): Failure {
  const detail = scrub(messageOf(error).replace(ADVICE, ""), party.secrets);
  return new Failure(
    "no-connection",
    `the connection to ${party.host} (model ${party.model}) was lost after ${characters} characters of the answer: ${toBoundedLine(detail)}`,
    "does the server, or a proxy in front of it, end long answers?",
    { transient: true },
  );
}

/** An answer that is not a chat completion. */
export function createProtocolFailure(detail: string, party: Party): Failure {
  return createBadAnswerFailure(
    detail,
    "does the base URL belong to an OpenAI-compatible API (it usually ends in /v1)?",
    party,
  );
}

/** A chat completion that is damaged or truncated. */
export function createDamagedFailure(detail: string, party: Party): Failure {
  return createBadAnswerFailure(detail, "does the server, or a proxy in front of it, damage answers?", party);
}

function createBadAnswerFailure(detail: string, cure: string, party: Party): Failure {
  const message = `${party.host} (model ${party.model}) ${scrub(toBoundedLine(detail), party.secrets)}`;
  return new Failure("server", message, cure, { transient: true });
}

/** An error that the server put into the body of a success, or into the middle of a stream. */
export function fromErrorBody(body: unknown, party: Party): Failure {
  return fromStatus(statusIn(body), body, new Headers(), party, "sent an error");
}

/** The status that the error would have had if the server had known in time. */
function statusIn(body: unknown): number {
  const said = getProperty(body, "status") ?? getProperty(body, "code");
  const status = Number(said);
  if (said !== undefined && said !== null && status >= 400 && status < 600) return status;
  const words = wordsIn(body);
  if (isTooLong(400, toSafeJson(body).toLowerCase())) return 400;
  if (QUOTA.test(words) || /rate_?limit|too_many|throttl/.test(words)) return 429;
  if (/authentication|api_key/.test(words)) return 401;
  if (/permission/.test(words)) return 403;
  if (/not_?found/.test(words)) return 404;
  return FILTERED.test(words) || /invalid_request|context_length/.test(words) ? 400 : 500;
}

function fromStatus(status: number, body: unknown, headers: Headers, party: Party, what?: string): Failure {
  const moved = status < 400 ? headers.get("location") : null;
  const detail = scrub(toBoundedLine(moved === null ? messageIn(body) : `it has moved to ${moved}`), party.secrets);
  const said = toSafeJson(body).toLowerCase();
  const param = toText(getProperty(body, "param"));
  const verdict = judge(status, said, wordsIn(body), headers);
  const did = what === undefined ? `answered ${status} for model ${party.model}` : `(model ${party.model}) ${what}`;
  const message = `${party.host} ${did}${detail === "" ? "" : `: ${detail}`}`;
  const retryAfterMs = retryAfter(headers) ?? retryDelayIn(body);
  return new Failure(verdict.kind, message, verdict.cure, { ...verdict, status, said, param, retryAfterMs });
}

/** The error in the list that Gemini puts it into. */
function withoutList(body: unknown): unknown {
  const one: unknown = Array.isArray(body) ? body[0] : undefined;
  return getProperty(one, "error") ?? one ?? body;
}

/** The code and the type of an error, as programs use them. */
function wordsIn(body: unknown): string {
  return `${toText(getProperty(body, "code")) ?? ""} ${toText(getProperty(body, "type")) ?? ""}`.toLowerCase();
}

const QUOTA = /insufficient_(quota|balance|funds)|billing|credit/;
const FILTERED = /content_(filter|policy)|moderation|safety/;

/** Gemini, Bedrock and some gateways reject a key with status 400. */
const WRONG_KEY = /api_key_invalid|api key not valid|(invalid|incorrect|wrong) api[ _]key/;

interface FailureVerdict {
  readonly kind: LlmErrorKind;
  readonly cure: string;
  readonly transient: boolean;
}

function judge(status: number, said: string, words: string, headers: Headers): FailureVerdict {
  const stays = (kind: LlmErrorKind, cure: string): FailureVerdict => ({ kind, cure, transient: false });
  const passes = (kind: LlmErrorKind, cure: string): FailureVerdict => ({
    kind,
    cure,
    transient: headers.get("x-should-retry") !== "false",
  });
  if (status === 402 || (status >= 400 && status <= 429 && QUOTA.test(words))) {
    return stays("quota", "the account has no credit left; add credit or use another key");
  }
  if (isTooLong(status, said)) return stays("bad-request", SEND_LESS);
  if (status === 401 || status === 403 || (status === 400 && WRONG_KEY.test(said))) {
    return stays("refused-key", "set OPENAI_API_KEY to a key that this server accepts for this model");
  }
  if (status === 404 || status === 405 || status === 410) {
    return stays("bad-request", "check the model name and the base URL (it usually ends in /v1)");
  }
  if (status === 429) return passes("rate-limited", "lower the concurrency, or try again later");
  if (status === 503 && headers.has("retry-after")) return passes("rate-limited", "try again later");
  if (status === 501 || status === 505) return stays("server", "does the base URL belong to an OpenAI-compatible API?");
  if (status === 408 || status === 409 || status === 425 || status >= 500) return passes("server", "try again later");
  if (status >= 400 && FILTERED.test(words)) return stays("refusal", "reword the prompt");
  if (status >= 400) return stays("bad-request", "try another model or a shorter prompt");
  if (headers.has("location")) return stays("bad-request", "set the base URL to the new address");
  return stays("server", "does the base URL belong to an OpenAI-compatible API?");
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
  // Of the server's clock, which may differ from ours.
  const now = Date.parse(headers.get("date") ?? "");
  return Number.isNaN(date) ? undefined : Math.max(0, date - (Number.isNaN(now) ? Date.now() : now));
}

/** Gemini's wait, as in `"details": [{ "retryDelay": "36s" }]`: it sends no Retry-After. */
function retryDelayIn(body: unknown): number | undefined {
  const details = getProperty(body, "details");
  if (!Array.isArray(details)) return undefined;
  const delay = details.map((detail) => toText(getProperty(detail, "retryDelay"))).find((text) => text !== undefined);
  const seconds = /^(\d{1,9}(?:\.\d{1,9})?)s$/.exec(delay ?? "")?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

/** A body that is not JSON, as a sentence: for a web page, its text. */
function toPlainText(message: string): string {
  const words = message.replace(/^\d{3} (status code \(no body\))?/, "");
  return words.trimStart().startsWith("<") ? textOfPage(words) : words;
}

/** The sentence in an error body: OpenAI's `message`, Ollama's bare string, FastAPI's `detail`. */
function messageIn(whole: unknown): string {
  let body = whole;
  for (let depth = 0; depth < DEEPEST; depth++) body = getProperty(body, "error") ?? body;
  if (typeof body === "string") return body;
  const message = toText(getProperty(body, "message")) ?? toText(getProperty(body, "detail"));
  if (message !== undefined) return message;
  return body === undefined || body === null ? "" : toSafeJson(body);
}

/** Removes keys: those we know, and anything that looks like one (servers quote part of a wrong key). */
export function scrub(message: string, secrets: readonly string[]): string {
  let clean = message;
  for (const secret of secrets) if (secret.length > 3) clean = clean.replaceAll(secret, "[key]");
  return clean.replace(/\b(sk|pk|gsk|xai|key)-[\w*.-]{6,}/g, "[key]").replace(/(Bearer\s+)[^\s"']+/gi, "$1[key]");
}

/**
 * The values of headers that look like credentials, by name or length. The name of a team, for example, is not a
 * secret.
 */
export function secretsIn(headers: Readonly<Record<string, string | null>> = {}): readonly string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    value !== null && (/auth|key|token|secret|cookie|password|credential/i.test(name) || value.length >= 20)
      ? [value, value.replace(/^\S+ /, "")]
      : [],
  );
}

/** One line of limited length, without control characters. */
function toBoundedLine(message: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a server's message may contain terminal escapes
  const line = message.replace(/[\u0000-\u001f\u007f\s]+/g, " ").trim();
  return line.length <= LONGEST_DETAIL ? line : `${line.slice(0, LONGEST_DETAIL)}…`;
}

export function getProperty(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

export function toText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

export function toNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

/** JSON of a value, unless it is too deep, too long or too large, as a body from outside may be. */
function toSafeJson(value: unknown): string {
  let left = MOST_VALUES;
  const prune = (one: unknown, depth: number): unknown => {
    left -= 1;
    if (typeof one === "string") return one.slice(0, LONGEST_TEXT);
    if (typeof one !== "object" || one === null) return one;
    if (depth === DEEPEST || left < 0) return undefined;
    if (Array.isArray(one)) return one.slice(0, MOST_VALUES).map((member) => prune(member, depth + 1));
    const members = Object.entries(one).slice(0, MOST_VALUES);
    return Object.fromEntries(members.map(([name, member]) => [name, prune(member, depth + 1)]));
  };
  return JSON.stringify(prune(value, 0)) ?? "";
}

const DEEPEST = 8;
const MOST_VALUES = 200;
const LONGEST_TEXT = 8192;
