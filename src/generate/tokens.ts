/**
 * Counting tokens, to fill a budget. The vocabulary is o200k_base, that of OpenAI's models since GPT-4o; for other
 * models it is an estimate, good enough for a budget.
 *
 * Loading the vocabulary takes about 0.4 s and 2.4 MB of the executable, so it is loaded only when a text might not
 * fit: a token holds at least one byte, so what has no more bytes than the budget has tokens fits without counting.
 * Either way the verdict is the same, and with it the request's key.
 */

export type TokenCounter = (text: string) => number;

/**
 * Pieces that are counted one by one: lines, long ones cut. The tokenizer takes time that grows with the square of a
 * run without spaces (65,536 times the letter a: 1.8 s; as much Japanese: 17 s), and files hold such runs. The sum is
 * a percent or so above the exact count.
 */
const PIECE = /[^\n]{1,128}\n*|\n+/gu;

/** Pieces whose count is remembered: the lines of an outline come again with every file. */
const MOST_KNOWN = 20_000;

let loading: Promise<TokenCounter> | undefined;

/** The exact counter. */
export function tokenCounter(): Promise<TokenCounter> {
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

/** Whether the text has at most `budget` tokens. */
export async function fits(text: string, budget: number): Promise<boolean> {
  if (Buffer.byteLength(text) <= budget) return true;
  return (await tokenCounter())(text) <= budget;
}
