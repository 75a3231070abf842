import type { ChatUsage } from "../../llm/llm.ts";

/** The first limit for an answer whose request sets none: twice a long source file, including reasoning. */
const FIRST_LIMIT = 8192;
/** The same for an answer with a schema: the layout of two hundred files with descriptions. */
const FIRST_LIMIT_SHAPED = 16_384;
/** This many times the longest answer so far is probably enough for the next one. */
const AMPLE = 4;
/** The minimum for `enough`, however short the answers are. */
const LEAST_ENOUGH = 1024;
/** The number of answers after which the longest one is meaningful. */
const TELLING = 3;
/** For the same text, the token counts of current models differ by less than a quarter. */
const MARGIN = 1.25;
/** The tokens that a server's chat template adds to a request, which do not depend on its vocabulary. */
const TEMPLATE_TOKENS = 100;

/** What the answers of a model have shown so far: their length, and how the server counts tokens. */
export class Experience {
  readonly #first: number;
  #answers = 0;
  #longest = 0;
  #margin = MARGIN;

  /** `shaped`: the answers are JSON with a schema. */
  constructor(shaped: boolean) {
    this.#first = shaped ? FIRST_LIMIT_SHAPED : FIRST_LIMIT;
  }

  /** A limit that is sufficient for most answers. */
  get usual(): number {
    return Math.max(this.#first, AMPLE * this.#longest);
  }

  /** A lower limit, for when the budget is nearly used up. */
  get enough(): number {
    return this.#answers < TELLING ? this.usual : Math.max(LEAST_ENOUGH, AMPLE * this.#longest);
  }

  /** The factor by which the server's count may exceed our own. */
  get margin(): number {
    return this.#margin;
  }

  /** `allowed` is the limit that was sent to the server. */
  learn(counted: ChatUsage, reported: ChatUsage | undefined, allowed: number): void {
    this.#answers += 1;
    const output = Math.max(counted.outputTokens, reported?.outputTokens ?? 0);
    this.#longest = Math.max(this.#longest, Math.min(output, allowed));
    if (reported === undefined) return;
    const ofInput = (reported.inputTokens - TEMPLATE_TOKENS) / counted.inputTokens;
    this.#margin = Math.max(this.#margin, ofInput, reported.outputTokens / allowed);
  }
}
