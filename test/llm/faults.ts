/**
 * What can go wrong with a server, and the result: run by faults.test.ts, and documented in docs/model-errors.md.
 *
 * bun test/llm/faults.ts --write      writes docs/model-errors.md from the results
 */
import { isErrnoName } from "../../src/errno.ts";
import { createEngine } from "../../src/generate/engine.ts";
import { generateStructure } from "../../src/generate/structure/structure.ts";
import { DEFAULT_RETRIES } from "../../src/llm/connection/retry.ts";
import { type ChatRequest, type LanguageModel, LlmError } from "../../src/llm/llm.ts";
import { createOpenaiModel } from "../../src/llm/openai.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import { createMemoryStore } from "../../src/recording/stores/memory.ts";
import { CERTIFICATE, CERTIFICATE_KEY } from "../support/certificate.ts";
import { type Behaviour, openaiServer } from "../support/openai-server.ts";
import { opened } from "../support/scripted-model.ts";
import { freePort } from "../support/servers.ts";
import { treePort } from "../support/tree-port.ts";

export interface Fault {
  readonly name: string;
  /** The behaviour of the server for every request. */
  readonly server: Behaviour;
  /** The server uses https with a self-signed certificate. */
  readonly unsigned?: true;
  /** Used instead of the server's own address. */
  readonly baseUrl?: (port: number) => string;
  /** Request a layout instead of a file. */
  readonly layout?: true;
  readonly expect: Outcome;
}

export interface Outcome {
  /** The result for the reader: an errno, or the content in words. For a layout: a tree, or the kind of failure. */
  readonly gets: string;
  /** The number of requests until the final result. */
  readonly asked: number;
  /** How many of these reached the server. */
  readonly reached: number;
  /** Whether an answer is recorded. */
  readonly kept: boolean;
}

const ALWAYS = DEFAULT_RETRIES.attempts;
const event = (content: string, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`;
const message = (text: string) => ({ error: { message: text } });
const invalid = Buffer.concat([Buffer.from('data: {"choices":[{"delta":{"content":"caf'), Buffer.from([0xe9])]);
const TREE = JSON.stringify({
  directories: [],
  files: [{ path: "a", description: "x" }],
  symlinks: [],
  unfinished: [],
});
const fails = (gets: string, asked: number, reached = asked): Outcome => ({ gets, asked, reached, kept: false });
const works = (gets: string, asked = 1): Outcome => ({ gets, asked, reached: asked, kept: true });

export const FAULTS: readonly Fault[] = [
  {
    name: "connection refused",
    server: { hang: true },
    baseUrl: () => `http://127.0.0.1:${freePort()}/v1`,
    expect: fails("EHOSTUNREACH", ALWAYS, 0),
  },
  {
    name: "the server's name cannot be resolved (DNS)",
    server: { hang: true },
    baseUrl: () => "http://no-such-host.invalid/v1",
    expect: fails("EHOSTUNREACH", ALWAYS, 0),
  },
  {
    name: "TLS fails",
    server: { hang: true },
    baseUrl: (port) => `https://127.0.0.1:${port}/v1`,
    expect: fails("EHOSTUNREACH", ALWAYS, 0),
  },
  {
    name: "TLS: a certificate that is not trusted",
    server: { stream: "text" },
    unsigned: true,
    expect: fails("EHOSTUNREACH", 1, 0),
  },
  {
    name: "301, the server has moved; 307 to another host",
    server: { status: 301, headers: { location: "http://elsewhere.invalid/v1/chat/completions" } },
    expect: fails("EIO", 1),
  },
  {
    name: "400, a content filter stops the request",
    server: { status: 400, body: { error: { message: "filtered", code: "content_filter" } } },
    expect: fails("EIO", 1),
  },
  {
    name: "400, the request is longer than the model's context; 413, 422",
    server: { status: 400, body: { error: { message: "too long", code: "context_length_exceeded" } } },
    expect: fails("EIO", 1),
  },
  { name: "401, a wrong key", server: { status: 401 }, expect: fails("EACCES", 1) },
  { name: "403, a key without permission", server: { status: 403 }, expect: fails("EACCES", 1) },
  { name: "402, the account is spent", server: { status: 402 }, expect: fails("EDQUOT", 1) },
  { name: "404, no such model", server: { status: 404, body: message("no such model") }, expect: fails("EIO", 1) },
  { name: "408", server: { status: 408 }, expect: fails("EIO", ALWAYS) },
  { name: "409", server: { status: 409 }, expect: fails("EIO", ALWAYS) },
  { name: "429 without Retry-After", server: { status: 429 }, expect: fails("EBUSY", ALWAYS) },
  {
    name: "429 with a short Retry-After",
    server: { status: 429, headers: { "retry-after-ms": "2" } },
    expect: fails("EBUSY", ALWAYS),
  },
  {
    name: "429 with a Retry-After of more than a minute",
    server: { status: 429, headers: { "retry-after": "3600" } },
    expect: fails("EBUSY", 1),
  },
  {
    name: "429, the account is spent",
    server: { status: 429, body: { error: { message: "pay", code: "insufficient_quota" } } },
    expect: fails("EDQUOT", 1),
  },
  { name: "500", server: { status: 500 }, expect: fails("EIO", ALWAYS) },
  { name: "502", server: { status: 502 }, expect: fails("EIO", ALWAYS) },
  { name: "501", server: { status: 501 }, expect: fails("EIO", 1) },
  { name: "503", server: { status: 503 }, expect: fails("EIO", ALWAYS) },
  { name: "504, 529 and others from 500 on", server: { status: 529 }, expect: fails("EIO", ALWAYS) },
  { name: "no first byte in time", server: { hang: true }, expect: fails("ETIMEDOUT", 1) },
  {
    name: "a stall in the middle of the stream",
    server: { stream: "half", after: "hang" },
    expect: fails("ETIMEDOUT", 1),
  },
  {
    name: "the connection is cut before the answer",
    server: { drop: true },
    expect: fails("EHOSTUNREACH", ALWAYS),
  },
  {
    name: "the connection is cut in the middle of the stream",
    server: { stream: "half", after: "cut" },
    expect: fails("EHOSTUNREACH", ALWAYS),
  },
  {
    name: "the stream ends in the middle",
    server: { stream: "half", finish: null, done: false },
    expect: fails("EIO", ALWAYS),
  },
  {
    name: "the stream never ends after the finish reason",
    server: { raw: `${event("text")}${event("", "stop")}`, hang: true },
    expect: works("the content"),
  },
  {
    name: "an error in the middle of the stream",
    server: { raw: `${event("half")}data: ${JSON.stringify(message("the worker died"))}\n\n` },
    expect: fails("EIO", ALWAYS),
  },
  {
    name: "the same as a separate event: `event: error`",
    server: { raw: `${event("half")}event: error\ndata: {"message":"overloaded"}\n\n` },
    expect: fails("EIO", ALWAYS),
  },
  {
    name: "in a stream: the rate limit",
    server: { raw: `data: ${JSON.stringify({ error: { message: "slow down", code: "rate_limit_exceeded" } })}\n\n` },
    expect: fails("EBUSY", ALWAYS),
  },
  {
    name: "in a stream: the account is spent",
    server: { raw: `data: ${JSON.stringify({ error: { message: "pay", code: "insufficient_quota" } })}\n\n` },
    expect: fails("EDQUOT", 1),
  },
  { name: "cut off by the length limit", server: { stream: "half", finish: "length" }, expect: fails("EIO", 1) },
  {
    name: "stopped by a content filter",
    server: { stream: "half", finish: "content_filter" },
    expect: fails("EIO", 1),
  },
  {
    name: "a finish reason of other servers: `MAX_TOKENS`, `model_length`",
    server: { stream: "half", finish: "MAX_TOKENS" },
    expect: fails("EIO", 1),
  },
  {
    name: "a finish reason of other servers: `SAFETY`, `sensitive`",
    server: { stream: "half", finish: "SAFETY" },
    expect: fails("EIO", 1),
  },
  {
    name: "a finish reason of other servers: `error`, `abort`",
    server: { stream: "half", finish: "abort" },
    expect: fails("EIO", ALWAYS),
  },
  {
    name: "a tool is called instead of an answer",
    server: { stream: "half", finish: "tool_calls" },
    expect: fails("EIO", 1),
  },
  {
    name: "a refusal in the field of the API for it",
    server: { whole: "", refusal: "I will not" },
    expect: fails("EIO", 1),
  },
  { name: "an empty answer", server: { stream: "" }, expect: fails("EIO", 1) },
  { name: "an answer of white space", server: { stream: " \n\t" }, expect: fails("EIO", 1) },
  {
    name: "reasoning without an answer",
    server: { stream: "<think>Well, let me see.</think>\n" },
    expect: fails("EIO", 1),
  },
  { name: "a lone surrogate (invalid Unicode)", server: { stream: "a\ud83db" }, expect: fails("EIO", ALWAYS) },
  { name: "bytes that are not UTF-8", server: { raw: invalid }, expect: fails("EIO", ALWAYS) },
  {
    name: "an answer of 50 MB",
    server: { stream: Array<string>(50).fill(`${"x".repeat(999_999)}\n`) },
    expect: works("50000000 bytes, all of them"),
  },
  {
    name: "an answer of 70 MB (the maximum is 64 MiB)",
    server: { stream: Array<string>(70).fill(`${"x".repeat(999_999)}\n`) },
    expect: fails("EIO", 1),
  },
  {
    name: "an answer that comes four characters at a time, in 64 MiB of events",
    server: { raw: `${event("123\n").repeat(900_000)}${event("", "stop")}` },
    expect: works("3600000 bytes, all of them"),
  },
  { name: "a server that ignores `stream`", server: { whole: "text" }, expect: works("the content") },
  {
    name: "no usage in the answer",
    server: { raw: `${event("text")}data: [DONE]\n\n` },
    expect: works("the content"),
  },
  {
    name: "impossible usage: 0, negative, or not a number",
    server: { stream: "text", usage: { prompt_tokens: -5, completion_tokens: -5 } },
    expect: works("the content"),
  },
  {
    name: "a web page instead of an answer",
    server: { raw: "<html>", contentType: "text/html" },
    expect: fails("EIO", ALWAYS),
  },
  { name: "broken JSON in the stream", server: { raw: "data: {oops\n\n" }, expect: fails("EIO", ALWAYS) },
  {
    name: "layout: the schema is ignored, JSON in prose",
    server: { stream: `Here it is:\n\`\`\`json\n${TREE}\n\`\`\`\nEnjoy!` },
    layout: true,
    expect: works("the tree"),
  },
  {
    name: "layout: cut off by the length limit",
    server: { stream: '{"directories":[', finish: "length" },
    layout: true,
    expect: fails("truncated", 1),
  },
  {
    name: "layout: a refusal",
    server: { whole: "", refusal: "I will not" },
    layout: true,
    expect: fails("refusal", 1),
  },
  { name: "layout: 401, a wrong key", server: { status: 401 }, layout: true, expect: fails("refused-key", 1) },
  { name: "layout: 503", server: { status: 503 }, layout: true, expect: fails("server", ALWAYS) },
  { name: "layout: not JSON at all", server: { stream: "Sorry, no." }, layout: true, expect: fails("unusable", 3) },
  {
    name: "layout: JSON of another shape",
    server: { stream: '{"tree":[]}' },
    layout: true,
    expect: fails("unusable", 3),
  },
];

const TIMEOUTS = { firstByteMs: 60_000, stallMs: 60_000, restMs: 50, totalMs: 60_000 };
/** Used only if a fault makes the client wait. */
const IMPATIENT = { firstByteMs: 150, stallMs: 150, restMs: 150, totalMs: 60_000 };

/** The actual outcome with the real client. */
export async function outcomeOf({ server: behaviour, baseUrl, unsigned, layout }: Fault): Promise<Outcome> {
  const certificate = unsigned && { cert: CERTIFICATE, key: CERTIFICATE_KEY };
  await using server = await openaiServer([behaviour], [], certificate);
  const store = createMemoryStore("memory");
  const waits =
    typeof behaviour !== "function" &&
    (("hang" in behaviour && !("raw" in behaviour)) || ("after" in behaviour && behaviour.after === "hang"));
  const client = createOpenaiModel({
    baseUrl: baseUrl?.(server.port) ?? server.baseUrl,
    apiKey: "sk-of-the-tests",
    retries: { ...DEFAULT_RETRIES, baseMs: 1, maxMs: 2 },
    timeouts: waits && baseUrl === undefined ? IMPATIENT : TIMEOUTS,
  });
  let asked = 0;
  const counted: LanguageModel = {
    complete(request, options) {
      asked += 1;
      const repeat = async (again: ChatRequest) => {
        asked += 1;
        return again;
      };
      return client.complete(request, { ...options, repeat });
    },
  };
  const model = createRecordedModel(counted, store, { mode: "auto" });
  // The client has received the first piece: now the connection may be cut.
  const cutting = setInterval(() => server.heard(), 20);
  const gets = await (layout === true ? laidOut(model) : read(model)).finally(() => clearInterval(cutting));
  return { gets, asked, reached: server.requests.length, kept: (await store.list()).length > 0 };
}

async function read(model: ReturnType<typeof createRecordedModel>): Promise<string> {
  const tree = treePort({ "/a.txt": { pending: "a file" } });
  const engine = createEngine({ openModel: opened(model), tree });
  try {
    const { bytes } = await engine.generate(tree.request("/a.txt"), new AbortController().signal);
    return Buffer.from(bytes).toString() === "text\n" ? "the content" : `${bytes.length} bytes, all of them`;
  } catch (error) {
    return error instanceof Error && "code" in error && typeof error.code === "string" && isErrnoName(error.code)
      ? error.code
      : String(error);
  }
}

async function laidOut(model: ReturnType<typeof createRecordedModel>): Promise<string> {
  try {
    const { entries } = await generateStructure({ prompt: "a tree", model, modelName: "m" });
    return entries.map(({ path }) => path).join() === "/,/a" ? "the tree" : JSON.stringify(entries);
  } catch (error) {
    return error instanceof LlmError ? error.kind : String(error);
  }
}

/** docs/model-errors.md, generated from these outcomes. */
export function document(rows: readonly (readonly [Fault, Outcome])[]): string {
  const line = ([{ name }, { gets, asked, kept }]: readonly [Fault, Outcome]) =>
    `| ${name} | ${gets} | ${asked} | ${kept ? "yes" : "no"} |`;
  return `${HEAD}\n${rows.map(line).join("\n")}\n${TAIL}`;
}

const HEAD = `# When the model's server fails

What happens if a fault persists: the error that a reader of the file gets, how often llmfs asks the server, and whether the answer
is recorded. \`npm run docs\` generates this page from the behaviour of the real client; \`test/llm/faults.test.ts\` compares the two.

| fault | the reader gets | requests | recorded |
|---|---|---|---|`;

const TAIL = `
- Readers do not notice a temporary fault: where the table shows more than one request, one complete answer is enough. llmfs waits
  0.5 s before the second request and doubles the pause each time, less a random part of up to half of it. If Retry-After asks for
  more, or Gemini's \`retryDelay\`, it waits that long. A date in Retry-After is compared with the date of the server.
- If these requests could not be sent, because no connection could be opened, requests for other files fail at once, with the same
  errno and the reason. They do so until the server can be reached: every two seconds, the next request looks for it first, and all
  requests are sent again as soon as it accepts a connection. A server that is only starting has time until the first request has
  used up its attempts.
- A file never contains part of an answer. It becomes \`failed\`, \`user.llmfs.error\` says why, and the next open tries again: the first
  time at once, then after a pause of 0.25 s that doubles each time, up to 5 s. If the server could not be reached, there is no pause.
- A refusal in the text of an answer ("I'm sorry, but I can't help with that.") is content like any other, because a file may
  begin like that. llmfs keeps and records it. If a short answer reads like a refusal, the log has a warning, and \`llmfs why\` shows
  it. To replace the content and the recording, run \`llmfs regen FILE\`, perhaps with another prompt or model.
- Failures are not recorded, and do not damage recordings.
- If a layout is not usable, llmfs sends it back with a list of what is wrong, at most twice. If it still fails, nothing is mounted.
  The exit status is 87 if the answers are at fault (\`unusable\`, \`truncated\`, \`refusal\`, or empty), and 86 otherwise.
- Some servers send a finish reason with every part of an answer. There, the answer is complete when the stream ends, or with
  [DONE]: a stream that breaks off before that is a failure.
- After a timeout, llmfs does not try again: the reader has waited long enough. Set the limit with \`--timeout\`.
- llmfs waits at most two seconds for the text of an error; the status is enough. Each request uses a new connection, because an
  idle one can be dead without notice.
- Redirects are followed if they keep the request unchanged (307, 308) and lead to the same server.
- Requests use the proxy in HTTPS_PROXY or HTTP_PROXY, unless NO_PROXY excludes the server or it is on this machine.
  NODE_EXTRA_CA_CERTS=FILE adds a certificate authority to trust.
- llmfs believes the token counts that a server reports if they are plausible, and counts itself otherwise. It treats an unknown
  finish reason as the normal end of an answer.
- Each request counts for \`--max-calls\`, and llmfs does not try again when none are left. A connection that could not be opened does
  not count.
- If a limit of the mount (\`--max-calls\`, \`--max-tokens\`, \`--max-usd\`) is reached, the reader gets EDQUOT. With \`--mode replay\`, a
  request without a recording fails with EIO, and the error names the first difference.
`;

export const DOCUMENT = new URL("../../docs/model-errors.md", import.meta.url).pathname;

export async function outcomes(): Promise<readonly (readonly [Fault, Outcome])[]> {
  const rows: (readonly [Fault, Outcome])[] = [];
  for (const fault of FAULTS) rows.push([fault, await outcomeOf(fault)]);
  return rows;
}

if (import.meta.main && process.argv[2] === "--write") await Bun.write(DOCUMENT, document(await outcomes()));
