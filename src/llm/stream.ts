/** Reads the answer to one chat completion: streamed events, or one JSON document from a server that does not stream. */
import { createParser } from "eventsource-parser";
import {
  Failure,
  fromErrorBody,
  lostConnection,
  notTheProtocol,
  number,
  type Party,
  property,
  scrub,
  text,
} from "./failure.ts";
import { type ChatAnswer, type ChatUsage, LlmError } from "./llm.ts";

/**
 * The whole answer, or a Failure: a part is never an answer.
 *
 * The content type is not asked, because it is often wrong; the first character tells a document ("{") from a stream.
 * A stream is whole when a choice named its finish reason or the [DONE] mark came.
 */
export async function readAnswer(
  response: Response,
  party: Party,
  heard: () => void,
  onText: ((delta: string) => void) | undefined,
  limit: number,
): Promise<ChatAnswer> {
  const answer = new Collected(party, onText);
  const decode = decoder(party);
  let document: string | undefined;
  let started = false;
  let length = 0;
  const events = createParser({ onEvent: (event) => answer.event(event.data), maxBufferSize: limit });
  const take = (chunk: Uint8Array): void => {
    heard();
    let piece = decode(chunk);
    length += piece.length;
    if (length > limit) throw notTheProtocol(`sent more than ${limit} characters`, party);
    if (!started) {
      piece = piece.trimStart();
      if (piece === "") return;
      started = true;
      if (piece.startsWith("{")) document = "";
      else if (piece.startsWith("<")) throw notTheProtocol(`answered with a web page: ${piece.slice(0, 80)}`, party);
    }
    if (document === undefined) events.feed(piece);
    else document += piece;
  };
  const reader = response.body?.getReader();
  try {
    while (reader !== undefined && !answer.complete) {
      const { done, value } = await reader.read().catch((error: unknown) => broken(error, answer, party));
      if (done) break;
      take(value);
    }
  } finally {
    // Leaving early closes the connection; a reader at its end makes this a no-op.
    reader?.cancel().catch(() => {});
  }
  // Some servers end the last event without its empty line.
  if (document === undefined && !answer.whole) events.feed("\n\n");
  if (document !== undefined) answer.document(document + decode());
  return answer.finish();
}

/** Bytes that are no UTF-8 are no answer: put in as replacement characters, they would go unnoticed in a file. */
function decoder(party: Party): (chunk?: Uint8Array) => string {
  const strict = new TextDecoder("utf-8", { fatal: true });
  return (chunk) => {
    try {
      return chunk === undefined ? strict.decode() : strict.decode(chunk, { stream: true });
    } catch {
      throw notTheProtocol("sent bytes that are not UTF-8", party);
    }
  };
}

/** The connection is gone; of an answer that is whole already, that was the end. */
function broken(error: unknown, answer: Collected, party: Party): { readonly done: true; readonly value: undefined } {
  if (answer.whole) return { done: true, value: undefined };
  throw lostConnection(answer.length, error, party);
}

class Collected {
  readonly #party: Party;
  readonly #onText: ((delta: string) => void) | undefined;
  readonly #pieces: string[] = [];
  #length = 0;
  #events = 0;
  #finish: string | undefined;
  #refusal = "";
  #done = false;
  #model: string | undefined;
  #usage: ChatUsage | undefined;

  constructor(party: Party, onText: ((delta: string) => void) | undefined) {
    this.#party = party;
    this.#onText = onText;
  }

  get length(): number {
    return this.#length;
  }

  /** Nothing that could still come changes the text. */
  get whole(): boolean {
    return this.#done || this.#finish !== undefined;
  }

  /** Nothing more will come: some servers keep the connection open after [DONE]. */
  get complete(): boolean {
    return this.#done;
  }

  event(data: string): void {
    if (data.trim() === "[DONE]") {
      this.#done = true;
      return;
    }
    this.#take(this.#parse(data), "delta");
  }

  document(data: string): void {
    this.#take(this.#parse(data), "message");
    this.#done = true;
  }

  finish(): ChatAnswer {
    const { host, model } = this.#party;
    if (this.#events === 0) throw notTheProtocol("sent an answer without a chat completion in it", this.#party);
    if (!this.whole)
      throw notTheProtocol(`ended the stream in the middle, after ${this.#length} characters`, this.#party);
    const answer = this.#pieces.join("");
    if (this.#finish === "length") {
      const cure = "raise the limit of tokens, or ask for less";
      throw new LlmError(
        "truncated",
        `${host} (model ${model}) cut its answer off after ${this.#length} characters; ${cure}`,
      );
    }
    if (this.#finish === "content_filter") {
      throw new LlmError(
        "refusal",
        `${host} (model ${model}): a content filter stopped the answer; word the prompt otherwise`,
      );
    }
    if (this.#refusal !== "") {
      throw new LlmError(
        "refusal",
        `${host} (model ${model}) declines: ${scrub(this.#refusal.slice(0, 400), this.#party.secrets)}`,
      );
    }
    if (answer.trim() === "") {
      throw new LlmError("empty", `${host} (model ${model}) sent an empty answer; try again, or another model`);
    }
    return { text: answer, model: this.#model ?? model, ...(this.#usage === undefined ? {} : { usage: this.#usage }) };
  }

  #parse(data: string): unknown {
    try {
      return JSON.parse(data);
    } catch {
      throw notTheProtocol(`sent something that is not JSON: ${data.slice(0, 80)}`, this.#party);
    }
  }

  #take(value: unknown, part: "delta" | "message"): void {
    const error = property(value, "error");
    if (error !== undefined && error !== null) throw fromErrorBody(error, this.#party);
    const choices = property(value, "choices");
    if (!Array.isArray(choices)) return;
    this.#events += 1;
    this.#model ??= text(property(value, "model")) || undefined;
    this.#usage = usageIn(property(value, "usage")) ?? this.#usage;
    const choice: unknown = choices[0];
    const message = property(choice, part) ?? property(choice, part === "delta" ? "message" : "delta");
    const piece = text(property(message, "content")) ?? "";
    if (piece !== "") {
      this.#pieces.push(piece);
      this.#length += piece.length;
      this.#onText?.(piece);
    }
    this.#refusal += text(property(message, "refusal")) ?? "";
    this.#finish = text(property(choice, "finish_reason")) || this.#finish;
    if (this.#finish === "error")
      throw new Failure("server", `${this.#party.host} broke off with an error`, "", { transient: true });
  }
}

function usageIn(usage: unknown): ChatUsage | undefined {
  const inputTokens = number(property(usage, "prompt_tokens"));
  const outputTokens = number(property(usage, "completion_tokens"));
  return inputTokens === undefined || outputTokens === undefined ? undefined : { inputTokens, outputTokens };
}
