/**
 * A language model behind any OpenAI-compatible chat completions endpoint. The only file that imports "openai".
 *
 * The client decides the address and the headers of a request, once for all requests, and distinguishes failures. Its way to
 * send is not used: it serialises each body as a whole, builds the same headers again, and needs a second abort controller,
 * which together take as much processor time as everything else that a file costs. Nor are its retries: it cannot repeat a
 * stream that broke in the middle, does not limit Retry-After, and has no deadline over all attempts. Its environment
 * variables are overridden here, so that every setting comes from the caller.
 *
 * The client is imported with the first request, so that commands that call no model do not pay for loading it.
 */

import { memoizeSuccess, pause } from "../abort.ts";
import { messageOf } from "../errno.ts";
import { canonicalJsonBytes } from "../text/canonical-json.ts";
import { keyHeaders, splitAddress } from "./connection/address.ts";
import { CircuitBreaker } from "./connection/circuit-breaker.ts";
import { fetchFollowing } from "./connection/http.ts";
import { DEFAULT_RETRIES, delayBefore, type Retries } from "./connection/retry.ts";
import { DEFAULT_TIMEOUTS, type Timeouts, Watchdog } from "./connection/watchdog.ts";
import { adapt, type Dialect, learn, PLAIN_DIALECT } from "./dialect.ts";
import { createCancellation, Failure, type Party, scrub, secretsIn } from "./failure.ts";
import type { ChatAnswer, ChatOptions, ChatRequest, LanguageModel } from "./llm.ts";
import { LlmError } from "./llm.ts";
import { isReachable } from "./models.ts";
import { OPENAI_BASE_URL } from "./openai-service.ts";
import { readAnswer } from "./stream.ts";

export interface OpenaiSettings {
  /** Absent: api.openai.com. */
  readonly baseUrl?: string;
  /** Absent: no Authorization header is sent, which suits local servers. */
  readonly apiKey?: string;
  /** Sent with every request. Null: not sent even if OPENAI_CUSTOM_HEADERS, which the client reads, contains it. */
  readonly headers?: Readonly<Record<string, string | null>>;
  readonly timeouts?: Partial<Timeouts>;
  readonly retries?: Partial<Retries>;
  /** Called for every attempt that is repeated, and for every parameter that a server does not support. */
  readonly log?: (message: string) => void;
}

/** Maximum length of an answer in characters: a server that never stops must not exhaust the memory. */
const MAX_ANSWER = 64 * 1024 * 1024;

/** How long to look for a server that could not be reached. */
const LOOK_MS = 5000;

const NOT_SENT = "the request was not sent, because the server could not be reached a moment ago either";

export function createOpenaiModel(settings: OpenaiSettings = {}): LanguageModel {
  const baseUrl = settings.baseUrl ?? OPENAI_BASE_URL;
  const timeouts = { ...DEFAULT_TIMEOUTS, ...settings.timeouts };
  const limits = { characters: MAX_ANSWER, restMs: timeouts.restMs };
  const retries = { ...DEFAULT_RETRIES, ...settings.retries };
  const log = settings.log ?? (() => {});
  /** What each model of this server understands; stored after a success only, so that a wrong guess is forgotten. */
  const dialects = new Map<string, Dialect>();
  const secrets = [...(settings.apiKey ? [settings.apiKey] : []), ...secretsIn(settings.headers)];
  const breaker = new CircuitBreaker(() => isReachable({ ...settings, baseUrl }, LOOK_MS));
  const client = memoizeSuccess(() => connect(baseUrl, settings.apiKey, settings.headers));

  async function ask(
    body: Readonly<Record<string, unknown>>,
    party: Party,
    watchdog: Watchdog,
    onText: ChatOptions["onText"],
  ): Promise<ChatAnswer> {
    const { send } = await client();
    watchdog.onSending(baseUrl);
    const response = await send(body, watchdog.signal);
    watchdog.onAnswer();
    return readAnswer(response, party, () => watchdog.onBytes(), onText, limits);
  }

  async function complete(request: ChatRequest, options: ChatOptions = {}): Promise<ChatAnswer> {
    const party: Party = {
      host: hostOf(baseUrl),
      model: request.model,
      secrets,
    };
    const problem = await breaker.check(party);
    if (problem !== undefined) throw problem.toLlmError(1, NOT_SENT);
    const endsAt = performance.now() + timeouts.totalMs;
    let dialect = dialects.get(request.model) ?? PLAIN_DIALECT;
    let asked = request;
    const again = async (failure: Failure): Promise<void> => {
      asked = (await options.repeat?.(asked, failure.sent).catch(rethrowBecause(failure))) ?? asked;
      options.onText?.("");
    };
    for (let attempt = 1; ; ) {
      using watchdog = new Watchdog(party, timeouts, endsAt, options.signal);
      try {
        watchdog.signal.throwIfAborted();
        const answer = await watchdog.race(ask(adapt(asked, dialect), party, watchdog, options.onText));
        dialects.set(request.model, dialect);
        breaker.onAnswer();
        return answer;
      } catch (error) {
        if (watchdog.signal.aborted) throw watchdog.signal.reason;
        const failure = Failure.from(error, party);
        const simpler = learn(failure, asked, dialect);
        if (simpler !== undefined) {
          log(`${party.host}: ${request.model}: ${simpler.lesson}`);
          dialect = simpler.dialect;
          await again(failure);
          continue;
        }
        const delay = delayBefore(failure, attempt, retries, endsAt - performance.now());
        if (typeof delay === "string") {
          breaker.onFailure(failure);
          throw failure.toLlmError(attempt, delay);
        }
        log(
          `${failure.message}; trying again in ${(delay / 1000).toFixed(1)} s (attempt ${attempt} of ${retries.attempts})`,
        );
        await pause(delay, options.signal, () => createCancellation(party, failure.sent));
        attempt += 1;
        await again(failure);
      }
    }
  }

  return {
    async complete(request, options) {
      try {
        return await complete(request, options);
      } catch (error) {
        if (error instanceof LlmError) throw error;
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        throw new LlmError("server", `internal error while asking ${request.model}: ${scrub(text, secrets)}`);
      }
    },
  };
}

/** Explains why a request was about to be sent again, when that was not allowed. */
function rethrowBecause(failure: Failure): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof LlmError)) throw error;
    throw new LlmError(error.kind, `${error.message} (retrying because ${failure.message})`, { cause: error });
  };
}

/** Loads the client and prepares a request, which takes some 50 ms, before the first real request. Sends nothing. */
export async function prepareClient(): Promise<void> {
  await (await connect(OPENAI_BASE_URL, undefined)).draft();
}

async function connect(baseUrl: string, apiKey: string | undefined, headers: OpenaiSettings["headers"] = {}) {
  const { default: OpenAI } = await import("openai");
  class Client extends OpenAI {
    async readStatusError(response: Response): Promise<Error> {
      const text = await response.text();
      const { status, headers } = response;
      const body = parseError(text);
      return body === undefined
        ? OpenAI.APIError.generate(status, undefined, text, headers)
        : this.makeStatusError(status, body, undefined, headers);
    }
  }
  const { address, search } = splitAddress(baseUrl);
  const client = new Client({
    baseURL: address,
    defaultQuery: Object.fromEntries(new URLSearchParams(search)),
    apiKey: apiKey ?? "none",
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    maxRetries: 0,
    // The watchdog is the deadline; the client's own timeout only has to be longer.
    timeout: 2 ** 31 - 1,
    logLevel: "off",
    fetch: fetchFollowing,
    // Without a key no Authorization is sent, unless a header contains it.
    defaultHeaders: { Authorization: null, ...keyHeaders(baseUrl, apiKey), ...headers },
  });
  /** Everything that is the same for all requests. */
  const draft = memoizeSuccess(() => client.buildRequest({ method: "post", path: "/chat/completions", body: {} }));
  return {
    async send(body: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<Response> {
      const { url, req } = await draft();
      const init = { method: "POST", headers: req.headers, body: canonicalJsonBytes(body), signal };
      const response = await fetchFollowing(url, init).catch((cause: unknown) => {
        throw new OpenAI.APIConnectionError({ message: messageOf(cause), cause: asError(cause) });
      });
      if (!response.ok) throw await client.readStatusError(response);
      return response;
    },
    draft,
  };
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}

/** Undefined if it is not JSON, or says nothing. */
function parseError(text: string): object | undefined {
  try {
    return JSON.parse(text) || undefined;
  } catch {
    return undefined;
  }
}

function hostOf(baseUrl: string): string {
  return URL.canParse(baseUrl) ? new URL(baseUrl).host : "the base URL";
}
