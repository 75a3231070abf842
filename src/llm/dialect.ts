/**
 * How one request is put to one server: which of the newer parameters it understands.
 *
 * We begin with what current OpenAI models want. A server that rejects a parameter by name (400 or 422) gets the next
 * simpler form, once for each parameter; what worked is remembered for the model.
 */
import type { Failure } from "./failure.ts";
import type { ChatMessage, ChatRequest } from "./llm.ts";

export interface Dialect {
  /** How an answer of a given shape is asked for. In the last two the schema stands in the messages. */
  readonly format: "json_schema" | "json_object" | "words";
  readonly limit: "max_completion_tokens" | "max_tokens" | "none";
  /** The longest answer that may be asked for, in tokens; what is more is cut down to it. */
  readonly longest: number;
  readonly stream: boolean;
  /** Whether usage is asked for in a stream. */
  readonly usage: boolean;
  readonly temperature: boolean;
  /** Whether there is a system role; without it, instructions stand at the head of the first user message. */
  readonly system: boolean;
}

export const PLAIN_DIALECT: Dialect = {
  format: "json_schema",
  limit: "max_completion_tokens",
  longest: Number.POSITIVE_INFINITY,
  stream: true,
  usage: true,
  temperature: true,
  system: true,
};

/** The body of a chat completions request. */
export function adapt(request: ChatRequest, dialect: Dialect): Record<string, unknown> {
  const body: Record<string, unknown> = { model: request.model, messages: messagesFor(request, dialect) };
  if (dialect.stream) {
    body.stream = true;
    if (dialect.usage) body.stream_options = { include_usage: true };
  }
  if (request.temperature !== undefined && dialect.temperature) body.temperature = request.temperature;
  if (request.maxTokens !== undefined && dialect.limit !== "none") {
    body[dialect.limit] = Math.min(request.maxTokens, dialect.longest);
  }
  if (request.schema !== undefined) {
    const { name, schema } = request.schema;
    if (dialect.format === "json_schema") {
      body.response_format = { type: "json_schema", json_schema: { name, strict: true, schema } };
    } else if (dialect.format === "json_object") body.response_format = { type: "json_object" };
  }
  return body;
}

function messagesFor(request: ChatRequest, dialect: Dialect): readonly ChatMessage[] {
  let messages = request.messages;
  if (request.schema !== undefined && dialect.format !== "json_schema") {
    const shape = JSON.stringify(request.schema.schema);
    const content = `Answer with one JSON object and nothing else: no prose, no code fence. It must match this JSON Schema:\n${shape}`;
    messages = [...messages, { role: "system", content }];
  }
  return dialect.system ? mergeSystem(messages) : withoutSystem(messages);
}

/** All instructions in one first message: many chat templates allow a system message nowhere else. */
function mergeSystem(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const system = messages.filter((message) => message.role === "system").map((message) => message.content);
  const others = messages.filter((message) => message.role !== "system");
  return system.length === 0 ? others : [{ role: "system", content: system.join("\n\n") }, ...others];
}

function withoutSystem(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const [first, second, ...others] = mergeSystem(messages);
  if (first?.role !== "system") return messages;
  if (second?.role !== "user")
    return [{ role: "user", content: first.content }, ...(second ? [second] : []), ...others];
  return [{ role: "user", content: `${first.content}\n\n${second.content}` }, ...others];
}

/** A simpler dialect that the failure suggests, with a line for the log; undefined when it suggests none. */
export function learn(
  failure: Failure,
  request: ChatRequest,
  dialect: Dialect,
): { readonly dialect: Dialect; readonly lesson: string } | undefined {
  const { status } = failure;
  // Some fail where they ought to refuse; that is believed where the words leave no doubt.
  const fails = status === 500 && /response_format|json_schema|json_object|grammar/.test(failure.said);
  if (status !== 400 && status !== 422 && status !== 501 && !fails) return undefined;
  const blames = (words: RegExp) =>
    (failure.param !== undefined && words.test(failure.param)) || words.test(failure.said);
  if (
    request.schema !== undefined &&
    dialect.format !== "words" &&
    blames(/response_format|json_schema|json_object|schema|structured output|grammar/)
  ) {
    const format = dialect.format === "json_schema" ? "json_object" : "words";
    return {
      dialect: { ...dialect, format },
      lesson: `response_format ${dialect.format} is rejected; trying ${format}`,
    };
  }
  if (request.maxTokens !== undefined && dialect.limit !== "none" && blames(/max_completion_tokens|max_tokens/)) {
    const longest = longestIn(failure.said);
    if (longest !== undefined && longest < Math.min(request.maxTokens, dialect.longest)) {
      return {
        dialect: { ...dialect, longest },
        lesson: `no answer is longer than ${longest} tokens; asking for that`,
      };
    }
    // Another name for it would not make it fit.
    const toName = dialect.limit === "max_completion_tokens" && !TOO_LONG.test(failure.said);
    const limit = toName ? "max_tokens" : "none";
    return { dialect: { ...dialect, limit }, lesson: `${dialect.limit} is rejected; trying ${limit}` };
  }
  if (request.temperature !== undefined && dialect.temperature && blames(/temperature/)) {
    return { dialect: { ...dialect, temperature: false }, lesson: "temperature is rejected; leaving it to the model" };
  }
  if (dialect.usage && dialect.stream && blames(/stream_options|include_usage/)) {
    return { dialect: { ...dialect, usage: false }, lesson: "stream_options is rejected; usage stays unknown" };
  }
  if (dialect.stream && blames(/\bstream(ing)?\b/)) {
    return { dialect: { ...dialect, stream: false }, lesson: "streaming is rejected; asking for whole answers" };
  }
  const hasSystem = request.messages.some((message) => message.role === "system");
  if (
    hasSystem &&
    dialect.system &&
    (/^messages\W*\d+\W*role$/.test(failure.param ?? "") || SYSTEM.test(failure.said))
  ) {
    return {
      dialect: { ...dialect, system: false },
      lesson: "the system role is rejected; instructions go into the user's message",
    };
  }
  return undefined;
}

/** Refusals of the system role: of o1-mini and others of OpenAI, of Gemini, of chat templates, of pydantic. */
const SYSTEM =
  /system role|role\W.{0,80}\bsystem\b|\bsystem\b.{0,80}\brole\b|developer instruction|roles must alternate/;

/** The context is full: what is left for the answer depends on the request. */
const TOO_LONG = /context (length|window|size)/;

/** The longest answer of a model, as servers say it when more is asked for. */
const LONGEST =
  /at most (?<most>\d+)|less than or equal to \W?(?<limit>\d+)|> (?<max>\d+), which is the max|\[[01], ?(?<end>\d+)\]/;

function longestIn(said: string): number | undefined {
  if (TOO_LONG.test(said)) return undefined;
  const { most, limit, max, end } = LONGEST.exec(said)?.groups ?? {};
  const longest = Number(most ?? limit ?? max ?? end);
  return longest > 0 ? longest : undefined;
}
