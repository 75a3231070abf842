import { describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import { type ChatRequest, LlmError } from "../../src/llm/llm.ts";
import { createOpenaiModel, type OpenaiSettings } from "../../src/llm/openai.ts";
import { CERTIFICATE, CERTIFICATE_KEY } from "../support/certificate.ts";
import { type Behaviour, type Body, type OpenaiServer, openaiServer } from "../support/openai-server.ts";
import { freePort, silentServer } from "../support/servers.ts";

const KEY = "sk-test-4242424242424242";
const REQUEST: ChatRequest = {
  model: "m",
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hi" },
  ],
};
const SCHEMA = {
  name: "shape",
  schema: { type: "object", properties: { a: { type: "number" } }, required: ["a"], additionalProperties: false },
};
const RETRIES = { attempts: 3, baseMs: 1, maxMs: 4, maxRetryAfterMs: 50 };

function modelAt(server: { baseUrl: string }, more: OpenaiSettings = {}) {
  return createOpenaiModel({ baseUrl: server.baseUrl, apiKey: KEY, retries: RETRIES, ...more });
}

async function failure(promise: Promise<unknown>): Promise<LlmError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof LlmError) return error;
    throw new Error(`not an LlmError: ${String(error)}`);
  }
  throw new Error("it did not fail");
}

/** The base URL of a server that listens from now on. */
async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `http://127.0.0.1:${address.port}/v1`;
}

/** The result of one request to a server with this script. */
async function failureOf(
  script: readonly Behaviour[],
  more?: OpenaiSettings,
): Promise<{ error: LlmError; asked: number }> {
  await using server = await openaiServer(script);
  const error = await failure(modelAt(server, more).complete(REQUEST, { onText: server.heard }));
  return { error, asked: server.requests.length };
}

describe("an answer", () => {
  test("an answer is assembled from its pieces, with the usage and the server's name of the model", async () => {
    await using server = await openaiServer([{ stream: ["He", "", "llo ✓"], model: "m-2026" }]);
    const pieces: string[] = [];
    const answer = await modelAt(server).complete(REQUEST, { onText: (piece) => pieces.push(piece) });
    expect(answer).toEqual({ text: "Hello ✓", model: "m-2026", usage: { inputTokens: 11, outputTokens: 7 } });
    expect(pieces).toEqual(["He", "llo ✓"]);
  });

  test("an answer is accepted from a server that ignores stream", async () => {
    await using server = await openaiServer([{ whole: "all at once" }]);
    const answer = await modelAt(server).complete(REQUEST);
    expect(answer).toEqual({ text: "all at once", model: "m", usage: { inputTokens: 11, outputTokens: 7 } });
  });

  test("an answer is complete with either a finish reason or [DONE]", async () => {
    await using server = await openaiServer([
      { stream: "one", done: false },
      { stream: "two", finish: null },
    ]);
    const model = modelAt(server);
    expect((await model.complete(REQUEST)).text).toBe("one");
    expect((await model.complete(REQUEST)).text).toBe("two");
  });

  test("only the first of several choices is used", async () => {
    const other = 'data: {"choices":[{"index":1,"delta":{"content":"B"}}]}\n\n';
    const raw = `${other}data: {"choices":[{"index":0,"delta":{"content":"A"}}]}\n\n${other}data: [DONE]\n\n`;
    await using server = await openaiServer([{ raw }]);
    expect((await modelAt(server).complete(REQUEST)).text).toBe("A");
  });

  test("an answer may be a list of parts, and only text parts are used", async () => {
    const content = [
      { type: "thinking", thinking: [] },
      { type: "text", text: "A" },
      { type: "text", text: "B" },
    ];
    await using server = await openaiServer([
      { raw: JSON.stringify({ choices: [{ message: { content }, finish_reason: "stop" }] }) },
    ]);
    expect((await modelAt(server).complete(REQUEST)).text).toBe("AB");
  });

  test("an answer is assembled from surrogate halves in two pieces", async () => {
    await using server = await openaiServer([{ stream: ["\ud83d", "\ude00"] }]);
    expect((await modelAt(server).complete(REQUEST)).text).toBe("😀");
  });

  test("a complete text is not lost if nothing follows it", async () => {
    const raw = `${part("x")}${part("", "stop")}`;
    await using server = await openaiServer([{ raw, hang: true }]);
    expect((await modelAt(server, { timeouts: HURRIED }).complete(REQUEST)).text).toBe("x");
    await server.received(0).disconnected;
  });

  describe("a finish reason with each part of the text", () => {
    /** Sends the events with pauses that are longer than the wait after a complete text. */
    const slowly = (events: readonly string[]) =>
      Bun.serve({
        port: 0,
        idleTimeout: 0,
        fetch: () =>
          new Response(
            (async function* () {
              for (const event of events) {
                yield event;
                await Bun.sleep(20);
              }
            })(),
          ),
      });

    test("does not end the text, however long the next part takes", async () => {
      for (const events of [
        [part("one ", "stop"), part("two ", "stop"), part("three", "stop")],
        [think("hm", "stop"), part("one ", "stop"), part("two ", "stop"), part("three", "stop")],
        [think("hm", "stop"), think("hm", "stop"), part("one "), part("two "), part("three"), part("", "stop")],
      ]) {
        await using server = slowly(events);
        const model = modelAt({ baseUrl: `${server.url.origin}/v1` }, { timeouts: HURRIED });
        expect((await model.complete(REQUEST)).text).toBe("one two three");
      }
    });

    test("does not make a text complete that breaks off or stalls", async () => {
      const first = `${part("one ", "stop")}${part("two ", "stop")}`;
      const cut = await failureOf([{ raw: first, hang: true }], { timeouts: { ...HURRIED, stallMs: 100 } });
      expect(cut.error.kind).toBe("timeout");
      const unfinished = await failureOf([{ raw: `${think("hm", "stop")}${part("one ")}` }]);
      expect([unfinished.error.kind, unfinished.error.message]).toEqual([
        "server",
        expect.stringContaining("ended the stream early, after 4 characters"),
      ]);
    });

    test("counts if the last event is not terminated", async () => {
      await using server = await openaiServer([{ raw: `${part("one ", "stop")}${part("two", "stop").trimEnd()}` }]);
      expect((await modelAt(server).complete(REQUEST)).text).toBe("one two");
    });
  });

  test("a reason that a gateway adds does not hide the first one", async () => {
    const length = await failureOf([{ raw: `${part("half")}${part("", "length")}${part("", "stop")}` }]);
    expect(length.error.kind).toBe("truncated");
    const choices = [{ index: 0, delta: {}, finish_reason: null, finishReason: "MAX_TOKENS" }];
    const raw = `${part("half")}data: ${JSON.stringify({ choices })}\n\ndata: [DONE]\n\n`;
    expect((await failureOf([{ raw }])).error.kind).toBe("truncated");
  });

  test("an answer that is repeated as a whole at the end of its stream is used once", async () => {
    const choices = [{ index: 0, message: { content: "one two" }, finish_reason: "stop" }];
    const whole = `data: ${JSON.stringify({ object: "chat.completion", choices })}\n\n`;
    await using server = await openaiServer([{ raw: `${part("one ")}${part("two")}${whole}data: [DONE]\n\n` }]);
    expect((await modelAt(server).complete(REQUEST)).text).toBe("one two");
  });

  test("a call of a tool is reported as one, even if the finish reason is that of a text", async () => {
    const delta = { tool_calls: [{ index: 0, function: { name: "f", arguments: "{}" } }] };
    const raw = `data: ${JSON.stringify({ choices: [{ index: 0, delta }] })}\n\n${part("", "stop")}`;
    const { error } = await failureOf([{ raw }]);
    expect([error.kind, error.message]).toEqual(["unusable", expect.stringContaining("called a tool")]);
  });

  test("an error in a list, as Gemini sends it, is read like any other", async () => {
    const key = { code: 400, message: "API key not valid.", details: [{ reason: "API_KEY_INVALID" }] };
    const refused = await failureOf([{ status: 400, body: [{ error: key }] }]);
    expect([refused.error.kind, refused.error.message]).toEqual([
      "refused-key",
      expect.stringContaining("answered 400 for model m: API key not valid.; set OPENAI_API_KEY"),
    ]);
    const busy = { code: 429, message: "Slow down", details: [{ retryDelay: "61.5s" }] };
    const waiting = await failureOf([{ status: 429, body: [{ error: busy }] }]);
    expect([waiting.error.kind, waiting.error.message, waiting.asked]).toEqual([
      "rate-limited",
      expect.stringContaining("Slow down; the server asks to wait 62 s"),
      1,
    ]);
    const late = await failureOf([{ raw: JSON.stringify([{ error: { code: 404, message: "No model" } }]) }]);
    expect([late.error.kind, late.error.message]).toEqual(["bad-request", expect.stringContaining("No model")]);
  });

  test("an answer without a completion is quoted", async () => {
    for (const raw of ['{"detail":"Not allowed here"}', 'data: {"detail":"Not allowed here"}\n\n']) {
      const { error } = await failureOf([{ raw }]);
      expect(error.message).toContain('without a chat completion in it: {"detail":"Not allowed here"}');
    }
  });

  for (const [prompt_tokens, completion_tokens] of [
    [-11, 7],
    [11, -7],
    [0, 0],
    [11, 0],
    [11.5, 7],
    [11, 1e300],
    ["11", "7"],
    [null, 7],
  ]) {
    test(`a reported usage of ${prompt_tokens} and ${completion_tokens} tokens is ignored`, async () => {
      const choices = [{ message: { content: "x" }, finish_reason: "stop" }];
      const raw = JSON.stringify({ choices, usage: { prompt_tokens, completion_tokens } });
      await using server = await openaiServer([{ raw }]);
      expect(await modelAt(server).complete(REQUEST)).toEqual({ text: "x", model: "m" });
    });
  }

  test("an answer ends even if the server keeps the connection open", async () => {
    const raw = `data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n`;
    await using server = await openaiServer([{ raw, hang: true }]);
    expect((await modelAt(server).complete(REQUEST)).text).toBe("x");
  });

  describe("a stream is read despite what gateways do to it:", () => {
    const piece = (content: string, finish_reason: string | null = null) =>
      JSON.stringify({ model: "m", choices: [{ index: 0, delta: { content }, finish_reason }] });
    const [one, two] = [piece("one "), piece("two", "stop")];
    const usage = JSON.stringify({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 } });
    const cases: readonly (readonly [name: string, raw: string])[] = [
      ["comments as data", `data: : OPENROUTER PROCESSING\n\ndata: ${one}\n\ndata: : x\n\ndata: ${two}\n\n`],
      ["comments", `: keep-alive\n\ndata: ${one}\n\n: keep-alive\n\ndata: ${two}\n\n`],
      ["data without a space", `data:${one}\n\ndata:${two}\n\ndata:[DONE]\n\n`],
      ["CRLF", `data: ${one}\r\n\r\ndata: ${two}\r\n\r\ndata: [DONE]\r\n\r\n`],
      ["CR", `data: ${one}\r\rdata: ${two}\r\rdata: [DONE]\r\r`],
      ["a byte order mark", `\ufeffdata: ${one}\n\ndata: ${two}\n\n`],
      ["blank lines at the beginning", `\n\n\ndata: ${one}\n\ndata: ${two}\n\n`],
      ["pings", `event: ping\ndata: {"type":"ping"}\n\nevent: ping\ndata:\n\ndata: ${one}\n\ndata: ${two}\n\n`],
      ["pings in words", `data: ping\n\ndata: ${one}\n\ndata: keep-alive\n\ndata: ${two}\n\n`],
      ["a repeated prefix", `data: data: ${one}\n\ndata: data: ${two}\n\ndata: data: [DONE]\n\n`],
      ["no empty line between events", `data: ${one}\ndata: ${two}\ndata: [DONE]\n`],
      ["names, ids and retries", `event: message\nid: 1\nretry: 5\ndata: ${one}\n\nid: 2\ndata: ${two}\n\n`],
      ["an object over several lines", `data: {\ndata: "choices":\ndata: []}\n\ndata: ${one}\n\ndata: ${two}\n\n`],
      ["no [DONE]", `data: ${one}\n\ndata: ${two}`],
      ["[DONE] in quotes", `data: ${one}\n\ndata: ${piece("two")}\n\ndata: "[DONE]"\n\n`],
      ["[done]", `data: ${one}\n\ndata: ${piece("two")}\n\ndata: [done]\n\n`],
      ["usage without choices at the end", `data: ${one}\n\ndata: ${two}\n\ndata: ${usage}\n\ndata: [DONE]\n\n`],
      [
        "filter results without choices",
        `data: {"choices":[],"prompt_filter_results":[]}\n\ndata: ${one}\n\ndata: ${two}\n\n`,
      ],
    ];
    for (const [name, raw] of cases) {
      test(name, async () => {
        await using server = await openaiServer([{ raw }]);
        expect((await modelAt(server).complete(REQUEST)).text).toBe("one two");
        expect(server.requests).toHaveLength(1);
      });
      test(`${name}, a byte at a time`, async () => {
        await using server = Bun.serve({
          port: 0,
          fetch: () =>
            new Response(
              (async function* () {
                for (const byte of Buffer.from(raw)) yield Uint8Array.of(byte);
              })(),
            ),
        });
        expect((await modelAt({ baseUrl: `${server.url.origin}/v1` }).complete(REQUEST)).text).toBe("one two");
      });
    }

    test("an error as a bare line in the middle is an error", async () => {
      const raw = `data: ${one}\n\n{"error":{"message":"worker died","code":"server_error"}}\n`;
      const { error } = await failureOf([{ raw }]);
      expect([error.kind, error.message]).toEqual(["server", expect.stringContaining("worker died")]);
    });

    test("a stream of plain words is an error that quotes them", async () => {
      const { error } = await failureOf([{ raw: "data: upstream is down\n\n" }]);
      expect([error.kind, error.message]).toEqual(["server", expect.stringContaining("upstream is down")]);
      const half = await failureOf([{ raw: `data: ${one}\n\ndata: upstream is down\n\n` }]);
      expect([half.error.kind, half.error.message]).toEqual([
        "server",
        expect.stringContaining("ended the stream early, after 4 characters; it also sent upstream is down"),
      ]);
    });

    test("half an object is never ignored", async () => {
      const { error } = await failureOf([{ raw: `data: ${one.slice(0, 30)}\n\ndata: ${two}\n\n` }]);
      expect([error.kind, error.message]).toEqual(["server", expect.stringContaining("not JSON")]);
    });
  });

  test("a stream may be split anywhere, even inside a character, with comments between", async () => {
    await using server = await openaiServer([
      { raw: ': waiting\n\ndata: {"choices":[{"delta":{"content":"é"},"finish_reason":"stop"}]}' },
    ]);
    expect((await modelAt(server).complete(REQUEST)).text).toBe("é");
  });
});

/** Waits for everything except for what may follow a complete text. */
const HURRIED = { firstByteMs: 60_000, stallMs: 60_000, restMs: 1, totalMs: 60_000 };

function part(content: string, finish_reason: string | null = null): string {
  return `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`;
}

function think(reasoning_content: string, finish_reason: string): string {
  return `data: ${JSON.stringify({ choices: [{ index: 0, delta: { reasoning_content }, finish_reason }] })}\n\n`;
}

describe("the request", () => {
  test("the request has a connection of its own, so that it never waits on an idle one that died silently", async () => {
    const used = new WeakSet<Socket>();
    await using server = createServer((request, response) => {
      if (used.has(request.socket)) return;
      used.add(request.socket);
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end('data: {"choices":[{"index":0,"delta":{"content":"here"},"finish_reason":"stop"}]}\n\n');
    });
    const model = modelAt({ baseUrl: await listen(server) }, { timeouts: { firstByteMs: 20_000 } });
    for (let time = 0; time < 3; time++) expect((await model.complete(REQUEST)).text).toBe("here");
  });

  test("the request asks for a stream with usage, and carries the key as a bearer token", async () => {
    await using server = await openaiServer();
    await modelAt(server).complete({ ...REQUEST, temperature: 0.5, maxTokens: 99 });
    const { headers, body } = server.received(0);
    expect(headers.authorization).toBe(`Bearer ${KEY}`);
    expect(body).toEqual({
      model: "m",
      messages: [...REQUEST.messages],
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0.5,
      max_completion_tokens: 99,
    });
  });

  test("the request carries no authorization without a key, even if the environment has one", async () => {
    await using server = await openaiServer();
    process.env.OPENAI_API_KEY = "sk-from-the-environment";
    try {
      await createOpenaiModel({ baseUrl: server.baseUrl }).complete(REQUEST);
    } finally {
      delete process.env.OPENAI_API_KEY;
    }
    expect(server.requests[0]?.headers.authorization).toBeUndefined();
  });

  test("the request carries the configured headers, and not those of the environment that are disabled", async () => {
    await using server = await openaiServer();
    const before = process.env.OPENAI_CUSTOM_HEADERS;
    process.env.OPENAI_CUSTOM_HEADERS = "X-Team: theirs\nX-Other: theirs";
    try {
      await modelAt(server, { headers: { "X-Team": "ours", "X-Other": null } }).complete(REQUEST);
    } finally {
      if (before === undefined) delete process.env.OPENAI_CUSTOM_HEADERS;
      else process.env.OPENAI_CUSTOM_HEADERS = before;
    }
    const { headers } = server.received(0);
    expect([headers["x-team"], headers["x-other"], headers.authorization]).toEqual([
      "ours",
      undefined,
      `Bearer ${KEY}`,
    ]);
  });

  test("the request carries a key in a separate header, and shows it in no message", async () => {
    await using server = await openaiServer([
      { status: 401, body: { error: { message: "bad key secret-of-theirs" } } },
    ]);
    const model = createOpenaiModel({
      baseUrl: server.baseUrl,
      retries: RETRIES,
      headers: { authorization: "Token secret-of-theirs" },
    });
    const error = await failure(model.complete(REQUEST));
    expect(server.received(0).headers.authorization).toBe("Token secret-of-theirs");
    expect(error.message).not.toContain("secret-of-theirs");
  });

  test("the request asks for a strict JSON schema", async () => {
    await using server = await openaiServer([{ stream: '{"a":1}' }]);
    await modelAt(server).complete({ ...REQUEST, schema: SCHEMA });
    expect(server.requests[0]?.body.response_format).toEqual({
      type: "json_schema",
      json_schema: { name: "shape", strict: true, schema: SCHEMA.schema },
    });
  });
});

describe("a server that does not know a parameter", () => {
  /** Rejects like a server that supports neither of these parameters. */
  const rejecting =
    (check: (body: Body) => string | undefined, status = 400): Behaviour =>
    ({ body }) => {
      const complaint = check(body);
      return complaint === undefined ? { stream: '{"a":1}' } : { status, body: { error: { message: complaint } } };
    };

  test("a server that does not know a parameter gets json_object instead of json_schema, with the schema in words, and is not asked twice", async () => {
    await using server = await openaiServer([
      rejecting((body) =>
        body.response_format?.type === "json_schema" ? "response_format json_schema is not supported" : undefined,
      ),
    ]);
    const model = modelAt(server);
    await model.complete({ ...REQUEST, schema: SCHEMA });
    await model.complete({ ...REQUEST, schema: SCHEMA });
    expect(server.requests.map(({ body }) => body.response_format.type)).toEqual([
      "json_schema",
      "json_object",
      "json_object",
    ]);
    const system = server.requests[1]?.body.messages[0];
    expect(system.content).toStartWith("Be brief.");
    expect(system.content).toContain(JSON.stringify(SCHEMA.schema));
    expect(server.requests[1]?.body.messages).toHaveLength(2);
  });

  test("a server that does not know a parameter gets a JSON schema without the lengths of lists if it rejects these, and is not asked twice", async () => {
    const bounded = { name: "shape", schema: { type: "array", items: { type: "string" }, minItems: 1 } };
    await using server = await openaiServer([
      rejecting((body) =>
        JSON.stringify(body).includes("minItems")
          ? "Invalid schema for response_format 'shape': In context=(), 'minItems' is not permitted."
          : undefined,
      ),
    ]);
    const model = modelAt(server);
    await model.complete({ ...REQUEST, schema: bounded });
    await model.complete({ ...REQUEST, schema: bounded });
    expect(server.requests.map(({ body }) => body.response_format.json_schema.schema)).toEqual([
      bounded.schema,
      { type: "array", items: { type: "string" } },
      { type: "array", items: { type: "string" } },
    ]);
  });

  test("a server that does not know a parameter gets the schema in words only if it does not support response_format", async () => {
    await using server = await openaiServer([
      rejecting((body) => (body.response_format ? "extra fields not permitted: response_format" : undefined), 422),
    ]);
    expect((await modelAt(server).complete({ ...REQUEST, schema: SCHEMA })).text).toBe('{"a":1}');
    expect(server.requests.map(({ body }) => body.response_format?.type)).toEqual([
      "json_schema",
      "json_object",
      undefined,
    ]);
  });

  test("a server that does not know a parameter may fail with 500 instead of rejecting it, if the message leaves no doubt", async () => {
    const words = "failed to parse grammar";
    await using server = await openaiServer([
      rejecting((body) => (body.response_format?.type === "json_schema" ? words : undefined), 500),
    ]);
    expect((await modelAt(server).complete({ ...REQUEST, schema: SCHEMA })).text).toBe('{"a":1}');
    expect(server.requests).toHaveLength(2);
  });

  test("a server that does not know a parameter gets max_tokens instead of max_completion_tokens", async () => {
    await using server = await openaiServer([
      rejecting((body) =>
        "max_completion_tokens" in body ? "Unrecognized argument: max_completion_tokens" : undefined,
      ),
    ]);
    await modelAt(server).complete({ ...REQUEST, maxTokens: 50 });
    expect(server.requests[1]?.body.max_tokens).toBe(50);
  });

  test("a server that does not know a parameter gets no temperature if it rejects that", async () => {
    await using server = await openaiServer([
      rejecting((body) => ("temperature" in body ? "Unsupported value: 'temperature'" : undefined)),
    ]);
    await modelAt(server).complete({ ...REQUEST, temperature: 0 });
    expect(server.requests[1]?.body).not.toHaveProperty("temperature");
  });

  test("a server that does not know a parameter gets no stream_options and no stream if it rejects them", async () => {
    await using server = await openaiServer([
      ({ body }) => {
        if (body.stream_options) return { status: 400, body: { error: { message: "unknown field stream_options" } } };
        if (body.stream) return { status: 400, body: { error: { message: "stream is not supported" } } };
        return { whole: "fine" };
      },
    ]);
    expect((await modelAt(server).complete(REQUEST)).text).toBe("fine");
    expect(server.requests).toHaveLength(3);
  });

  test("a server without a system role gets the instructions in the user message", async () => {
    await using server = await openaiServer([
      rejecting((body) => (body.messages[0].role === "system" ? "System role not supported" : undefined)),
    ]);
    await modelAt(server).complete(REQUEST);
    expect(server.requests[1]?.body.messages).toEqual([{ role: "user", content: "Be brief.\n\nHi" }]);
  });

  for (const [server, error] of [
    [
      "o1-mini",
      {
        message: "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        type: "invalid_request_error",
        param: "messages[0].role",
        code: "unsupported_value",
      },
    ],
    ["a gateway to o1-mini", { message: "400 'messages[0].role' does not support 'system' with this model." }],
    ["OpenAI", { message: "Invalid value.", param: "messages[0].role" }],
    ["Gemini", { message: "Developer instruction is not enabled for models/gemma-3-27b-it", code: 400 }],
    ["Mistral's template", { message: "After the optional system message, conversation roles must alternate" }],
    ["Bedrock", { message: 'messages: Unexpected role "system". The Messages API accepts a top-level parameter' }],
    [
      "pydantic",
      {
        message: [
          { loc: ["body", "messages", 0, "role"], msg: "Input should be 'user' or 'assistant'", input: "system" },
        ],
      },
    ],
    ["a JSON schema", { message: "'system' is not one of ['assistant', 'user'] - 'messages.0.role'" }],
  ] as const) {
    test(`a server that does not know a parameter gets the instructions there too if ${server} rejects the role in its own words`, async () => {
      await using server = await openaiServer([
        ({ body }) => (body.messages[0].role === "system" ? { status: 400, body: { error } } : { stream: "fine" }),
      ]);
      expect((await modelAt(server).complete(REQUEST)).text).toBe("fine");
      expect(server.requests[1]?.body.messages).toEqual([{ role: "user", content: "Be brief.\n\nHi" }]);
    });
  }

  test("a change for a server that did not help is forgotten", async () => {
    await using server = await openaiServer([{ status: 400, body: { error: { message: "bad schema: too deep" } } }]);
    const model = modelAt(server);
    expect((await failure(model.complete({ ...REQUEST, schema: SCHEMA }))).kind).toBe("bad-request");
    server.script({ stream: '{"a":1}' });
    await model.complete({ ...REQUEST, schema: SCHEMA });
    expect(server.requests.at(-1)?.body.response_format.type).toBe("json_schema");
  });
});

describe("the longest answer", () => {
  const limitIn = (body: Body) => body.max_completion_tokens ?? body.max_tokens;

  for (const said of [
    "max_tokens is too large: 32768. This model supports at most 16384 completion tokens, whereas you provided 32768.",
    "`max_completion_tokens` must be less than or equal to `16384`, the maximum value for `max_completion_tokens`",
    "max_tokens: 32768 > 16384, which is the maximum allowed number of output tokens",
    "Invalid max_tokens value, the valid range of max_tokens is [1, 16384]",
  ]) {
    test(`the maximum length is reduced to the server's limit: ${said}`, async () => {
      await using server = await openaiServer([
        ({ body }) =>
          limitIn(body) > 16384 ? { status: 400, body: { error: { message: said } } } : { stream: "short" },
      ]);
      const model = modelAt(server);
      await model.complete({ ...REQUEST, maxTokens: 32768 });
      await model.complete({ ...REQUEST, maxTokens: 32768 });
      await model.complete({ ...REQUEST, maxTokens: 50 });
      expect(server.requests.map(({ body }) => limitIn(body))).toEqual([32768, 16384, 16384, 50]);
    });
  }

  test("the maximum length is not reduced if the context has no room for it", async () => {
    const said = "'max_tokens' is too large: 32768. This model's maximum context length is 8192 tokens";
    await using server = await openaiServer([
      ({ body }) => (limitIn(body) > 8000 ? { status: 400, body: { error: { message: said } } } : { stream: "short" }),
    ]);
    await modelAt(server).complete({ ...REQUEST, maxTokens: 32768 });
    expect(server.requests.map(({ body }) => limitIn(body))).toEqual([32768, undefined]);
  });
});

describe("a redirect", () => {
  const to = (status: number, location: string): Behaviour => ({ status, headers: { location } });

  for (const status of [307, 308]) {
    test(`a redirect with ${status} on the same server is followed, with request and key`, async () => {
      await using server = await openaiServer([to(status, "/v2/chat/completions"), { stream: "there" }]);
      expect((await modelAt(server).complete(REQUEST)).text).toBe("there");
      expect(server.received(1)).toMatchObject({ path: "/v2/chat/completions", body: server.received(0).body });
      expect(server.received(1).headers.authorization).toBe(`Bearer ${KEY}`);
    });
  }

  test("a redirect that would change the method is not followed, and the error names the target", async () => {
    const { error, asked } = await failureOf([to(301, "https://example.org/v1/chat/completions")]);
    expect(asked).toBe(1);
    expect(error.kind).toBe("bad-request");
    expect(error.message).toContain(
      "answered 301 for model m: it has moved to https://example.org/v1/chat/completions",
    );
    expect(error.message).toContain("set the base URL");
  });

  test("a redirect to another server is not followed, so that it gets neither key nor prompt", async () => {
    await using other = await openaiServer();
    const { error } = await failureOf([to(307, `${other.baseUrl}/chat/completions`)]);
    expect(error.message).toContain(other.baseUrl);
    expect(other.requests).toHaveLength(0);
  });

  test("a redirect loop ends", async () => {
    const { error, asked } = await failureOf([to(307, "/v1/chat/completions")]);
    expect(error.kind).toBe("bad-request");
    expect(asked).toBe(4);
  });
});

describe("a temporary failure", () => {
  for (const status of [408, 409, 429, 500, 502, 503]) {
    test(`a temporary failure such as ${status} is retried`, async () => {
      await using server = await openaiServer([{ status }, { status }, { stream: "third time lucky" }]);
      const log: string[] = [];
      const model = modelAt(server, { log: (line) => log.push(line) });
      expect((await model.complete(REQUEST)).text).toBe("third time lucky");
      expect(log).toHaveLength(2);
    });
  }

  test("a temporary failure such as a dropped connection is retried", async () => {
    await using server = await openaiServer([{ drop: true }, { stream: "ok" }]);
    expect((await modelAt(server).complete(REQUEST)).text).toBe("ok");
  });

  test("a temporary failure in the middle of a stream starts the text over", async () => {
    await using server = await openaiServer([{ stream: "half of", after: "cut" }, { stream: "all of it" }]);
    const pieces: string[] = [];
    const onText = (piece: string) => {
      pieces.push(piece);
      server.heard();
    };
    const answer = await modelAt(server).complete(REQUEST, { onText });
    expect(answer.text).toBe("all of it");
    expect(pieces).toEqual(["half of", "", "all of it"]);
  });

  test("a temporary failure is retried after the time in Retry-After", async () => {
    await using server = await openaiServer([{ status: 429, headers: { "retry-after-ms": "40" } }, { stream: "ok" }]);
    const before = performance.now();
    await modelAt(server).complete(REQUEST);
    expect(performance.now() - before).toBeGreaterThanOrEqual(39);
  });

  test("a temporary failure is not retried if Retry-After is long", async () => {
    const { error, asked } = await failureOf([{ status: 429, headers: { "retry-after": "3600" } }]);
    expect(error.kind).toBe("rate-limited");
    expect(error.message).toContain("1 h");
    expect(asked).toBe(1);
  });
});

describe("a permanent failure", () => {
  test("repeated 429 is rate-limited after all attempts", async () => {
    const { error, asked } = await failureOf([{ status: 429 }]);
    expect(error.kind).toBe("rate-limited");
    expect(error.message).toContain("3 attempts");
    expect(asked).toBe(3);
  });

  test("an account without credit is quota, after one request", async () => {
    const { error, asked } = await failureOf([
      { status: 429, body: { error: { message: "You exceeded your quota", code: "insufficient_quota" } } },
    ]);
    expect(error.kind).toBe("quota");
    expect(asked).toBe(1);
  });

  test("the error for 500 names host, model, status, the server's message, and the cure", async () => {
    const { error } = await failureOf([{ status: 500, body: { error: { message: "the GPU is on fire" } } }]);
    expect(error.kind).toBe("server");
    expect(error.message).toMatch(
      /^127\.0\.0\.1:\d+ answered 500 for model m: the GPU is on fire \(3 attempts\); try again later$/,
    );
  });

  test("an error that is not JSON is reported too: for a web page, its text", async () => {
    const page = "<html><head><style>b { color: red }</style></head><body><h1>Bad Gateway</h1>nginx</body></html>";
    await using server = createServer((_request, response) => void response.writeHead(502).end(page));
    const error = await failure(modelAt({ baseUrl: await listen(server) }).complete(REQUEST));
    expect(error.message).toContain("answered 502 for model m: Bad Gateway nginx (3 attempts)");
  });

  test("an endless error is read up to a limit, and the connection is dropped", async () => {
    let dropped: Promise<void> | undefined;
    await using server = createServer((_request, response) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      dropped = promise;
      response.on("close", resolve);
      response.writeHead(400);
      const more = () => {
        while (!response.destroyed && response.write("x".repeat(64 * 1024)));
      };
      response.on("drain", more);
      more();
    });
    const error = await failure(modelAt({ baseUrl: await listen(server) }).complete(REQUEST));
    expect(error.kind).toBe("bad-request");
    expect(error.message).toContain("xxx");
    await dropped;
  });

  test("an endless error text is replaced by what the status means, and the connection is dropped", async () => {
    const closed = Promise.withResolvers<void>();
    await using server = createServer((_request, response) => {
      response.on("close", closed.resolve);
      response.writeHead(401, { "content-type": "application/json" });
      response.write('{"error": {"mess');
    });
    const error = await failure(modelAt({ baseUrl: await listen(server) }).complete(REQUEST));
    expect(error.kind).toBe("refused-key");
    await closed.promise;
  });

  test("an untrusted certificate is reported at once, with the cure", async () => {
    await using server = await openaiServer([], [], { cert: CERTIFICATE, key: CERTIFICATE_KEY });
    const error = await failure(modelAt(server).complete(REQUEST));
    expect(error.kind).toBe("no-connection");
    expect(error.sent).toBe(false);
    expect(error.message).toContain("its certificate was rejected: DEPTH_ZERO_SELF_SIGNED_CERT");
    expect(error.message).toContain("set NODE_EXTRA_CA_CERTS to a file");
    expect(error.message).not.toContain("attempts");
  });

  test("a content filter that stops the request is a refusal", async () => {
    const body = { error: { message: "filtered", code: "content_filter", param: "prompt" } };
    const { error, asked } = await failureOf([{ status: 400, body }]);
    expect(error.kind).toBe("refusal");
    expect(asked).toBe(1);
  });

  describe("a request that is too long is sent once, and the error names --context-tokens:", () => {
    const cases: readonly (readonly [server: string, status: number, error: unknown])[] = [
      [
        "OpenAI",
        400,
        { message: "Your input exceeds the context window of this model", code: "context_length_exceeded" },
      ],
      [
        "Azure",
        400,
        { message: "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000" },
      ],
      [
        "OpenAI, above what may be sent in a minute",
        429,
        {
          message:
            "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 31000. The input or output tokens must be reduced",
          code: "rate_limit_exceeded",
        },
      ],
      ["vLLM", 400, { message: "The decoder prompt (length 21535) is longer than the maximum model length of 16384." }],
      ["vLLM, an image model", 400, { message: "The prompt (total length 25938) is too long to fit into the model" }],
      [
        "llama.cpp",
        400,
        {
          code: 400,
          message: "the request exceeds the available context size, try increasing it",
          type: "exceed_context_size_error",
        },
      ],
      [
        "llama.cpp, while it generates",
        500,
        { code: 500, message: "Context size has been exceeded.", type: "server_error" },
      ],
      ["llama-cpp-python", 400, { message: "Requested tokens (2285) exceed context window of 2048" }],
      ["Ollama", 400, { message: "prompt too long; exceeded max context length by 15935 tokens" }],
      [
        "LM Studio",
        400,
        "Trying to keep the first 15857 tokens when context the overflows. However, the model is loaded with context length of only 4096",
      ],
      ["TGI", 422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 1168"],
      [
        "TGI, with the answer",
        422,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 1512. Given: 1000",
      ],
      [
        "SGLang",
        400,
        { message: "Requested token count exceeds the model's maximum context length of 202752 tokens." },
      ],
      [
        "Together",
        400,
        { message: "The input (265330 tokens) is longer than the model's context length (262144 tokens)." },
      ],
      [
        "Anthropic",
        400,
        { message: "prompt is too long: 209353 tokens > 199999 maximum", type: "invalid_request_error" },
      ],
      ["Bedrock", 400, { message: "Input is too long for requested model." }],
      [
        "Gemini",
        400,
        { message: "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)." },
      ],
      [
        "Mistral",
        400,
        { message: "Prompt contains 300000 tokens, too large for model with 131072 maximum context length" },
      ],
      ["Groq", 400, { message: "Please reduce the length of the messages or completion." }],
      [
        "Groq, above what may be sent in a minute",
        413,
        { message: "Request too large for model `x` on tokens per minute (TPM)" },
      ],
      [
        "DeepSeek",
        400,
        { message: "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens" },
      ],
      [
        "OpenRouter",
        400,
        { message: "This endpoint's maximum context length is 8192 tokens. However, you requested about 12000" },
      ],
      [
        "OpenRouter's Poolside",
        400,
        { message: "Input length 131393 exceeds the maximum allowed input length of 131040 tokens." },
      ],
      ["LiteLLM", 400, { message: "litellm.ContextWindowExceededError: AnthropicError" }],
      ["xAI", 400, { message: "This model's maximum prompt length is 131072 but the request contains 537812 tokens." }],
      [
        "Kimi",
        400,
        { message: "Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)" },
      ],
      ["MiniMax", 400, { message: "invalid params, context window exceeds limit" }],
      ["DashScope", 400, { message: "Range of input length should be [1, 129024]" }],
      ["Copilot", 400, { message: "prompt token count of 145000 exceeds the limit of 128000" }],
      ["Fireworks", 400, { message: "The prompt is too long: 221782, model maximum context length: 202752" }],
      ["a proxy", 413, undefined],
    ];
    for (const [server, status, error] of cases) {
      test(server, async () => {
        const failed = await failureOf([{ status, ...(error === undefined ? { body: "" } : { body: { error } }) }]);
        expect([failed.error.kind, failed.asked]).toEqual(["bad-request", 1]);
        expect(failed.error.message).toContain("send less (for a file, lower --context-tokens;");
        if (error === undefined) return;
        const inStream = await failureOf([{ raw: `data: ${JSON.stringify({ error })}\n\n` }]);
        expect([inStream.error.kind, inStream.asked]).toEqual(["bad-request", 1]);
      });
    }

    test("a temporary limit on long requests is still waited for", async () => {
      for (const message of [
        "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. Please try again in 2s",
        "Too many tokens, please wait before trying again.",
        "Requests have exceeded the token rate limit of your current pricing tier",
      ]) {
        const { error, asked } = await failureOf([{ status: 429, body: { error: { message } } }]);
        expect([message, error.kind, asked]).toEqual([message, "rate-limited", 3]);
      }
    });

    test("an answer that ends because the context is full names --context-tokens too", async () => {
      const { error } = await failureOf([{ stream: "half", finish: "model_context_window_exceeded" }]);
      expect([error.kind, error.message]).toEqual(["truncated", expect.stringContaining("--context-tokens")]);
    });
  });

  test("the error for a truncated answer names the options for a longer one, for a file and for a layout", async () => {
    const { error } = await failureOf([{ stream: "half", finish: "length" }]);
    expect(error.message).toContain("for a file, user.llmfs.max-tokens; for a layout, --layout-tokens");
  });

  test("a long message is shortened, and has no control characters", async () => {
    const { error } = await failureOf([{ status: 400, body: { error: { message: `\u001b[31m${"x".repeat(5000)}` } } }]);
    expect(error.message.length).toBeLessThan(700);
    expect(error.message).not.toContain("\u001b");
  });

  test("401 is a refused key after one request, and the key is in no message", async () => {
    const { error, asked } = await failureOf([
      {
        status: 401,
        body: { error: { message: `Incorrect API key provided: ${KEY}. Bearer ${KEY}`, code: "invalid_api_key" } },
      },
    ]);
    expect(error.kind).toBe("refused-key");
    expect(asked).toBe(1);
    expect(Bun.inspect(error)).not.toContain(KEY);
    expect(Bun.inspect(error)).not.toContain("4242");
    expect(error.message).toContain("OPENAI_API_KEY");
  });

  test("a key that does not look like one is in no message either", async () => {
    const apiKey = "correct horse battery staple";
    const { error } = await failureOf([{ status: 500, body: { error: { message: `no account for ${apiKey}!` } } }], {
      apiKey,
    });
    expect(error.message).toContain("no account for [key]!");
  });

  test("the key is in neither the log nor the error if the connection fails", async () => {
    const log: string[] = [];
    const model = createOpenaiModel({
      baseUrl: "http://127.0.0.1:1/v1",
      apiKey: KEY,
      retries: RETRIES,
      log: (line) => log.push(line),
    });
    const error = await failure(model.complete(REQUEST));
    expect(log.length).toBeGreaterThan(0);
    expect(`${Bun.inspect(error)}${log.join("")}`).not.toContain(KEY);
  });

  test("an unknown model is a bad request", async () => {
    const { error } = await failureOf([{ status: 404, body: { error: { message: "The model `m` does not exist" } } }]);
    expect(error.kind).toBe("bad-request");
    expect(error.message).toContain("does not exist");
  });

  test("a server that is down is reported as a missing connection", async () => {
    const closed = await openaiServer();
    await closed[Symbol.asyncDispose]();
    const error = await failure(modelAt(closed).complete(REQUEST));
    expect(error.kind).toBe("no-connection");
    expect(error.message.match(/ECONNREFUSED|ConnectionRefused/g)).toHaveLength(1);
    expect(error.message).not.toContain("Is the computer");
    expect(error.message).toContain(`127.0.0.1:${closed.port}`);
  });

  test("a stream that is cut is a lost connection, never an answer", async () => {
    const { error } = await failureOf([{ stream: "only the beg", after: "cut" }]);
    expect(error.kind).toBe("no-connection");
    expect(error.message).toMatch(/was lost after \d+ characters of the answer: /);
    expect(error.message).toContain("after 12 characters");
  });

  test("an incomplete stream that is closed properly is a server error", async () => {
    const { error } = await failureOf([{ stream: "only the beg", finish: null, done: false }]);
    expect(error.kind).toBe("server");
    expect(error.message).toContain("ended the stream early, after 12 characters");
    expect(error.message).not.toContain("base URL");
  });

  for (const [kind, reasons] of [
    ["truncated", ["length", "max_tokens", "MAX_TOKENS", "model_length"]],
    ["refusal", ["content_filter", "SAFETY", "sensitive", "RECITATION"]],
    ["unusable", ["tool_calls", "function_call"]],
    ["server", ["error", "abort", "insufficient_system_resource", "cancelled"]],
  ] as const) {
    for (const finish of reasons) {
      test(`an answer that ends with "${finish}" is ${kind}, streamed or whole`, async () => {
        expect((await failureOf([{ stream: "blah", finish }])).error.kind).toBe(kind);
        expect((await failureOf([{ whole: "blah", finish }])).error.kind).toBe(kind);
      });
    }
  }

  test("the finish reasons of other servers end an answer", async () => {
    for (const finish of ["stop", "eos", "end_turn", "stop_sequence", "COMPLETE"]) {
      await using server = await openaiServer([{ stream: "all of it", finish }]);
      expect((await modelAt(server).complete(REQUEST)).text).toBe("all of it");
    }
  });

  test("a lone surrogate is not an answer", async () => {
    const { error } = await failureOf([{ stream: "a\ud83db" }]);
    expect(error.kind).toBe("server");
    expect(error.message).toContain("lone surrogate");
    expect(error.message).not.toContain("base URL");
  });

  test("a filtered answer and a refusal are refusals", async () => {
    expect((await failureOf([{ stream: "bl", finish: "content_filter" }])).error.kind).toBe("refusal");
    const { error } = await failureOf([{ whole: "", refusal: "I can't help with that." }]);
    expect(error.kind).toBe("refusal");
    expect(error.message).toContain("I can't help with that.");
  });

  test("an empty answer is reported as empty", async () => {
    expect((await failureOf([{ stream: " \n" }])).error.kind).toBe("empty");
  });

  test("a web page, JSON without choices, broken JSON and an empty body are protocol errors", async () => {
    for (const raw of ["<html>404</html>", '{"hello":"world"}', '{"choices":[', "data: {oops\n\n", ""]) {
      const { error } = await failureOf([{ raw }]);
      expect(error.kind).toBe("server");
      expect(error.message).toContain("127.0.0.1");
    }
  });

  test("an error inside a 200, alone or in the middle of a stream, is an error", async () => {
    const inside = await failureOf([
      { raw: '{"error":{"message":"No credits","code":402}}', contentType: "application/json" },
    ]);
    expect(inside.error.kind).toBe("quota");
    const raw = 'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: {"error":{"message":"worker died"}}\n\n';
    const middle = await failureOf([{ raw }]);
    expect(middle.error.kind).toBe("server");
    expect(middle.error.message).toContain("worker died");
    for (const [words, kind] of [
      [{ code: "insufficient_quota" }, "quota"],
      [{ type: "rate_limit_error" }, "rate-limited"],
      [{ code: "429" }, "rate-limited"],
      [{ code: "invalid_api_key" }, "refused-key"],
      [{ code: "context_length_exceeded" }, "bad-request"],
      [{ type: "overloaded_error" }, "server"],
    ] as const) {
      const said = await failureOf([{ raw: `data: ${JSON.stringify({ error: { message: "so", ...words } })}\n\n` }]);
      expect(said.error.kind).toBe(kind);
      expect(said.error.message).toContain("(model m) sent an error: so");
    }
    const event = await failureOf([{ raw: 'event: error\ndata: {"message":"overloaded"}\n\n' }]);
    expect(event.error.message).toContain("overloaded");
    const object = await failureOf([{ raw: '{"object":"error","message":"no such model","code":404}' }]);
    expect(object.error.kind).toBe("bad-request");
  });
});

describe("time", () => {
  /** Only the deadline in question is short: on a busy machine, the others must not fire first. */
  const long = { firstByteMs: 60_000, stallMs: 60_000, totalMs: 60_000 };

  async function timedOut(server: OpenaiServer, short: Partial<typeof long>) {
    return failure(modelAt(server, { timeouts: { ...long, ...short } }).complete(REQUEST));
  }

  test("a server that hangs causes a timeout, and sees the connection drop", async () => {
    await using server = await openaiServer([{ hang: true }]);
    const error = await timedOut(server, { firstByteMs: 100 });
    expect(error.kind).toBe("timeout");
    expect(error.message).toContain("sent nothing for 0.1 s");
    await server.requests[0]?.disconnected;
  });

  test("a stream that stalls causes a timeout, and the server sees the connection drop", async () => {
    await using server = await openaiServer([{ stream: "and then", after: "hang" }]);
    const error = await timedOut(server, { stallMs: 40 });
    expect(error.kind).toBe("timeout");
    expect(error.message).toContain("stopped in the middle of its answer for 0.04 s");
    await server.received(0).disconnected;
  });

  test("the total deadline covers all attempts and the pauses between them", async () => {
    await using server = await openaiServer([{ status: 500 }]);
    const retries = { attempts: 1000, baseMs: 120_000, maxMs: 120_000 };
    const error = await failure(modelAt(server, { timeouts: long, retries }).complete(REQUEST));
    expect(error.message).toContain("no time is left for another attempt");
    expect(server.requests).toHaveLength(1);
  });

  test("an endless slow stream is ended by the total deadline", async () => {
    await using server = await openaiServer([{ stream: "drip", after: "hang" }]);
    const error = await timedOut(server, { totalMs: 100 });
    expect(error.kind).toBe("timeout");
    expect(error.message).toContain("no complete answer within 0.1 s");
  });
});

describe("cancelling", () => {
  for (const [when, script] of [
    ["before the first byte", { hang: true }],
    ["in the middle of a stream", { stream: "some", after: "hang" }],
  ] as const) {
    test(`cancelling ${when} rejects at once and drops the connection`, async () => {
      await using server = await openaiServer([script]);
      const abort = new AbortController();
      const pending = failure(modelAt(server).complete(REQUEST, { signal: abort.signal }));
      const request = await server.request(0);
      abort.abort();
      expect(await pending).toMatchObject({ kind: "cancelled", sent: true });
      await request.disconnected;
    });
  }

  test("cancelling before the request starts sends nothing", async () => {
    await using server = await openaiServer();
    const error = await failure(modelAt(server).complete(REQUEST, { signal: AbortSignal.abort() }));
    expect(error).toMatchObject({ kind: "cancelled", sent: false });
    expect(server.requests).toHaveLength(0);
  });

  test("cancelling between two attempts does not wait for the next", async () => {
    await using server = await openaiServer([{ status: 500 }]);
    const abort = new AbortController();
    const model = modelAt(server, { retries: { ...RETRIES, baseMs: 60_000, maxMs: 60_000 }, log: () => abort.abort() });
    const error = await failure(model.complete(REQUEST, { signal: abort.signal }));
    expect(error).toMatchObject({ kind: "cancelled", sent: true });
    expect(server.requests).toHaveLength(1);
  });

  test("cancelling between two attempts to connect counts as nothing sent", async () => {
    const abort = new AbortController();
    const retries = { ...RETRIES, baseMs: 60_000, maxMs: 60_000 };
    const server = { baseUrl: `http://127.0.0.1:${freePort()}/v1` };
    const model = modelAt(server, { retries, log: () => abort.abort() });
    const error = await failure(model.complete(REQUEST, { signal: abort.signal }));
    expect(error).toMatchObject({ kind: "cancelled", sent: false });
  });

  test("cancelling while the connection is being opened, or failing to open it in time, counts as nothing sent", async () => {
    await using server = await silentServer();
    const before = server.connecting();
    const abort = new AbortController();
    const pending = failure(modelAt({ baseUrl: server.url }).complete(REQUEST, { signal: abort.signal }));
    while (server.connecting() === before) await Bun.sleep(5);
    abort.abort();
    expect(await pending).toMatchObject({ kind: "cancelled", sent: false });
    const timeouts = { firstByteMs: 300, stallMs: 60_000, totalMs: 60_000 };
    const late = await failure(modelAt({ baseUrl: server.url }, { timeouts }).complete(REQUEST));
    expect(late).toMatchObject({ kind: "timeout", sent: false });
  });

  test("a request counts as sent as soon as any connection to the server is open", async () => {
    await using server = await openaiServer([{ hang: true }]);
    const abort = new AbortController();
    const both = [1, 2].map(() => failure(modelAt(server).complete(REQUEST, { signal: abort.signal })));
    await server.request(0);
    abort.abort();
    expect((await Promise.all(both)).map(({ sent }) => sent)).toEqual([true, true]);
  });
});
