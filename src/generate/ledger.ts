import { type ChatUsage, LlmError } from "../llm/llm.ts";
import { costOf, type Price } from "../llm/prices.ts";

export interface BudgetLimits {
  /** Requests. */
  readonly calls?: number;
  /** Input and output tokens together. */
  readonly tokens?: number;
  readonly usd?: number;
}

/** What was spent so far. JSON-able: it is what `usage.json` shows. */
export interface Spending {
  readonly calls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Of the calls whose price is known. */
  readonly usd: number;
  /** Calls to models whose price is not known; their tokens are counted, their cost is not. */
  readonly unpricedCalls: number;
  /** Reserved by calls under way. */
  readonly reserved: { readonly calls: number; readonly tokens: number; readonly usd: number };
  readonly limits: BudgetLimits;
}

/** What a call asks the ledger for. */
export interface Need {
  readonly model: string;
  /** Tokens sent. */
  readonly input: number;
  /** The longest answer it would like to get. */
  readonly answer: number;
  readonly price: Price | undefined;
}

export interface Reservation {
  /** Tokens the answer may have; as asked for, or what the budget leaves. */
  readonly answer: number;
  /** Gives the reservation back, and books what was really used. */
  settle(used: Used): void;
}

/** What became of a call. */
export interface Used {
  /** Whether it may have reached the server: then it is one of those that are limited, whatever came of it. */
  readonly sent: boolean;
  /** Absent: the server did no work that it charges for. */
  readonly usage?: ChatUsage | undefined;
}

/** Below this a call is not worth making: its answer would be cut off. */
const SHORTEST_ANSWER = 512;

interface Room {
  readonly calls: number;
  readonly tokens: number;
  readonly usd: number;
}

/**
 * The books of a budget.
 *
 * Invariant: what is spent and what is reserved together stay within the limits, as long as calls use no more than
 * they reserved. A request that is repeated is a call each time.
 */
export class Ledger {
  readonly #limits: BudgetLimits;
  readonly #spent = { calls: 0, inputTokens: 0, outputTokens: 0, usd: 0, unpricedCalls: 0 };
  readonly #reserved = { calls: 0, tokens: 0, usd: 0 };
  readonly #waiting = new Set<() => void>();

  constructor(limits: BudgetLimits) {
    this.#limits = limits;
  }

  get spending(): Spending {
    return { ...this.#spent, reserved: { ...this.#reserved }, limits: this.#limits };
  }

  /**
   * Reserves the most a call may cost. Waits while the rest of the budget is reserved but not spent: a whole answer
   * later is better than a short one now. Rejects with LlmError "quota" when it does not fit beside what is spent.
   */
  async reserve(need: Need, signal: AbortSignal | undefined): Promise<Reservation> {
    for (;;) {
      if (signal?.aborted) throw new LlmError("cancelled", `the request to ${need.model} was cancelled`);
      const possible = this.#answerIn(this.#room(false), need);
      if (possible === 0) throw this.#refusal(need);
      const now = this.#answerIn(this.#room(true), need);
      if (now >= possible) return this.#book({ ...need, answer: now });
      await this.#settled(signal);
    }
  }

  /** What the limits leave beside what is spent and, if asked, what is reserved. */
  #room(withReserved: boolean): Room {
    const { calls, tokens, usd } = this.#limits;
    const held = withReserved ? this.#reserved : { calls: 0, tokens: 0, usd: 0 };
    const { inputTokens, outputTokens } = this.#spent;
    return {
      calls: (calls ?? Number.POSITIVE_INFINITY) - this.#spent.calls - held.calls,
      tokens: (tokens ?? Number.POSITIVE_INFINITY) - inputTokens - outputTokens - held.tokens,
      usd: (usd ?? Number.POSITIVE_INFINITY) - this.#spent.usd - held.usd,
    };
  }

  /** The longest answer that fits into the room; 0 if that is too short to be worth a call. */
  #answerIn(room: Room, { input, answer, price }: Need): number {
    if (room.calls < 1) return 0;
    const usdLeft = price ? room.usd - costOf(price, input, 0) : Number.POSITIVE_INFINITY;
    const forUsd =
      price && price.output > 0 ? (usdLeft * 1_000_000) / price.output : usdLeft < 0 ? 0 : Number.POSITIVE_INFINITY;
    const longest = Math.floor(Math.min(answer, room.tokens - input, forUsd));
    return longest >= Math.min(answer, SHORTEST_ANSWER) ? longest : 0;
  }

  #book({ input, answer, price }: Need): Reservation {
    const [tokens, usd] = [input + answer, price ? costOf(price, input, answer) : 0];
    this.#reserved.calls += 1;
    this.#reserved.tokens += tokens;
    this.#reserved.usd += usd;
    return {
      answer,
      settle: ({ sent, usage }) => {
        this.#reserved.calls -= 1;
        this.#reserved.tokens -= tokens;
        this.#reserved.usd = this.#reserved.calls === 0 ? 0 : this.#reserved.usd - usd;
        if (sent) this.#spent.calls += 1;
        if (usage !== undefined) this.#spend(usage, price);
        const woken = [...this.#waiting];
        this.#waiting.clear();
        for (const wake of woken) wake();
      },
    };
  }

  #spend({ inputTokens, outputTokens }: ChatUsage, price: Price | undefined): void {
    this.#spent.inputTokens += inputTokens;
    this.#spent.outputTokens += outputTokens;
    if (price) this.#spent.usd += costOf(price, inputTokens, outputTokens);
    else this.#spent.unpricedCalls += 1;
  }

  /** Resolves when a call under way has settled, or the signal fires. */
  #settled(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake, { once: true });
    });
  }

  #refusal({ input, answer, price }: Need): LlmError {
    const room = this.#room(false);
    const { calls, inputTokens, outputTokens, usd } = this.#spent;
    const least = Math.min(answer, SHORTEST_ANSWER);
    const next = `the next call sends about ${input} tokens and wants room for an answer of ${least}`;
    const cost = price ? `, $${costOf(price, input, least).toFixed(4)} in all` : "";
    const spent =
      room.calls < 1
        ? `--max-calls ${this.#limits.calls} is spent: ${calls} ${calls === 1 ? "call was" : "calls were"} made`
        : room.tokens - input < least
          ? `--max-tokens ${this.#limits.tokens} leaves too little: ${inputTokens + outputTokens} were used, and ${next}`
          : `--max-usd ${this.#limits.usd} leaves too little: $${usd.toFixed(4)} were used, and ${next}${cost}`;
    const cure = "What is recorded still works, and costs nothing again; for more, start with a higher limit";
    return new LlmError("quota", `the budget ${spent}. ${cure}`);
  }
}
