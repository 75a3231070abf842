/**
 * Counts tokens to fill a budget. The vocabulary is o200k_base, that of OpenAI's models since GPT-4o. For other models the
 * count is an estimate, which is good enough for a budget.
 *
 * The vocabulary takes 2.4 MB of the executable and about 0.4 s to load, so it is loaded only if a text might not fit. A
 * token has at least one byte, so a text with no more bytes than the budget has tokens fits without counting. The result
 * is the same either way, and so is the request key.
 */
import { LRUCache } from "lru-cache";
import { memoize } from "../../abort.ts";
import { Pace } from "../../text/pace.ts";

/** Counts the tokens of a short text, such as a line or a heading. Use `countTokens` for longer ones. */
export type TokenCounter = (text: string) => number;

/**
 * The pieces that are counted separately: lines, with long ones split. The tokenizer's time is quadratic in the length of a
 * run of letters or line ends (65,536 times the letter a: 1.8 s; the same in Japanese: 17 s), and files and answers may
 * contain such runs. The sum is about one percent above the exact count.
 */
const PIECE = /[^\n]{1,128}\n{0,128}|\n{1,128}/gu;

/** The number of pieces whose count is cached, because the lines of an outline recur in every request. */
const MOST_KNOWN = 20_000;

/** Loads the exact counter. */
export const loadTokenCounter = memoize(load);

async function load(): Promise<TokenCounter> {
  const { countTokens } = await import("gpt-tokenizer/encoding/o200k_base");
  // A control token such as "<|endoftext|>" is ordinary text in a file.
  const asText = { disallowedSpecial: new Set<string>() };
  const known = new LRUCache<string, number>({ max: MOST_KNOWN });
  return (text) => {
    let count = 0;
    for (const [piece] of text.matchAll(PIECE)) {
      let tokens = known.get(piece);
      if (tokens === undefined) {
        tokens = countTokens(piece, asText);
        known.set(piece, tokens);
      }
      count += tokens;
    }
    return count;
  };
}

/** For a longer text (in UTF-16 code units), only samples are counted, and the total is estimated. */
const LONGEST_EXACT = 1024 * 1024;
/** The number of samples, evenly spread, and the length of each. */
const SAMPLES = 64;
const SAMPLE = 4096;

export interface CountOptions {
  /** Counting stops above this number. The result is then any larger number. */
  readonly most?: number;
  readonly signal?: AbortSignal;
}

/** Counts the tokens of a text of any length, in slices. Rejects with the signal's reason. */
export async function countTokens(text: string, options: CountOptions = {}): Promise<number> {
  if (text === "") return 0;
  const count = await loadTokenCounter();
  if (text.length <= LONGEST_EXACT) return countInPieces(text, count, options);
  let sampled = 0;
  for (let index = 0; index < SAMPLES; index++) {
    const at = Math.floor((index / (SAMPLES - 1)) * (text.length - SAMPLE));
    sampled += await countInPieces(text.slice(at, at + SAMPLE), count, { ...options, most: Number.POSITIVE_INFINITY });
  }
  return Math.ceil(sampled * (text.length / (SAMPLES * SAMPLE)));
}

async function countInPieces(
  text: string,
  count: TokenCounter,
  { most = Number.POSITIVE_INFINITY, signal }: CountOptions,
): Promise<number> {
  const pace = new Pace(signal);
  let tokens = 0;
  for (const [piece] of text.matchAll(PIECE)) {
    tokens += count(piece);
    if (tokens > most) break;
    if (pace.due) await pace.pause();
  }
  return tokens;
}

/** Whether the text has at most `budget` tokens. */
export async function fits(text: string, budget: number): Promise<boolean> {
  if (Buffer.byteLength(text) <= budget) return true;
  return (await countTokens(text, { most: budget })) <= budget;
}

/** A longer addition is only estimated. No server streams that much at a time. */
const LONGEST_ADDED = 8192;

/** Counts the tokens of a growing text incrementally. */
export class RunningCount {
  readonly #count: TokenCounter;
  #counted = 0;
  /** The piece that may still grow. */
  #rest = "";

  constructor(count: TokenCounter) {
    this.#count = count;
  }

  add(text: string): void {
    if (text.length > LONGEST_ADDED) {
      const sample = this.#count(text.slice(0, LONGEST_ADDED));
      this.#counted += Math.ceil((sample * text.length) / LONGEST_ADDED) + this.#count(this.#rest);
      this.#rest = "";
      return;
    }
    const pieces = (this.#rest + text).match(PIECE) ?? [];
    this.#rest = pieces.pop() ?? "";
    for (const piece of pieces) this.#counted += this.#count(piece);
  }

  get tokens(): number {
    return this.#counted + this.#count(this.#rest);
  }
}
