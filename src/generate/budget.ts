/**
 * Limits to what a mount may spend, checked before a call is made.
 *
 * A call reserves the most it may cost: its input, counted, and the longest answer it may get, which the server is told
 * as its limit. So calls that run at once cannot overshoot together.
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
} from "../llm/llm.ts";
import { costOf, type PriceOf, withoutPrice } from "../llm/prices.ts";
import { type BudgetLimits, Ledger, type Reservation, type Spending, type Used } from "./ledger.ts";
import { type TokenCounter, tokenCounter } from "./tokens.ts";

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
  const warned = new Set<string>();
  const longer = new Set<string>();

  function checkPrice(model: string): void {
    if (limits.usd === undefined || priceOf(model) !== undefined || warned.has(model)) return;
    warned.add(model);
    warn(withoutPrice(model));
  }

  /** What such a server spends can be counted, and not be held back. */
  function tellLonger(model: string, tokens: number, allowed: number): void {
    if (longer.has(model)) return;
    longer.add(model);
    const what = `${model} gave an answer of ${tokens} tokens where ${allowed} were allowed: its server ignores the limit`;
    warn(`${what}, so that calls which are under way together may spend more than the budget`);
  }

  async function complete(model: LanguageModel, request: ChatRequest, options: ChatOptions): Promise<ChatAnswer> {
    checkPrice(request.model);
    const price = priceOf(request.model);
    const bounded = limits.tokens !== undefined || (limits.usd !== undefined && price !== undefined);
    // Counting means loading the tokenizer: only where a limit needs it.
    const input = bounded ? await inputTokens(request) : 0;
    const answer = request.maxTokens ?? longestAnswer;
    const reserve = () => ledger.reserve({ model: request.model, input, answer, price }, options.signal);
    /** Of the call that is under way. */
    let reservation: Reservation | undefined;
    let longest = answer;
    const cut = new AbortController();
    const heard = new Heard(options.onText, bounded ? await tokenCounter() : undefined, () => {
      cut.abort(tooLong(request.model, longest));
    });
    const settle = (used: Used) => {
      reservation?.settle(used);
      reservation = undefined;
    };
    const within = async (asked: ChatRequest): Promise<ChatRequest> => {
      reservation = await reserve();
      longest = reservation.answer;
      heard.most = longest * SLACK;
      return bounded ? { ...asked, maxTokens: longest } : asked;
    };
    try {
      const whole = await model.complete(await within(request), {
        ...options,
        ...(bounded && { signal: options.signal ? AbortSignal.any([options.signal, cut.signal]) : cut.signal }),
        onText: heard.listen,
        async repeat(asked, sent) {
          settle({ sent, usage: await heard.used(request) });
          return within(asked);
        },
      });
      const usage = whole.usage ?? (await counted(request, whole.text));
      if (bounded && usage.outputTokens > longest) tellLonger(request.model, usage.outputTokens, longest);
      settle({ sent: true, usage });
      return price ? { ...whole, usd: costOf(price, usage.inputTokens, usage.outputTokens) } : whole;
    } catch (error) {
      if (reservation !== undefined) {
        const usage = wasFree(error) ? await heard.used(request) : await counted(request, heard.text);
        settle({ sent: !(error instanceof LlmError) || error.sent, usage });
      }
      if (cut.signal.aborted) throw cut.signal.reason;
      throw explained(error, longest, request.maxTokens, bounded ? answer : undefined);
    } finally {
      settle({ sent: false });
    }
  }

  return {
    get spent() {
      return ledger.spending;
    },
    limit: (model) => ({ complete: (request, options = {}) => complete(model, request, options) }),
  };
}

/** What came in of the answer that is under way: one that breaks off may have cost as much as a whole one. */
class Heard {
  readonly #onText: ChatOptions["onText"];
  readonly #count: TokenCounter | undefined;
  readonly #tooMuch: () => void;
  /** Tokens that the answer may have. */
  most = Number.POSITIVE_INFINITY;
  text = "";
  /** The length at which it is counted next. */
  #next = 0;

  constructor(onText: ChatOptions["onText"], count: TokenCounter | undefined, tooMuch: () => void) {
    this.#onText = onText;
    this.#count = count;
    this.#tooMuch = tooMuch;
  }

  readonly listen = (delta: string): void => {
    this.text = delta === "" ? "" : this.text + delta;
    if (delta === "") this.#next = 0;
    else if (this.text.length >= this.#next) this.#check();
    this.#onText?.(delta);
  };

  /** Counting takes longer the more there is: it is done again when there is an eighth more. */
  #check(): void {
    const { length } = this.text;
    this.#next = Math.max(length + length / 8, this.most / MOST_TOKENS);
    if (length * MOST_TOKENS > this.most && (this.#count?.(this.text) ?? 0) > this.most) this.#tooMuch();
  }

  /** Of a request that is not answered: nothing, if no text came. */
  async used(request: ChatRequest): Promise<ChatUsage | undefined> {
    return this.text === "" ? undefined : counted(request, this.text);
  }
}

/** Tokens of one UTF-16 unit, at most: a token has at least a byte. */
const MOST_TOKENS = 3;

/** Servers count by vocabularies of their own: so much more than was allowed is no longer a matter of that. */
const SLACK = 1.25;

function tooLong(model: string, allowed: number): LlmError {
  const what = `${model} went on after the ${allowed} tokens that the budget left for its answer; it was cut off, and is not used`;
  return new LlmError("quota", `${what}: the server ignores the limit; start with a higher one, or ask for less`);
}

/** What a server does not tell is counted here. */
async function counted(request: ChatRequest, answer: string): Promise<ChatUsage> {
  return { inputTokens: await inputTokens(request), outputTokens: await tokensIn(answer) };
}

/** Failures before the server did any work that it charges for. */
function wasFree(error: unknown): boolean {
  const free = ["unconfigured", "refused-key", "no-connection", "rate-limited", "quota", "bad-request", "recordings"];
  return error instanceof LlmError && (!error.sent || free.includes(error.kind));
}

/**
 * An answer cut off because the budget allowed no longer one is the budget's doing. `usual` is the limit of those that
 * name none, where there is one.
 */
function explained(error: unknown, allowed: number, named: number | undefined, usual: number | undefined): unknown {
  if (!(error instanceof LlmError) || error.kind !== "truncated" || usual === undefined) return error;
  if (allowed < usual) {
    const why = `the budget left ${allowed} tokens for the answer; start with a higher limit to generate more`;
    return new LlmError("quota", `${error.message}: ${why}`, { cause: error });
  }
  if (named !== undefined) return error;
  const why = `with --max-tokens or --max-usd an answer that sets no limit of its own has at most ${usual} tokens`;
  return new LlmError("truncated", `${error.message}: ${why}`, { cause: error });
}

/** What a message costs beside its text: role and separators. */
const PER_MESSAGE = 8;

/** Tokens that a request sends, counted here. */
export async function inputTokens({ messages, schema }: ChatRequest): Promise<number> {
  const count = await tokenCounter();
  const text = messages.reduce((sum, { content }) => sum + count(content) + PER_MESSAGE, 0);
  return text + (schema ? count(JSON.stringify(schema.schema)) : 0);
}

async function tokensIn(text: string): Promise<number> {
  return text === "" ? 0 : (await tokenCounter())(text);
}
