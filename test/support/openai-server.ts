/**
 * A loopback server with OpenAI's API that follows a script: each request takes the next behaviour, and the last one
 * repeats.
 *
 * It remembers every request, and notices when the client drops the connection before the answer is complete.
 */
import { createServer, type IncomingHttpHeaders, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";

/** A parsed JSON body. */
// biome-ignore lint/suspicious/noExplicitAny: tests access any member
export type Body = any;

export interface ReceivedRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Body;
  /** Resolves when the client disconnects before the answer is complete. */
  readonly disconnected: Promise<void>;
  /** Whether the client has disconnected. */
  gone: boolean;
}

export type Behaviour =
  /**
   * Server-sent events, one for each piece; then the finish reason, the usage, [DONE]; `end: false` omits all of these.
   */
  | {
      readonly stream: string | readonly string[];
      readonly finish?: string | null;
      readonly done?: boolean;
      readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number };
      readonly model?: string;
      /** What happens after the pieces: a proper end, a half-open silence, or a connection cut after `heard`. */
      readonly after?: "end" | "hang" | "cut";
    }
  /** One JSON document, as from a server that does not stream. */
  | { readonly whole: string; readonly finish?: string; readonly refusal?: string }
  | { readonly status: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }
  /** Any response, byte for byte. */
  | { readonly raw: string | Uint8Array; readonly contentType?: string; readonly hang?: boolean }
  /** Accepts the request and never answers. */
  | { readonly hang: true }
  /** Drops the connection without an answer. */
  | { readonly drop: true }
  | ((request: ReceivedRequest) => Behaviour | Promise<Behaviour>);

export interface OpenaiServer extends AsyncDisposable {
  /** Ends with /v1. */
  readonly baseUrl: string;
  readonly port: number;
  /** Chat completions, oldest first. */
  readonly requests: ReceivedRequest[];
  /** The path of every other request. */
  readonly otherPaths: string[];
  /** Returns the request with that index; throws if there was none. */
  received(index: number): ReceivedRequest;
  /** Resolves with the request with that index as soon as it arrives. */
  request(index: number): Promise<ReceivedRequest>;
  /** The client has received what was sent so far. Cuts the connections of answers with `after: "cut"`. */
  heard(): void;
  /** Replaces the rest of the script. */
  script(...behaviours: Behaviour[]): void;
}

export async function openaiServer(
  script: readonly Behaviour[] = [{ stream: "hello" }],
  models: readonly string[] = ["scripted"],
  /** With a certificate the server uses https, and so does `baseUrl`. */
  certificate?: { readonly cert: string; readonly key: string },
  /** What it answers to other requests, by the path after the port. */
  others: ReadonlyMap<string, unknown> = new Map(),
): Promise<OpenaiServer> {
  let queue = [...script];
  const requests: ReceivedRequest[] = [];
  const otherPaths: string[] = [];
  const cuts = new Set<ServerResponse>();
  const waiting: { index: number; resolve: (request: ReceivedRequest) => void }[] = [];

  const listener: RequestListener = (incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk) => chunks.push(chunk));
    incoming.on("end", () => {
      const path = incoming.url ?? "";
      if (!path.endsWith("/chat/completions")) {
        otherPaths.push(path);
        const other = others.get(path);
        if (other !== undefined) {
          response.writeHead(200, { "content-type": "application/json" });
          response.end(JSON.stringify(other));
          return;
        }
        const data = models.map((id) => ({ id, object: "model" }));
        response.writeHead(path.endsWith("/models") ? 200 : 404, { "content-type": "application/json" });
        response.end(JSON.stringify({ object: "list", data }));
        return;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      const request: ReceivedRequest = {
        path,
        headers: incoming.headers,
        body: JSON.parse(Buffer.concat(chunks).toString()),
        disconnected: promise,
        gone: false,
      };
      response.on("close", () => {
        if (response.writableFinished) return;
        request.gone = true;
        resolve();
      });
      requests.push(request);
      for (const one of waiting) if (requests[one.index]) one.resolve(request);
      const next = queue.length > 1 ? queue.shift() : queue[0];
      void answer(
        next ?? { status: 500, body: { error: { message: "the script is empty" } } },
        request,
        response,
        cuts,
      );
    });
  };
  const server = certificate === undefined ? createServer(listener) : createSecureServer(certificate, listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return {
    baseUrl: `http${certificate === undefined ? "" : "s"}://127.0.0.1:${address.port}/v1`,
    port: address.port,
    requests,
    otherPaths,
    received(index) {
      const request = requests.at(index);
      if (request === undefined) throw new Error(`${requests.length} requests came, none with index ${index}`);
      return request;
    },
    request(index) {
      const there = requests[index];
      if (there) return Promise.resolve(there);
      return new Promise((resolve) => waiting.push({ index, resolve }));
    },
    heard() {
      for (const response of cuts) response.destroy();
      cuts.clear();
    },
    script(...behaviours) {
      queue = behaviours;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answer(
  behaviour: Behaviour,
  request: ReceivedRequest,
  response: ServerResponse,
  cuts: Set<ServerResponse>,
): Promise<void> {
  if (typeof behaviour === "function") return answer(await behaviour(request), request, response, cuts);
  const json = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
  const model: string = request.body.model;
  if ("hang" in behaviour && !("raw" in behaviour)) return;
  if ("drop" in behaviour) return void response.destroy();
  if ("status" in behaviour) {
    return json(
      behaviour.status,
      behaviour.body ?? { error: { message: `status ${behaviour.status}` } },
      behaviour.headers,
    );
  }
  if ("whole" in behaviour) {
    const message = { role: "assistant", content: behaviour.whole, refusal: behaviour.refusal ?? null };
    const choices = [{ index: 0, message, finish_reason: behaviour.finish ?? "stop" }];
    return json(200, { model, choices, usage: { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 } });
  }
  if ("raw" in behaviour) {
    response.writeHead(200, { "content-type": behaviour.contentType ?? "text/event-stream" });
    response.write(behaviour.raw);
    if (!behaviour.hang) response.end();
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const named = behaviour.model ?? model;
  const event = (value: unknown) => response.write(`data: ${JSON.stringify(value)}\n\n`);
  const pieces = typeof behaviour.stream === "string" ? [behaviour.stream] : behaviour.stream;
  for (const content of pieces)
    event({ model: named, choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  if (behaviour.after === "hang") return;
  if (behaviour.after === "cut") return void cuts.add(response);
  const finish = behaviour.finish === undefined ? "stop" : behaviour.finish;
  if (finish !== null) event({ model: named, choices: [{ index: 0, delta: {}, finish_reason: finish }] });
  const usage = behaviour.usage ?? { prompt_tokens: 11, completion_tokens: 7 };
  if (request.body.stream_options?.include_usage) event({ model: named, choices: [], usage });
  if (behaviour.done !== false) response.write("data: [DONE]\n\n");
  response.end();
}
