/**
 * Limits the spending of a mount, checked before each call.
 *
 * A call reserves its maximum cost: its counted input and the longest answer it may get, which is sent to the server as a
 * limit. So parallel calls cannot exceed the budget together. Both are reserved with a margin, because servers use other
 * vocabularies. An answer that uses up its reservation is cut off.
 *
 * A request without a limit gets a modest one first, so that many parallel calls fit into a small budget. If the answer is
 * longer, it is requested once more with all the remaining room.
 *
 * Put it below the recordings: recorded answers cost nothing, and the remaining budget must not change request keys.
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
import {
  type BudgetLimits,
  type ConfirmStep,
  Ledger,
  type Need,
  type Reservation,
  type Spending,
  type Used,
} from "./ledger.ts";
import { countTokens, loadTokenCounter, RunningCount, type TokenCounter } from "./tokens.ts";

export type { BudgetLimits, ConfirmStep, Spending } from "./ledger.ts";

export interface BudgetOptions {
  readonly limits?: BudgetLimits;
  /** After each step, calls fail until somebody allows the next one. */
  readonly confirmOver?: ConfirmStep;
  /** How a user allows as much again, for messages: "run: …". Undefined: it is not possible. */
  readonly howToAllow?: () => string | undefined;
  readonly priceOf: PriceOf;
  readonly warn?: (message: string) => void;
  /** The maximum answer for a call without a limit, if the budget has one. Default: 32,768 tokens. */
  readonly longestAnswer?: number;
}

export interface Budget {
  /** Wraps a model to stay within the budget. Several models may share a budget. */
  limit(model: LanguageModel): LanguageModel;
  readonly spent: Spending;
  /** Allows as much again as `confirmOver`, and returns it; undefined without it. */
  allow(): ConfirmStep | undefined;
}

export function createBudget(options: BudgetOptions): Budget {
  const { limits = {}, confirmOver, priceOf, warn = () => {}, longestAnswer = 32_768 } = options;
  const ledger = new Ledger(limits, confirmOver, options.howToAllow);
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

  /** Whether limits on tokens or money apply to the model. Then tokens are counted, which loads the tokenizer. */
  function isBounded(model: string): boolean {
    const price = priceOf(model);
    const usd = limits.usd !== undefined || (confirmOver !== undefined && "usd" in confirmOver);
    if (usd && price === undefined) warnOnce(`price of ${model}`, withoutPrice(model));
    return limits.tokens !== undefined || (usd && price !== undefined);
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

  /** Makes one reservation and one call. Rejects with LlmError, except for an answer that was cut off. */
  async function runAttempt(call: BudgetedCall, need: Need): Promise<ChatAnswer | CutOff> {
    const { request, options, bounded } = call;
    /** The reservation of the running request. */
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
          return within((await options.repeat?.(asked, sent)) ?? asked);
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

  /** What a call has used: the server's report if it is plausible, otherwise our own count. */
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

  /** Warns about a server that ignores the limit. Its spending can be counted, but not prevented. */
  function tellLonger(model: string, tokens: number, allowed: number): void {
    const what = `${model} returned ${tokens} tokens although the limit was ${allowed}: its server ignores the limit`;
    warnOnce(`length of ${model}`, `${what}, so its next calls reserve more`);
  }

  return {
    get spent() {
      return ledger.spending;
    },
    allow: () => ledger.allow(),
    limit: (model) => ({ complete: (request, options = {}) => complete(model, request, options) }),
  };
}

interface BudgetedCall {
  readonly model: LanguageModel;
  readonly request: ChatRequest;
  readonly options: ChatOptions;
  /** Whether limits on tokens or money apply. */
  readonly bounded: boolean;
  /** The number of tokens sent, if it is bounded. */
  readonly input: number;
}

/** An answer that exceeded its limit. */
interface CutOff {
  readonly cutOff: LlmError;
  readonly allowed: number;
}

/** The received part of a running answer. An answer that breaks off may cost as much as a complete one. */
class Heard {
  readonly #onText: ChatOptions["onText"];
  readonly #count: TokenCounter | undefined;
  readonly #tooMuch: () => void;
  /** The maximum tokens of the answer. */
  most = Number.POSITIVE_INFINITY;
  text = "";
  #tokens: RunningCount | undefined;
  /** The length at which to check the count again. */
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
    // A token has at least one byte, and a UTF-16 code unit at most three, so a shorter text cannot exceed the limit.
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

/** The number of further characters after which the count is checked again. */
const LOOK_AGAIN = 32;

/** The factor over its limit at which an answer is cut off, within the margin of its reservation. */
const CUT_AT = 1.125;

function createTooLongError(model: string, allowed: number): LlmError {
  const what = `${model} exceeded the ${allowed} tokens that the budget left for its answer, which was cut off and discarded`;
  return new LlmError("quota", `${what}: the server ignores the limit; start with a higher limit, or ask for less`);
}

/** A server's count below this fraction of our own is a mistake, not a different vocabulary. */
const PLAUSIBLE = 0.75;

function chooseCount(counted: number, reported: number | undefined): number {
  return reported === undefined || reported < counted * PLAUSIBLE ? counted : reported;
}

/** Whether some of the usage is our own count. */
function isEstimated(usage: ChatUsage | undefined, reported: ChatUsage | undefined): boolean {
  return usage?.inputTokens !== reported?.inputTokens || usage?.outputTokens !== reported?.outputTokens;
}

/** Whether the failure came before the server did any work that it charges for. */
function wasFree(error: unknown): boolean {
  const free = ["unconfigured", "refused-key", "no-connection", "rate-limited", "quota", "bad-request", "recordings"];
  return error instanceof LlmError && (!error.sent || free.includes(error.kind));
}

/** Explains why an answer was cut off. `most` is the longest answer of a call that has all the room. */
function explainFailure(short: CutOff, call: BudgetedCall, most: number): LlmError {
  const { cutOff, allowed } = short;
  if (!mayGrow(short, call) || cutOff.kind !== "truncated") return cutOff;
  if (allowed < most) {
    const why = `the budget left ${allowed} tokens for the answer; start with a higher limit to generate more`;
    return new LlmError("quota", `${cutOff.message}: ${why}`, { cause: cutOff });
  }
  if (call.request.maxTokens !== undefined) return cutOff;
  const why = `with --max-tokens or --max-usd, an answer without a limit of its own has at most ${most} tokens`;
  return new LlmError("truncated", `${cutOff.message}: ${why}`, { cause: cutOff });
}

/** Whether our limit was the reason, not a limit of the server. */
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

/** The tokens of a message in addition to its text: role and separators. */
const PER_MESSAGE = 8;

/** Counts the tokens that a request sends. */
export async function countInputTokens({ messages, schema }: ChatRequest, signal?: AbortSignal): Promise<number> {
  const about = signal === undefined ? {} : { signal };
  let tokens = schema === undefined ? 0 : await countTokens(JSON.stringify(schema.schema), about);
  for (const { content } of messages) tokens += (await countTokens(content, about)) + PER_MESSAGE;
  return tokens;
}
