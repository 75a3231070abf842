/**
 * Adapts a request to a server: which of the newer parameters it understands.
 *
 * We begin with the parameters for current OpenAI models. If a server rejects a parameter by name (400 or 422), the
 * next simpler form is tried, once for each parameter; what worked is remembered for the model.
 */
import type { Failure } from "./failure.ts";
import type { ChatMessage, ChatRequest, ChatSchema } from "./llm.ts";

export interface Dialect {
  /** How to request an answer of a given shape. In the last two, the messages contain the schema. */
  readonly format: "json_schema" | "json_object" | "words";
  /** Whether a JSON schema may say how long a list has to be. */
  readonly listLengths: boolean;
  readonly limit: "max_completion_tokens" | "max_tokens" | "none";
  /** The maximum of tokens for an answer; a higher request is reduced to it. */
  readonly longest: number;
  readonly stream: boolean;
  /** Whether to request usage in a stream. */
  readonly usage: boolean;
  readonly temperature: boolean;
  /** Whether there is a system role; without it, instructions go before the first user message. */
  readonly system: boolean;
}

export const PLAIN_DIALECT: Dialect = {
  format: "json_schema",
  listLengths: true,
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
    const { name } = request.schema;
    if (dialect.format === "json_schema") {
      const schema = dialect.listLengths ? request.schema.schema : withoutListLengths(request.schema.schema);
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

/** The schema without `minItems` and `maxItems`, except as names of properties, whose values are objects. */
function withoutListLengths(schema: ChatSchema["schema"]): unknown {
  const isLength = (name: string, value: unknown) => /^m(in|ax)Items$/.test(name) && typeof value === "number";
  return JSON.parse(JSON.stringify(schema, (name, value) => (isLength(name, value) ? undefined : value)));
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

/** A simpler dialect that the failure suggests, with a line for the log; undefined if it suggests none. */
export function learn(
  failure: Failure,
  request: ChatRequest,
  dialect: Dialect,
): { readonly dialect: Dialect; readonly lesson: string } | undefined {
  const { status } = failure;
  // Some servers fail instead of rejecting a parameter; that counts if the message leaves no doubt.
  const fails = status === 500 && /response_format|json_schema|json_object|grammar/.test(failure.said);
  if (status !== 400 && status !== 422 && status !== 501 && !fails) return undefined;
  const blames = (words: RegExp) =>
    (failure.param !== undefined && words.test(failure.param)) || words.test(failure.said);
  if (request.schema !== undefined && dialect.format === "json_schema" && dialect.listLengths && blames(LIST_LENGTHS)) {
    return {
      dialect: { ...dialect, listLengths: false },
      lesson: "the server rejects minItems in a JSON schema; leaving it out",
    };
  }
  if (
    request.schema !== undefined &&
    dialect.format !== "words" &&
    blames(/response_format|json_schema|json_object|schema|structured output|grammar/)
  ) {
    const format = dialect.format === "json_schema" ? "json_object" : "words";
    return {
      dialect: { ...dialect, format },
      lesson: `the server rejects response_format ${dialect.format}; trying ${format}`,
    };
  }
  if (request.maxTokens !== undefined && dialect.limit !== "none" && blames(/max_completion_tokens|max_tokens/)) {
    const longest = longestIn(failure.said);
    if (longest !== undefined && longest < Math.min(request.maxTokens, dialect.longest)) {
      return {
        dialect: { ...dialect, longest },
        lesson: `answers are limited to ${longest} tokens; requesting that many`,
      };
    }
    // The other parameter name would not make it fit.
    const toName = dialect.limit === "max_completion_tokens" && !TOO_LONG.test(failure.said);
    const limit = toName ? "max_tokens" : "none";
    return { dialect: { ...dialect, limit }, lesson: `the server rejects ${dialect.limit}; trying ${limit}` };
  }
  if (request.temperature !== undefined && dialect.temperature && blames(/temperature/)) {
    return {
      dialect: { ...dialect, temperature: false },
      lesson: "the server rejects temperature; using the model's default",
    };
  }
  if (dialect.usage && dialect.stream && blames(/stream_options|include_usage/)) {
    return { dialect: { ...dialect, usage: false }, lesson: "the server rejects stream_options; usage stays unknown" };
  }
  if (dialect.stream && blames(/\bstream(ing)?\b/)) {
    return { dialect: { ...dialect, stream: false }, lesson: "the server rejects streaming; requesting whole answers" };
  }
  const hasSystem = request.messages.some((message) => message.role === "system");
  if (
    hasSystem &&
    dialect.system &&
    (/^messages\W*\d+\W*role$/.test(failure.param ?? "") || SYSTEM.test(failure.said))
  ) {
    return {
      dialect: { ...dialect, system: false },
      lesson: "the server rejects the system role; putting the instructions into the user message",
    };
  }
  return undefined;
}

/** In lower case. Azure: "'minItems' is not permitted". */
const LIST_LENGTHS = /\bm(in|ax)items\b/;

/** How the system role is rejected: by o1-mini and other OpenAI models, by Gemini, by chat templates, by pydantic. */
const SYSTEM =
  /system role|role\W.{0,80}\bsystem\b|\bsystem\b.{0,80}\brole\b|developer instruction|roles must alternate/;

/** The context is full: the room for the answer depends on the request. */
const TOO_LONG = /context (length|window|size)/;

/** The maximum answer length of a model, as servers report it when more is requested. */
const LONGEST =
  /at most (?<most>\d+)|less than or equal to \W?(?<limit>\d+)|> (?<max>\d+), which is the max|\[[01], ?(?<end>\d+)\]/;

function longestIn(said: string): number | undefined {
  if (TOO_LONG.test(said)) return undefined;
  const { most, limit, max, end } = LONGEST.exec(said)?.groups ?? {};
  const longest = Number(most ?? limit ?? max ?? end);
  return longest > 0 ? longest : undefined;
}
