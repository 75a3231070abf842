import { expect, spyOn, test } from "bun:test";
import { PAUSE_MS } from "../../../src/llm/connection/circuit-breaker.ts";
import { LlmError } from "../../../src/llm/llm.ts";
import { createOpenaiModel } from "../../../src/llm/openai.ts";
import { freePort } from "../../support/servers.ts";

const REQUEST = { model: "m", messages: [{ role: "user", content: "write" }] } as const;
const ANSWER = { choices: [{ index: 0, message: { role: "assistant", content: "text" }, finish_reason: "stop" }] };

/** A model whose server does not run. `attempts` counts the attempts that were repeated. */
function withoutServer() {
  const port = freePort();
  const said: string[] = [];
  const model = createOpenaiModel({
    baseUrl: `http://127.0.0.1:${port}/v1`,
    retries: { baseMs: 1, maxMs: 1 },
    log: (text) => void said.push(text),
  });
  const ask = async (name = "m") => {
    try {
      return (await model.complete({ ...REQUEST, model: name })).text;
    } catch (error) {
      if (error instanceof LlmError) return error;
      throw error;
    }
  };
  return { port, ask, repeated: () => said.length };
}

/** Answers like a model's server, and counts the requests for each path. */
function serve(port: number, respond: () => Response = () => Response.json(ANSWER)) {
  const paths: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch(request) {
      const path = new URL(request.url).pathname;
      paths.push(path);
      return path === "/v1/models" ? Response.json({ data: [] }) : respond();
    },
  });
  return { paths, [Symbol.dispose]: () => void server.stop(true) };
}

/** The time after the next pause. */
function afterThePause() {
  return spyOn(performance, "now").mockReturnValue(performance.now() + PAUSE_MS + 1);
}

test("after a server could not be reached, requests fail at once, with the reason and without another attempt", async () => {
  const { port, ask, repeated } = withoutServer();
  expect(String(await ask())).toMatch(/ECONNREFUSED.* \(5 attempts\); is the server running/);
  expect(repeated()).toBe(4);
  const next = await ask("other");
  expect(next).toMatchObject({ kind: "no-connection", sent: false });
  expect(String(next)).toMatch(
    new RegExp(
      `no connection to 127.0.0.1:${port} \\(model other\\): ECONNREFUSED.*; the request was not sent.*; is the`,
    ),
  );
  expect(repeated()).toBe(4);
  // Even if it runs by now: it is looked for only after a pause.
  using server = serve(port);
  expect(await ask()).toBeInstanceOf(LlmError);
  expect(server.paths).toEqual([]);
});

test("after the pause, one look decides for all requests, and the server is used as soon as it is there", async () => {
  const { port, ask, repeated } = withoutServer();
  await ask();
  using clock = afterThePause();
  for (const result of await Promise.all([ask(), ask(), ask()])) expect(String(result)).toContain("was not sent");
  expect(repeated()).toBe(4);
  clock.mockReturnValue(performance.now() + PAUSE_MS + 1);
  using server = serve(port);
  expect(await Promise.all([ask(), ask(), ask()])).toEqual(["text", "text", "text"]);
  expect(server.paths.filter((path) => path === "/v1/models")).toHaveLength(1);
  expect(await ask()).toBe("text");
  expect(server.paths.filter((path) => path === "/v1/models")).toHaveLength(1);
});

test("a server that starts while the first request is repeated answers it", async () => {
  const port = freePort();
  let server: ReturnType<typeof serve> | undefined;
  const model = createOpenaiModel({
    baseUrl: `http://127.0.0.1:${port}/v1`,
    retries: { baseMs: 1, maxMs: 1 },
    log: () => {
      server ??= serve(port);
    },
  });
  expect((await model.complete(REQUEST)).text).toBe("text");
  server?.[Symbol.dispose]();
});

test.each([429, 500, 503])("a server that answers %i is asked as often as ever", async (status) => {
  const port = freePort();
  using server = serve(port, () => new Response("{}", { status }));
  const model = createOpenaiModel({ baseUrl: `http://127.0.0.1:${port}/v1`, retries: { baseMs: 1, maxMs: 1 } });
  for (const count of [5, 10]) {
    await expect(model.complete(REQUEST)).rejects.toThrow("(5 attempts)");
    expect(server.paths).toHaveLength(count);
  }
});

test("a server that is there again with an error is asked again", async () => {
  const { port, ask } = withoutServer();
  await ask();
  using _clock = afterThePause();
  using server = serve(port, () => new Response("{}", { status: 500 }));
  for (const count of [5, 10]) {
    expect(await ask()).toMatchObject({ kind: "server" });
    expect(server.paths.filter((path) => path !== "/v1/models")).toHaveLength(count);
  }
});
