import type { ChatUsage } from "../../llm/llm.ts";

/** The first limit of an answer whose request sets none: twice what a long source file takes, reasoning included. */
const FIRST_LIMIT = 8192;
/** The same for an answer of a given shape: the layout of two hundred files, each with its description. */
const FIRST_LIMIT_SHAPED = 16_384;
/** A limit that is this many times the longest answer so far is probably enough for the next one. */
const AMPLE = 4;
/** No limit is lower for being enough, however short the answers are. */
const LEAST_ENOUGH = 1024;
/** Answers after which the longest of them says something. */
const TELLING = 3;
/** Vocabularies of current models differ by less than a quarter in how many tokens they make of a text. */
const MARGIN = 1.25;
/** What a server's chat template adds to a request is no matter of its vocabulary. */
const TEMPLATE_TOKENS = 100;

/** What the answers of one model have shown so far: how long they are, and how its server counts. */
export class Experience {
  readonly #first: number;
  #answers = 0;
  #longest = 0;
  #margin = MARGIN;

  /** `shaped`: the answers are JSON of a given schema. */
  constructor(shaped: boolean) {
    this.#first = shaped ? FIRST_LIMIT_SHAPED : FIRST_LIMIT;
  }

  /** A limit that most answers keep. */
  get usual(): number {
    return Math.max(this.#first, AMPLE * this.#longest);
  }

  /** A lower one, where room is scarce. */
  get enough(): number {
    return this.#answers < TELLING ? this.usual : Math.max(LEAST_ENOUGH, AMPLE * this.#longest);
  }

  /** How many times as much as is counted here the server may count. */
  get margin(): number {
    return this.#margin;
  }

  /** `allowed` is the limit the server was told. */
  learn(counted: ChatUsage, reported: ChatUsage | undefined, allowed: number): void {
    this.#answers += 1;
    const output = Math.max(counted.outputTokens, reported?.outputTokens ?? 0);
    this.#longest = Math.max(this.#longest, Math.min(output, allowed));
    if (reported === undefined) return;
    const ofInput = (reported.inputTokens - TEMPLATE_TOKENS) / counted.inputTokens;
    this.#margin = Math.max(this.#margin, ofInput, reported.outputTokens / allowed);
  }
}
