/**
 * Reads the answer to one chat completion: streamed events, or one JSON document from a server that does not stream.
 */

import { createParser } from "eventsource-parser";
import { attribute } from "../attributes.ts";
import {
  createDamagedFailure,
  createLostConnectionFailure,
  createProtocolFailure,
  Failure,
  fromErrorBody,
  getProperty,
  type Party,
  scrub,
  toText,
} from "./failure.ts";
import { type ChatAnswer, type ChatUsage, LlmError } from "./llm.ts";
import { SEND_LESS } from "./overflow.ts";

export interface ReadingLimits {
  /** The limit of the text. The stream around it may be many times as long, with one event for each token. */
  readonly characters: number;
  /** How long to wait, after the complete text, for what may follow (usage, [DONE]). */
  readonly restMs: number;
}

/**
 * The complete answer, or a Failure: a part is never an answer.
 *
 * The content type is ignored, because it is often wrong; the first character distinguishes a document ("{" or "[") from
 * a stream. A stream is complete when a choice has a finish reason or the [DONE] mark arrives. Servers in front of Gemini
 * send a finish reason with each part of the text; there, the text is complete when the stream ends.
 */
export async function readAnswer(
  response: Response,
  party: Party,
  heard: () => void,
  onText: ((delta: string) => void) | undefined,
  limits: ReadingLimits,
): Promise<ChatAnswer> {
  const answer = new AnswerCollector(party, onText, limits.characters);
  const decode = decoder(party);
  let document: string | undefined;
  let started = false;
  // With escapes, a character takes two.
  const longest = 2 * limits.characters;
  const events = createParser({
    onEvent: (event) => answer.takeEvent(event.data, event.event),
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") answer.refuseLength();
      // A JSON line without "data:": what a gateway writes when its server fails in the middle of a stream.
      if (error.type === "unknown-field" && error.line?.startsWith("{")) answer.takeEvent(error.line, undefined);
    },
    maxBufferSize: longest,
  });
  const take = (chunk: Uint8Array): void => {
    heard();
    let piece = decode(chunk);
    if (!started) {
      piece = piece.trimStart();
      if (piece === "") return;
      started = true;
      if (/^[{[]/.test(piece)) document = "";
      else if (piece.startsWith("<"))
        throw createProtocolFailure(`answered with a web page: ${piece.slice(0, 80)}`, party);
    }
    if (document === undefined) events.feed(piece);
    else {
      document += piece;
      if (document.length > longest) answer.refuseLength();
    }
  };
  const reader = response.body?.getReader();
  try {
    while (reader !== undefined && !answer.complete) {
      const reading = reader.read().catch((error: unknown) => endBrokenStream(error, answer, party));
      const { done, value } = await (answer.settled ? within(limits.restMs, reading) : reading);
      if (done) break;
      take(value);
    }
  } finally {
    // Leaving early closes the connection; for a reader at its end, this does nothing.
    reader?.cancel().catch(() => {});
  }
  // Some servers end the last event without its empty line.
  if (document === undefined && !answer.settled) events.feed("\n\n");
  if (document !== undefined) answer.takeDocument(document + decode());
  return answer.finish();
}

/** Bytes that are not UTF-8 are an error: as replacement characters, they would go unnoticed in a file. */
function decoder(party: Party): (chunk?: Uint8Array) => string {
  const strict = new TextDecoder("utf-8", { fatal: true });
  return (chunk) => {
    try {
      return chunk === undefined ? strict.decode() : strict.decode(chunk, { stream: true });
    } catch {
      throw createDamagedFailure("sent bytes that are not UTF-8", party);
    }
  };
}

interface End {
  readonly done: true;
  readonly value: undefined;
}

const END: End = { done: true, value: undefined };

/** The connection is lost; if the answer is already complete, that was the end. */
function endBrokenStream(error: unknown, answer: AnswerCollector, party: Party): End {
  if (answer.settled) return END;
  throw createLostConnectionFailure(answer.length, error, party);
}

/** The next read, or the end if it takes too long. */
function within<T>(ms: number, reading: Promise<T>): Promise<T | End> {
  const late = Promise.withResolvers<End>();
  const timer = setTimeout(() => late.resolve(END), ms);
  return Promise.race([reading, late.promise]).finally(() => clearTimeout(timer));
}

class AnswerCollector {
  readonly #party: Party;
  readonly #onText: ((delta: string) => void) | undefined;
  readonly #limit: number;
  readonly #pieces: string[] = [];
  #length = 0;
  #events = 0;
  #finish: string | undefined;
  /** Whether a finish reason came with the last part of the text, or after it. */
  #finished = false;
  /** Whether a finish reason came by itself, or after parts of the text without one. */
  #certain = false;
  /** Whether a part of the text came without a finish reason, so that one means something. */
  #distinguishes = false;
  /** Whether text came after a finish reason. */
  #wentOn = false;
  #refusal = "";
  #calledTool = false;
  #done = false;
  /** The first data that was not part of a chat completion. */
  #stray: string | undefined;
  #model: string | undefined;
  #usage: ChatUsage | undefined;

  constructor(party: Party, onText: ((delta: string) => void) | undefined, limit: number) {
    this.#party = party;
    this.#onText = onText;
    this.#limit = limit;
  }

  get length(): number {
    return this.#length;
  }

  /** Whether the text can no longer change, even if the stream does not end or breaks off. */
  get settled(): boolean {
    return this.#done || (this.#finished && this.#certain);
  }

  /** Whether the text is complete if the stream ends here. */
  get #whole(): boolean {
    return this.#done || this.#finished;
  }

  /** Whether nothing more will come: some servers keep the connection open after [DONE]. */
  get complete(): boolean {
    return this.#done;
  }

  takeEvent(data: string, name: string | undefined): void {
    // Gateways that wrap one event stream in another repeat the prefix, and turn comments into data.
    const event = data.replace(/^\s*(?:data:\s*)*/, "").trimEnd();
    if (event === "" || event.startsWith(":")) return;
    if (/^"?\[done\]"?$/i.test(event)) {
      this.#done = true;
      return;
    }
    if (name === "error") throw fromErrorBody(event.startsWith("{") ? this.#parse(event) : event, this.#party);
    if (!event.startsWith("{")) {
      // "ping", "keep-alive": a part of a completion is always an object.
      this.#stray ??= event;
      return;
    }
    const lines = event.split("\n");
    // Without empty lines between them, several events are read as one.
    if (lines.length > 1 && lines.every(isEvent)) {
      for (const line of lines) this.takeEvent(line, name);
    } else this.#take(this.#parse(event), "delta");
  }

  takeDocument(data: string): void {
    this.#take(this.#parse(data), "message");
    this.#done = true;
  }

  /** A retry would be just as long, and cost as much. */
  refuseLength(): never {
    const { host, model } = this.#party;
    const limit = `${this.#limit / 1024 / 1024} MiB`;
    throw new LlmError(
      "server",
      `${host} (model ${model}) sent more than ${limit}, the maximum for an answer; request less`,
    );
  }

  finish(): ChatAnswer {
    const { host, model } = this.#party;
    if (this.#events === 0) throw createProtocolFailure(this.#explainNothing(), this.#party);
    if (!this.#whole) {
      const said = this.#stray === undefined ? "" : `; it also sent ${this.#stray.slice(0, 80)}`;
      throw createDamagedFailure(`ended the stream early, after ${this.#length} characters${said}`, this.#party);
    }
    const answer = this.#pieces.join("");
    // Servers that do not count report 0.
    const usage = this.#usage?.outputTokens === 0 ? undefined : this.#usage;
    this.#judge(this.#finish?.toLowerCase() ?? "", usage);
    if (this.#refusal !== "") {
      const words = scrub(this.#refusal.slice(0, 400), this.#party.secrets);
      throw new LlmError("refusal", `${host} (model ${model}) declines: ${words}`, { usage });
    }
    if (answer.trim() === "") {
      if (this.#calledTool) throw this.#explainTool(usage);
      const what = `${host} (model ${model}) sent an empty answer; try again, or another model`;
      throw new LlmError("empty", what, { usage });
    }
    if (!answer.isWellFormed())
      throw createDamagedFailure("sent a lone surrogate, which is invalid Unicode", this.#party);
    return { text: answer, model: this.#model ?? model, ...(usage && { usage }) };
  }

  #explainNothing(): string {
    const said = this.#stray?.slice(0, LONGEST_STRAY);
    if (said === undefined) return "sent an answer without a chat completion in it";
    return /^[{[]/.test(said)
      ? `sent an answer without a chat completion in it: ${said}`
      : `sent something that is not JSON: ${said}`;
  }

  #explainTool(usage: ChatUsage | undefined): LlmError {
    const { host, model } = this.#party;
    const what = `${host} (model ${model}) called a tool instead of answering; try again, or another model`;
    return new LlmError("unusable", what, { usage });
  }

  /** Throws unless the finish reason, in OpenAI's or another server's words, means that the answer is complete. */
  #judge(reason: string, usage: ChatUsage | undefined): void {
    const { host, model } = this.#party;
    if (/length|max_?(output_?)?tokens|incomplete|context/.test(reason)) {
      const more = `request less, or allow more tokens (for a file, ${attribute("max-tokens")}; for a layout, --layout-tokens)`;
      const cure = /context/.test(reason) ? SEND_LESS : more;
      throw new LlmError(
        "truncated",
        `${host} (model ${model}) truncated its answer after ${this.#length} characters; ${cure}`,
        { usage },
      );
    }
    if (/filter|safety|sensitive|recitation|prohibited|blocklist|spii|refus|guardrail|moderat/.test(reason)) {
      throw new LlmError(
        "refusal",
        `${host} (model ${model}): a content filter stopped the answer; reword the prompt`,
        { usage },
      );
    }
    if (/tool|function/.test(reason)) throw this.#explainTool(usage);
    if (/error|abort|cancel|resource|interrupt|timeout|fail/.test(reason)) {
      const message = `${host} (model ${model}) aborted its answer after ${this.#length} characters: ${reason}`;
      throw new Failure("server", message, "try again later", { transient: true, usage });
    }
  }

  #parse(data: string): unknown {
    try {
      return JSON.parse(data);
    } catch {
      throw createProtocolFailure(`sent something that is not JSON: ${data.slice(0, 80)}`, this.#party);
    }
  }

  #take(value: unknown, part: "delta" | "message"): void {
    const error = errorIn(value);
    if (error !== undefined && error !== null) throw fromErrorBody(error, this.#party);
    const choices = getProperty(value, "choices");
    if (!Array.isArray(choices)) {
      this.#stray ??= JSON.stringify(value);
      return;
    }
    this.#events += 1;
    this.#model ??= toText(getProperty(value, "model")) || undefined;
    this.#usage = usageIn(getProperty(value, "usage")) ?? this.#usage;
    // Only one answer is requested; if a server sends several, they must not be mixed.
    const choice: unknown = choices.find((one) => (getProperty(one, "index") ?? 0) === 0);
    const message = getProperty(choice, part) ?? getProperty(choice, part === "delta" ? "message" : "delta");
    const piece = textIn(getProperty(message, "content"));
    // The whole answer, repeated at the end of its stream.
    if (getProperty(value, "object") === "chat.completion" && piece !== "") this.#startOver();
    if (piece !== "") {
      this.#pieces.push(piece);
      this.#length += piece.length;
      this.#onText?.(piece);
    }
    this.#refusal += toText(getProperty(message, "refusal")) ?? "";
    if (this.#length + this.#refusal.length > this.#limit) this.refuseLength();
    const calls = getProperty(message, "tool_calls");
    if (Array.isArray(calls) && calls.length > 0) this.#calledTool = true;
    // Some servers in front of Gemini pass on its own name for it.
    const reason = toText(getProperty(choice, "finish_reason")) || toText(getProperty(choice, "finishReason"));
    this.#takeReason(reason || undefined, piece !== "" || thinks(message));
  }

  #startOver(): void {
    if (this.#length === 0) return;
    this.#pieces.length = 0;
    this.#length = 0;
    this.#onText?.("");
  }

  /** `speaks`: whether text or reasoning came with it. */
  #takeReason(reason: string | undefined, speaks: boolean): void {
    if (speaks) {
      if (this.#finish !== undefined) this.#wentOn = true;
      if (reason === undefined) this.#distinguishes = true;
      this.#finished = false;
    }
    if (reason === undefined) return;
    // Gateways add "stop" after the reason of the server behind them.
    if (reason !== "stop" || this.#finish === undefined) this.#finish = reason;
    this.#finished = true;
    this.#certain = !speaks || (this.#distinguishes && !this.#wentOn);
  }
}

/** Longer than any sentence that explains a failure. */
const LONGEST_STRAY = 200;

/** The error that a server sends instead of a part of an answer. Gemini puts it into a list. */
function errorIn(value: unknown): unknown {
  const one: unknown = Array.isArray(value) ? value[0] : value;
  return getProperty(one, "object") === "error" ? one : getProperty(one, "error");
}

/** Whether a part of an answer contains reasoning, under one of the names that servers use for it. */
function thinks(message: unknown): boolean {
  return ["reasoning_content", "reasoning", "thinking"].some((name) => toText(getProperty(message, name)));
}

/** Whether a line can be the data of an event by itself. A line of an object that spans several lines cannot. */
function isEvent(line: string): boolean {
  const text = line.trim();
  if (text === "" || text.startsWith(":") || text.startsWith("data:")) return true;
  return (text.startsWith("{") && text.endsWith("}")) || /^\[done\]$/i.test(text);
}

/** A string, or a list of parts, of which the text parts count. */
function textIn(content: unknown): string {
  if (!Array.isArray(content)) return toText(content) ?? "";
  return content.map((part) => toText(getProperty(part, "text")) ?? "").join("");
}

/** Undefined if it cannot be true: a budget that relied on it would not hold. */
function usageIn(usage: unknown): ChatUsage | undefined {
  const inputTokens = count(getProperty(usage, "prompt_tokens"));
  const outputTokens = count(getProperty(usage, "completion_tokens"));
  return inputTokens === undefined || inputTokens === 0 || outputTokens === undefined
    ? undefined
    : { inputTokens, outputTokens };
}

function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
