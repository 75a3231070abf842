/**
 * Limits to what a mount may spend, checked before a call is made.
 *
 * A call reserves the most it may cost: its input, counted, and the longest answer it may get, which the server is told
 * as its limit. So calls that run at once cannot overshoot together. Both are reserved with a margin, because servers
 * count by vocabularies of their own; an answer that uses up its reservation is cut off.
 *
 * A request that sets no limit gets a modest one first, so that many calls fit into a small budget side by side. If its
 * answer turns out to be longer, it is requested once more with all the room there is.
 *
 * Put it below the recordings: what is recorded costs nothing, and what is left must not change the requests' keys.
 */
import {
  type ChatAnswer,
  type ChatOptions,
  type ChatRequest,
  type ChatUsage,
  type LanguageModel,
  LlmError,
} from "../../llm/llm.ts";
import { costOf, type PriceOf, withoutPrice } from "../../llm/prices.ts";
import { Experience } from "./experience.ts";
import { type BudgetLimits, Ledger, type Need, type Reservation, type Spending, type Used } from "./ledger.ts";
import { countTokens, loadTokenCounter, RunningCount, type TokenCounter } from "./tokens.ts";

export type { BudgetLimits, Spending } from "./ledger.ts";

export interface BudgetOptions {
  readonly limits?: BudgetLimits;
  readonly priceOf: PriceOf;
  readonly warn?: (message: string) => void;
  /** The longest answer of a call that names no limit itself, where the budget has one. Default 32,768 tokens. */
  readonly longestAnswer?: number;
}

export interface Budget {
  /** The same model, within the budget. Several may share one. */
  limit(model: LanguageModel): LanguageModel;
  readonly spent: Spending;
}

export function createBudget(options: BudgetOptions): Budget {
  const { limits = {}, priceOf, warn = () => {}, longestAnswer = 32_768 } = options;
  const ledger = new Ledger(limits);
  const experiences = new Map<string, Experience>();
  const warned = new Set<string>();

  function warnOnce(about: string, message: string): void {
    if (!warned.has(about)) warn(message);
    warned.add(about);
  }

  function experienceOf({ model, schema }: ChatRequest): Experience {
    const kind = `${schema?.name ?? ""} ${model}`;
    const known = experiences.get(kind) ?? new Experience(schema !== undefined);
    experiences.set(kind, known);
    return known;
  }

  /** Limits of tokens or money apply to the model: then tokens are counted, and the tokenizer is loaded for that. */
  function isBounded(model: string): boolean {
    const price = priceOf(model);
    if (limits.usd !== undefined && price === undefined) warnOnce(`price of ${model}`, withoutPrice(model));
    return limits.tokens !== undefined || (limits.usd !== undefined && price !== undefined);
  }

  async function complete(model: LanguageModel, request: ChatRequest, options: ChatOptions): Promise<ChatAnswer> {
    const bounded = isBounded(request.model);
    const input = bounded ? await countInput(request, options.signal) : 0;
    const known = experienceOf(request);
    const own = request.maxTokens;
    const needOf = (answer: number, enough: number): Need => {
      const margin = bounded ? known.margin : 1;
      return { model: request.model, input, answer, enough, price: priceOf(request.model), margin };
    };
    const call: BudgetedCall = { model, request, options, bounded, input };
    const first = own ?? Math.min(longestAnswer, known.usual);
    const short = await runAttempt(call, needOf(first, own ?? Math.min(first, known.enough)));
    if (!("cutOff" in short)) return short;
    const most = own ?? longestAnswer;
    const longer = needOf(most, most);
    if (!mayGrow(short, call) || ledger.longestAnswer(longer) <= short.allowed) throw explainFailure(short, call, most);
    options.onText?.("");
    const whole = await runAttempt(call, longer).catch((error: unknown) => {
      throw error instanceof LlmError && error.kind === "quota" ? withCause(error, short.cutOff) : error;
    });
    if ("cutOff" in whole) throw explainFailure(whole, call, most);
    return whole;
  }

  /** One reservation and what is made of it. Rejects with LlmError for everything but an answer that was cut off. */
  async function runAttempt(call: BudgetedCall, need: Need): Promise<ChatAnswer | CutOff> {
    const { request, options, bounded } = call;
    /** Of the request that is under way. */
    let reservation: Reservation | undefined;
    let allowed = need.answer;
    const cut = new AbortController();
    const heard = new Heard(options.onText, bounded ? await loadTokenCounter() : undefined, () => {
      cut.abort(createTooLongError(request.model, allowed));
    });
    const settle = (used: Used) => {
      reservation?.settle(used);
      reservation = undefined;
    };
    const within = async (asked: ChatRequest): Promise<ChatRequest> => {
      reservation = await ledger.reserve(need, options.signal);
      allowed = reservation.answer;
      heard.most = bounded ? allowed * CUT_AT : Number.POSITIVE_INFINITY;
      return bounded ? { ...asked, maxTokens: allowed } : asked;
    };
    try {
      const whole = await call.model.complete(await within(request), {
        ...options,
        ...(bounded && { signal: options.signal ? AbortSignal.any([options.signal, cut.signal]) : cut.signal }),
        onText: heard.listen,
        async repeat(asked, sent) {
          const usage = heard.text === "" ? undefined : await usageOf(call, heard.text, undefined, allowed);
          settle({ sent, usage, estimated: true });
          return within(asked);
        },
      });
      const usage = await usageOf(call, whole.text, whole.usage, allowed);
      if (bounded && usage.outputTokens > allowed) tellLonger(request.model, usage.outputTokens, allowed);
      settle({ sent: true, usage, estimated: isEstimated(usage, whole.usage) });
      return need.price ? { ...whole, usd: costOf(need.price, usage.inputTokens, usage.outputTokens) } : whole;
    } catch (error) {
      const failure = cut.signal.aborted ? cut.signal.reason : error;
      if (reservation !== undefined) {
        const free = heard.text === "" && wasFree(failure);
        const reported = failure instanceof LlmError ? failure.usage : undefined;
        const usage = free ? undefined : await usageOf(call, heard.text, reported, allowed);
        const estimated = isEstimated(usage, reported);
        settle({ sent: !(failure instanceof LlmError) || failure.sent, usage, estimated });
      }
      if (failure instanceof LlmError && (cut.signal.aborted || failure.kind === "truncated")) {
        return { cutOff: failure, allowed };
      }
      throw failure;
    } finally {
      settle({ sent: false });
    }
  }

  /** What a call has used: as its server says, where that can be true, else as it is counted here. */
  async function usageOf(
    { request, bounded, input }: BudgetedCall,
    answer: string,
    reported: ChatUsage | undefined,
    allowed: number,
  ): Promise<ChatUsage> {
    if (!bounded && reported !== undefined) return reported;
    const counted = {
      inputTokens: bounded ? input : await countInputTokens(request),
      outputTokens: await countTokens(answer),
    };
    if (bounded) experienceOf(request).learn(counted, reported, allowed);
    return {
      inputTokens: chooseCount(counted.inputTokens, reported?.inputTokens),
      outputTokens: chooseCount(counted.outputTokens, reported?.outputTokens),
    };
  }

  /** What such a server spends can be counted, and not be held back. */
  function tellLonger(model: string, tokens: number, allowed: number): void {
    const what = `${model} gave an answer of ${tokens} tokens where ${allowed} were allowed: its server ignores the limit`;
    warnOnce(`length of ${model}`, `${what}, so more is set aside for its next calls`);
  }

  return {
    get spent() {
      return ledger.spending;
    },
    limit: (model) => ({ complete: (request, options = {}) => complete(model, request, options) }),
  };
}

interface BudgetedCall {
  readonly model: LanguageModel;
  readonly request: ChatRequest;
  readonly options: ChatOptions;
  /** Limits of tokens or money apply to it. */
  readonly bounded: boolean;
  /** Tokens sent, where it is bounded. */
  readonly input: number;
}

/** An answer that was longer than it was allowed to be. */
interface CutOff {
  readonly cutOff: LlmError;
  readonly allowed: number;
}

/** What came in of the answer that is under way: one that breaks off may have cost as much as a whole one. */
class Heard {
  readonly #onText: ChatOptions["onText"];
  readonly #count: TokenCounter | undefined;
  readonly #tooMuch: () => void;
  /** Tokens that the answer may have. */
  most = Number.POSITIVE_INFINITY;
  text = "";
  #tokens: RunningCount | undefined;
  /** The length at which the count is looked at next. */
  #next = 0;

  constructor(onText: ChatOptions["onText"], count: TokenCounter | undefined, tooMuch: () => void) {
    this.#onText = onText;
    this.#count = count;
    this.#tooMuch = tooMuch;
  }

  readonly listen = (delta: string): void => {
    if (delta === "") this.#reset();
    else this.#take(delta);
    this.#onText?.(delta);
  };

  #reset(): void {
    this.text = "";
    this.#tokens = undefined;
    this.#next = 0;
  }

  #take(delta: string): void {
    this.text += delta;
    // A token has at least one byte, and a UTF-16 unit at most three: what is shorter cannot be too long.
    if (this.#count === undefined || this.text.length * 3 <= this.most) return;
    if (this.#tokens === undefined) {
      this.#tokens = new RunningCount(this.#count);
      delta = this.text;
    }
    this.#tokens.add(delta);
    if (this.text.length < this.#next) return;
    this.#next = this.text.length + LOOK_AGAIN;
    if (this.#tokens.tokens > this.most) this.#tooMuch();
  }
}

/** The count of what has come in is looked at after so many more characters. */
const LOOK_AGAIN = 32;

/** An answer is cut off when it is this much longer than its server was told, within the margin of its reservation. */
const CUT_AT = 1.125;

function createTooLongError(model: string, allowed: number): LlmError {
  const what = `${model} went on after the ${allowed} tokens that the budget left for its answer; it was cut off, and is not used`;
  return new LlmError("quota", `${what}: the server ignores the limit; start with a higher one, or ask for less`);
}

/** Below this part of what is counted here, a server's own count is a mistake and no other vocabulary. */
const PLAUSIBLE = 0.75;

function chooseCount(counted: number, reported: number | undefined): number {
  return reported === undefined || reported < counted * PLAUSIBLE ? counted : reported;
}

/** Whether some of it is what was counted here. */
function isEstimated(usage: ChatUsage | undefined, reported: ChatUsage | undefined): boolean {
  return usage?.inputTokens !== reported?.inputTokens || usage?.outputTokens !== reported?.outputTokens;
}

/** Failures before the server did any work that it charges for. */
function wasFree(error: unknown): boolean {
  const free = ["unconfigured", "refused-key", "no-connection", "rate-limited", "quota", "bad-request", "recordings"];
  return error instanceof LlmError && (!error.sent || free.includes(error.kind));
}

/** Why an answer was cut off that could not be longer. `most` is the longest that a call gets which has all the room. */
function explainFailure(short: CutOff, call: BudgetedCall, most: number): LlmError {
  const { cutOff, allowed } = short;
  if (!mayGrow(short, call) || cutOff.kind !== "truncated") return cutOff;
  if (allowed < most) {
    const why = `the budget left ${allowed} tokens for the answer; start with a higher limit to generate more`;
    return new LlmError("quota", `${cutOff.message}: ${why}`, { cause: cutOff });
  }
  if (call.request.maxTokens !== undefined) return cutOff;
  const why = `with --max-tokens or --max-usd an answer that sets no limit of its own has at most ${most} tokens`;
  return new LlmError("truncated", `${cutOff.message}: ${why}`, { cause: cutOff });
}

/** Whether the limit we set was the reason, and not one of the server's own. */
function mayGrow({ cutOff, allowed }: CutOff, { bounded }: BudgetedCall): boolean {
  return bounded && (cutOff.usage?.outputTokens ?? allowed) >= allowed * PLAUSIBLE;
}

function withCause(error: LlmError, cause: LlmError): LlmError {
  return new LlmError(error.kind, `${error.message} (requested once more because ${cause.message})`, { cause });
}

async function countInput(request: ChatRequest, signal: AbortSignal | undefined): Promise<number> {
  try {
    return await countInputTokens(request, signal);
  } catch (cause) {
    if (signal?.aborted !== true) throw cause;
    throw new LlmError("cancelled", `the request to ${request.model} was cancelled before it was sent`, { cause });
  }
}

/** What a message costs beside its text: role and separators. */
const PER_MESSAGE = 8;

/** Tokens that a request sends, counted here. */
export async function countInputTokens({ messages, schema }: ChatRequest, signal?: AbortSignal): Promise<number> {
  const about = signal === undefined ? {} : { signal };
  let tokens = schema === undefined ? 0 : await countTokens(JSON.stringify(schema.schema), about);
  for (const { content } of messages) tokens += (await countTokens(content, about)) + PER_MESSAGE;
  return tokens;
}
