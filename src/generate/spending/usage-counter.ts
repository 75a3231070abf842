/** Counts the cost of generating, for `.llmfs/usage.json`. */
import type { LanguageModel } from "../../llm/llm.ts";
import type { Spending } from "./ledger.ts";

/** Can be printed as JSON. Calls with an unknown price (`unpricedCalls`) count tokens, but no cost. */
export interface Usage extends Spending {
  /** The number of answered requests, including those answered by recordings. */
  readonly answers: number;
  readonly recorded: number;
  readonly failures: number;
}

const NOTHING: Spending = {
  calls: 0,
  inputTokens: 0,
  outputTokens: 0,
  usd: 0,
  unpricedCalls: 0,
  reserved: { calls: 0, tokens: 0, usd: 0 },
  limits: {},
};

export class UsageCounter {
  readonly #changed: () => void;
  #answers = 0;
  #recorded = 0;
  #failures = 0;
  /** Requests that are not counted yet, with the signal that cancels them. */
  readonly #underWay = new Map<Promise<unknown>, AbortSignal | undefined>();
  /** The spending recorded by the budget. Stays empty if no server is used. */
  readSpending: () => Spending = () => NOTHING;

  /** `changed` is called after every request. */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  get usage(): Usage {
    const counts = { answers: this.#answers, recorded: this.#recorded, failures: this.#failures };
    return { ...counts, ...this.readSpending() };
  }

  /** Wraps a model and counts its requests. */
  count(model: LanguageModel): LanguageModel {
    const counted: LanguageModel["complete"] = async (request, options) => {
      try {
        const answer = await model.complete(request, options);
        this.#answers += 1;
        if (answer.recorded === true) this.#recorded += 1;
        return answer;
      } catch (error) {
        this.#failures += 1;
        throw error;
      } finally {
        this.#changed();
      }
    };
    const recalled: LanguageModel["recall"] = (request, options) => {
      const answer = model.recall?.(request, options);
      if (answer === undefined) return undefined;
      this.#answers += 1;
      if (answer.recorded === true) this.#recorded += 1;
      this.#changed();
      return answer;
    };
    return {
      ...(model.recall && { recall: recalled }),
      ...(model.mayRecall && { mayRecall: model.mayRecall }),
      ...(model.forget && { forget: model.forget }),
      ...(model.restore && { restore: model.restore }),
      ...(model.freeze && { freeze: model.freeze }),
      complete: (request, options) => this.#follow(counted(request, options), options?.signal),
    };
  }

  /**
   * Wraps a model whose requests count as spending. Those who wait for an answer stop waiting as soon as it is cancelled;
   * what it has cost is known later.
   */
  follow(model: LanguageModel): LanguageModel {
    return {
      ...model,
      complete: (request, options) => this.#follow(model.complete(request, options), options?.signal),
    };
  }

  #follow<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    this.#underWay.set(answer, signal);
    const over = () => {
      this.#underWay.delete(answer);
      // The waiter has its answer already, and the usage that was published with it was incomplete.
      if (signal?.aborted === true) this.#changed();
    };
    answer.then(over, over);
    return answer;
  }

  /** Resolves when all cancelled requests are counted. */
  async settle(): Promise<void> {
    const calledOff = [...this.#underWay].filter(([, signal]) => signal?.aborted === true);
    await Promise.allSettled(calledOff.map(([answer]) => answer));
  }
}
