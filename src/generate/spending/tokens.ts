/**
 * Counting tokens, to fill a budget. The vocabulary is o200k_base, that of OpenAI's models since GPT-4o; for other
 * models it is an estimate, good enough for a budget.
 *
 * Loading the vocabulary takes about 0.4 s and 2.4 MB of the executable, so it is loaded only when a text might not
 * fit: a token holds at least one byte, so what has no more bytes than the budget has tokens fits without counting.
 * Either way the verdict is the same, and with it the request's key.
 */
import { Pace } from "../../text/pace.ts";

/** Counts a short text, a line or a heading, at once. Longer ones are for `countTokens`. */
export type TokenCounter = (text: string) => number;

/**
 * Pieces that are counted one by one: lines, long ones cut. The tokenizer takes time that grows with the square of a
 * run of letters or of line ends (65,536 times the letter a: 1.8 s; as much Japanese: 17 s), and files and answers hold
 * such runs. The sum is a percent or so above the exact count.
 */
const PIECE = /[^\n]{1,128}\n{0,128}|\n{1,128}/gu;

/** Pieces whose count is remembered: the lines of an outline come again with every file. */
const MOST_KNOWN = 20_000;

let loading: Promise<TokenCounter> | undefined;

/** The exact counter. */
export function loadTokenCounter(): Promise<TokenCounter> {
  loading ??= load();
  return loading;
}

async function load(): Promise<TokenCounter> {
  const { countTokens } = await import("gpt-tokenizer/encoding/o200k_base");
  // What looks like a control token ("<|endoftext|>") is ordinary text in a file.
  const asText = { disallowedSpecial: new Set<string>() };
  const known = new Map<string, number>();
  return (text) => {
    let count = 0;
    for (const [piece] of text.matchAll(PIECE)) {
      let tokens = known.get(piece);
      if (tokens === undefined) {
        tokens = countTokens(piece, asText);
        if (known.size >= MOST_KNOWN) known.clear();
        known.set(piece, tokens);
      }
      count += tokens;
    }
    return count;
  };
}

/** Of a text longer than this, in UTF-16 units, parts are counted and the rest is estimated. */
const LONGEST_EXACT = 1024 * 1024;
/** The parts: how many, evenly spread, and how long each is. */
const SAMPLES = 64;
const SAMPLE = 4096;

export interface CountOptions {
  /** Counting stops as soon as there are more: the result is then any number above it. */
  readonly most?: number;
  readonly signal?: AbortSignal;
}

/** The tokens of a text of any length, counted in slices. Rejects with the signal's reason. */
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

/** A longer addition is estimated: nobody streams that much at a time. */
const LONGEST_ADDED = 8192;

/** Tokens of a text that grows, counted once each. */
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
