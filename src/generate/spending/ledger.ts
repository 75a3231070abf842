import { type ChatUsage, LlmError } from "../../llm/llm.ts";
import { costOf, type Price } from "../../llm/prices.ts";

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
  /** A shorter answer that is probably long enough: reserved rather than waiting for calls under way to settle. */
  readonly enough: number;
  readonly price: Price | undefined;
  /** How many times the tokens are reserved that are counted here: servers count by vocabularies of their own. */
  readonly margin: number;
}

export interface Reservation {
  /** The longest answer the server may be asked for: as wanted, or what the budget leaves. */
  readonly answer: number;
  /** Returns the reservation and books what was really used. */
  settle(used: Used): void;
}

/** What became of a call. */
export interface Used {
  /** Whether it may have reached the server: then it is one of those that are limited, whatever came of it. */
  readonly sent: boolean;
  /** Absent: the server did no work that it charges for. */
  readonly usage?: ChatUsage | undefined;
  /** The server did not report it: by its own count it may be more, by the margin of the reservation. */
  readonly estimated?: boolean | undefined;
}

/** Below this a call is not worth making: its answer would be cut off. */
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
 * The books of a budget.
 *
 * Invariant: what is spent and what is reserved together stay within the limits, as long as calls use no more than
 * they reserved. A request that is repeated is a call each time.
 */
export class Ledger {
  readonly #limits: BudgetLimits;
  readonly #spent = { calls: 0, inputTokens: 0, outputTokens: 0, usd: 0, unpricedCalls: 0 };
  readonly #reserved = { calls: 0, tokens: 0, usd: 0 };
  /** What calls may have cost beyond what was counted for them: never given back, never shown. */
  readonly #doubtful = { tokens: 0, usd: 0 };
  /** The one that waited longest is first, and nobody overtakes it: a long answer would never get its turn. */
  readonly #waiting: LedgerWaiter[] = [];

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
  reserve(need: Need, signal: AbortSignal | undefined): Promise<Reservation> {
    return new Promise((resolve, reject) => {
      const cancelled = () => reject(new LlmError("cancelled", `the request to ${need.model} was cancelled`));
      if (signal?.aborted) return cancelled();
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        cancelled();
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

  /** The longest answer that fits beside what is spent, whatever is reserved; 0 if that is too short for a call. */
  longestAnswer(need: Need): number {
    return this.#answerIn(this.#room(false), need);
  }

  /** Grants or refuses what can be decided, in turn. */
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

  /** The length of the answer a call may have now; undefined if it has to wait for others to settle. */
  #grant(need: Need): number | undefined {
    const now = this.#answerIn(this.#room(true), need);
    if (now === need.answer || (now > 0 && this.#reserved.calls === 0)) return now;
    return now >= need.enough ? need.enough : undefined;
  }

  /** What the limits leave beside what is spent and, if asked, what is reserved. */
  #room(withReserved: boolean): Room {
    const { calls, tokens, usd } = this.#limits;
    const held = withReserved ? this.#reserved : { calls: 0, tokens: 0, usd: 0 };
    const { inputTokens, outputTokens } = this.#spent;
    return {
      calls: (calls ?? Number.POSITIVE_INFINITY) - this.#spent.calls - held.calls,
      tokens: (tokens ?? Number.POSITIVE_INFINITY) - inputTokens - outputTokens - this.#doubtful.tokens - held.tokens,
      usd: (usd ?? Number.POSITIVE_INFINITY) - this.#spent.usd - this.#doubtful.usd - held.usd,
    };
  }

  /** The longest answer that fits into the room; 0 if that is too short to be worth a call. */
  #answerIn(room: Room, { input, answer, price, margin }: Need): number {
    if (room.calls < 1) return 0;
    const usdLeft = price ? room.usd / margin - costOf(price, input, 0) : Number.POSITIVE_INFINITY;
    const forUsd =
      price && price.output > 0 ? (usdLeft * 1_000_000) / price.output : usdLeft < 0 ? 0 : Number.POSITIVE_INFINITY;
    const longest = Math.floor(Math.min(answer, room.tokens / margin - input, forUsd));
    return longest >= Math.min(answer, SHORTEST_ANSWER) ? longest : 0;
  }

  #book({ input, answer, price, margin }: Need): Reservation {
    // Rounded up, but for what floating-point numbers add.
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
    return this.#doubtful.tokens === 0 ? "" : " as far as is known, for not every call was reported by its server";
  }

  #noteDoubt({ inputTokens, outputTokens }: ChatUsage, price: Price | undefined, part: number): void {
    this.#doubtful.tokens += (inputTokens + outputTokens) * part;
    if (price) this.#doubtful.usd += costOf(price, inputTokens, outputTokens) * part;
  }

  #createRefusal({ input, answer, price, margin }: Need): LlmError {
    const room = this.#room(false);
    const { calls, inputTokens, outputTokens, usd } = this.#spent;
    const least = Math.min(answer, SHORTEST_ANSWER);
    const next = `the next call sends about ${input} tokens and wants room for an answer of ${least}`;
    const cost = price ? `, up to $${(costOf(price, input, least) * margin).toFixed(4)} in all` : "";
    const spent =
      room.calls < 1
        ? `--max-calls ${this.#limits.calls} is spent: ${calls} ${calls === 1 ? "call was" : "calls were"} made`
        : room.tokens / margin - input < least
          ? `--max-tokens ${this.#limits.tokens} leaves too little: ${inputTokens + outputTokens} were used${this.#describeUncertainty()}, and ${next}`
          : `--max-usd ${this.#limits.usd} leaves too little: $${usd.toFixed(4)} were used${this.#describeUncertainty()}, and ${next}${cost}`;
    const cure = "What is recorded still works, and costs nothing again; for more, start with a higher limit";
    return new LlmError("quota", `the budget ${spent}. ${cure}`);
  }
}
