import { type ChatUsage, LlmError } from "../../llm/llm.ts";
import { costOf, type Price } from "../../llm/prices.ts";

export interface BudgetLimits {
  /** The number of requests. */
  readonly calls?: number;
  /** Input and output tokens together. */
  readonly tokens?: number;
  readonly usd?: number;
}

/** How much may be spent before a person must allow more. Exactly one of the two is set. */
export type ConfirmStep = { readonly calls: number } | { readonly usd: number };

/** The spending so far. `usage.json` has it as JSON. */
export interface Spending {
  readonly calls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** The cost of the calls with a known price. */
  readonly usd: number;
  /** Calls to models with an unknown price. Their tokens are counted, but not their cost. */
  readonly unpricedCalls: number;
  /** Reserved by running calls. */
  readonly reserved: { readonly calls: number; readonly tokens: number; readonly usd: number };
  readonly limits: BudgetLimits;
  /** What may be spent until somebody confirms more. Absent without --confirm-over. */
  readonly confirmed?: ConfirmStep;
}

/** What a call needs from the budget. */
export interface Need {
  readonly model: string;
  /** The number of tokens sent. */
  readonly input: number;
  /** The preferred maximum length of the answer. */
  readonly answer: number;
  /** A shorter length that is probably enough. It is reserved instead of waiting for running calls to settle. */
  readonly enough: number;
  readonly price: Price | undefined;
  /** The factor by which our count is multiplied for the reservation, because servers use other vocabularies. */
  readonly margin: number;
}

export interface Reservation {
  /** The granted length of the answer: the preferred length, or as much as the budget permits. */
  readonly answer: number;
  /** Releases the reservation and records the actual use. */
  settle(used: Used): void;
}

/** The actual use of a call. */
export interface Used {
  /** Whether the call may have reached the server. Then it counts against the limit, whatever its outcome. */
  readonly sent: boolean;
  /** Absent if the server did no work that it charges for. */
  readonly usage?: ChatUsage | undefined;
  /** Whether the server did not report the usage. Its own count may then be higher by the margin of the reservation. */
  readonly estimated?: boolean | undefined;
}

/** A call with a shorter answer is not worth making, because it would be truncated. */
const SHORTEST_ANSWER = 512;

interface Room {
  readonly calls: number;
  readonly tokens: number;
  readonly usd: number;
}

interface LedgerWaiter {
  readonly need: Need;
  readonly resolve: (reservation: Reservation) => void;
  readonly reject: (error: LlmError) => void;
}

/**
 * Records what a budget has spent and reserved.
 *
 * Invariant: spending and reservations together stay within the limits, as long as calls do not use more than they
 * reserved. Each repetition of a request is a call.
 */
export class Ledger {
  readonly #limits: BudgetLimits;
  readonly #step: ConfirmStep | undefined;
  readonly #howToAllow: () => string | undefined;
  /** What may be spent in all. */
  #confirmed: ConfirmStep | undefined;
  readonly #spent = { calls: 0, inputTokens: 0, outputTokens: 0, usd: 0, unpricedCalls: 0 };
  readonly #reserved = { calls: 0, tokens: 0, usd: 0 };
  /** What calls may have cost beyond their recorded use. It is never released and never shown. */
  readonly #doubtful = { tokens: 0, usd: 0 };
  /** In order of arrival. No call overtakes another one, because a long answer might then wait forever. */
  readonly #waiting: LedgerWaiter[] = [];

  constructor(limits: BudgetLimits, step?: ConfirmStep, howToAllow: () => string | undefined = () => undefined) {
    this.#howToAllow = howToAllow;
    this.#limits = limits;
    this.#step = step;
    this.#confirmed = step;
  }

  get spending(): Spending {
    return {
      ...this.#spent,
      reserved: { ...this.#reserved },
      limits: this.#limits,
      ...(this.#confirmed && { confirmed: this.#confirmed }),
    };
  }

  /** Somebody has confirmed: from now on, as much again may be spent. Returns that, or undefined without --confirm-over. */
  allow(): ConfirmStep | undefined {
    const step = this.#step;
    if (step === undefined) return undefined;
    this.#confirmed = "calls" in step ? { calls: this.#spent.calls + step.calls } : { usd: this.#spent.usd + step.usd };
    this.#serve();
    return step;
  }

  /**
   * Reserves the maximum cost of a call. Waits while the rest of the budget is reserved but not spent, because a complete
   * answer later is better than a short one now. Rejects with LlmError "quota" if the call exceeds the unspent budget.
   */
  reserve(need: Need, signal: AbortSignal | undefined): Promise<Reservation> {
    return new Promise((resolve, reject) => {
      const rejectAsCancelled = () => reject(new LlmError("cancelled", `the request to ${need.model} was cancelled`));
      if (signal?.aborted) return rejectAsCancelled();
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        rejectAsCancelled();
        this.#serve();
      };
      const over = () => signal?.removeEventListener("abort", giveUp);
      const waiter: LedgerWaiter = {
        need,
        resolve: (reservation) => {
          over();
          resolve(reservation);
        },
        reject: (error) => {
          over();
          reject(error);
        },
      };
      signal?.addEventListener("abort", giveUp, { once: true });
      this.#waiting.push(waiter);
      this.#serve();
    });
  }

  /** The longest answer that the unspent budget permits, ignoring reservations. 0 if it is too short for a call. */
  longestAnswer(need: Need): number {
    return this.#answerIn(this.#room(false), need);
  }

  /** Grants or refuses waiting calls in order, as far as possible. */
  #serve(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const { need, resolve, reject } = next;
      if (this.longestAnswer(need) === 0) {
        this.#waiting.shift();
        reject(this.#createRefusal(need));
        continue;
      }
      const answer = this.#grant(need);
      if (answer === undefined) return;
      this.#waiting.shift();
      resolve(this.#book({ ...need, answer }));
    }
  }

  /** The length of the answer that a call may have now. Undefined if it must wait for others to settle. */
  #grant(need: Need): number | undefined {
    const now = this.#answerIn(this.#room(true), need);
    if (now === need.answer || (now > 0 && this.#reserved.calls === 0)) return now;
    return now >= need.enough ? need.enough : undefined;
  }

  #limitsNow(): BudgetLimits {
    const confirmed = this.#confirmed;
    if (confirmed === undefined) return this.#limits;
    const { calls = Number.POSITIVE_INFINITY, usd = Number.POSITIVE_INFINITY } = this.#limits;
    return "calls" in confirmed
      ? { ...this.#limits, calls: Math.min(calls, confirmed.calls) }
      : { ...this.#limits, usd: Math.min(usd, confirmed.usd) };
  }

  /** What the limits leave after spending and, optionally, reservations. */
  #room(withReserved: boolean, { calls, tokens, usd } = this.#limitsNow()): Room {
    const held = withReserved ? this.#reserved : { calls: 0, tokens: 0, usd: 0 };
    const { inputTokens, outputTokens } = this.#spent;
    return {
      calls: (calls ?? Number.POSITIVE_INFINITY) - this.#spent.calls - held.calls,
      tokens: (tokens ?? Number.POSITIVE_INFINITY) - inputTokens - outputTokens - this.#doubtful.tokens - held.tokens,
      usd: (usd ?? Number.POSITIVE_INFINITY) - this.#spent.usd - this.#doubtful.usd - held.usd,
    };
  }

  /** The longest answer that fits into the room. 0 if it is too short for a call. */
  #answerIn(room: Room, { input, answer, price, margin }: Need): number {
    if (room.calls < 1) return 0;
    const usdLeft = price ? room.usd / margin - costOf(price, input, 0) : Number.POSITIVE_INFINITY;
    const forUsd =
      price && price.output > 0 ? (usdLeft * 1_000_000) / price.output : usdLeft < 0 ? 0 : Number.POSITIVE_INFINITY;
    const longest = Math.floor(Math.min(answer, room.tokens / margin - input, forUsd));
    return longest >= Math.min(answer, SHORTEST_ANSWER) ? longest : 0;
  }

  #book({ input, answer, price, margin }: Need): Reservation {
    // Round up, but ignore the error of floating-point numbers.
    const tokens = Math.ceil((input + answer) * margin - 1e-6);
    const usd = price ? costOf(price, input, answer) * margin : 0;
    this.#reserved.calls += 1;
    this.#reserved.tokens += tokens;
    this.#reserved.usd += usd;
    return {
      answer,
      settle: ({ sent, usage, estimated }) => {
        this.#reserved.calls -= 1;
        const last = this.#reserved.calls === 0;
        this.#reserved.tokens = last ? 0 : this.#reserved.tokens - tokens;
        this.#reserved.usd = last ? 0 : this.#reserved.usd - usd;
        if (sent) this.#spent.calls += 1;
        if (usage !== undefined) this.#spend(usage, price);
        if (usage !== undefined && estimated === true) this.#noteDoubt(usage, price, margin - 1);
        this.#serve();
      },
    };
  }

  #spend({ inputTokens, outputTokens }: ChatUsage, price: Price | undefined): void {
    this.#spent.inputTokens += inputTokens;
    this.#spent.outputTokens += outputTokens;
    if (price) this.#spent.usd += costOf(price, inputTokens, outputTokens);
    else this.#spent.unpricedCalls += 1;
  }

  #describeUncertainty(): string {
    return this.#doubtful.tokens === 0 ? "" : " (an estimate, because not every call was reported by its server)";
  }

  #noteDoubt({ inputTokens, outputTokens }: ChatUsage, price: Price | undefined, part: number): void {
    this.#doubtful.tokens += (inputTokens + outputTokens) * part;
    if (price) this.#doubtful.usd += costOf(price, inputTokens, outputTokens) * part;
  }

  #createRefusal(need: Need): LlmError {
    const room = this.#room(false, this.#limits);
    if (this.#step !== undefined && this.#answerIn(room, need) > 0) return this.#createQuestion(this.#step);
    const { input, answer, price, margin } = need;
    const { calls, inputTokens, outputTokens, usd } = this.#spent;
    const least = Math.min(answer, SHORTEST_ANSWER);
    const next = `the next call sends about ${input} tokens and needs ${least} for the answer`;
    const cost = price ? `, up to $${(costOf(price, input, least) * margin).toFixed(4)} in total` : "";
    const spent =
      room.calls < 1
        ? `--max-calls ${this.#limits.calls} is used up: ${calls} ${calls === 1 ? "call was" : "calls were"} made`
        : room.tokens / margin - input < least
          ? `--max-tokens ${this.#limits.tokens} leaves too little: ${inputTokens + outputTokens} were used${this.#describeUncertainty()}, and ${next}`
          : `--max-usd ${this.#limits.usd} leaves too little: $${usd.toFixed(4)} were used${this.#describeUncertainty()}, and ${next}${cost}`;
    const cure = "Recorded answers still work and cost nothing; to generate more, start with a higher limit";
    return new LlmError("quota", `the budget ${spent}. ${cure}`);
  }

  /** Only --confirm-over refuses the call. */
  #createQuestion(step: ConfirmStep): LlmError {
    const { calls, usd } = this.#spent;
    const requests = (count: number) => `${count} ${count === 1 ? "request" : "requests"}`;
    const limit = "calls" in step ? requests(step.calls) : `$${step.usd}`;
    const spent = `${requests(calls)} ${calls === 1 ? "was" : "were"} made${"usd" in step ? `, for $${usd.toFixed(4)}` : ""}`;
    const how = this.#howToAllow();
    const cure =
      how === undefined
        ? "To allow more, start with a higher limit"
        : `To allow ${limit} more, ${how}; or start with a higher limit`;
    return new LlmError("quota", `--confirm-over: more than ${limit} would be spent; ${spent}. ${cure}`);
  }
}
