/**
 * The prices of models, for budgets and for display. An unknown price is never guessed.
 *
 * The table contains OpenAI's own list prices and is used for OpenAI's own server only: the same name may cost
 * something else elsewhere. Discounts (cached input, batches) are left out, so a computed cost is an upper bound.
 */
import { OPENAI_BASE_URL } from "./openai-service.ts";

/** In US dollars for a million tokens. */
export interface Price {
  readonly input: number;
  readonly output: number;
  /** The date of a price from the table; absent for a price that the user set. */
  readonly asOf?: string;
}

/** When the table was last compared with https://developers.openai.com/api/docs/pricing. */
export const PRICES_AS_OF = "2026-11-05";

/** Standard processing, for requests of at most 272,000 input tokens; ours are far shorter. */
const OPENAI_PRICES: Readonly<Record<string, readonly [input: number, output: number]>> = {
  "gpt-6-astra": [10, 50],
  "gpt-6.1-sol": [2, 10],
  "gpt-6.1-terra": [1, 5],
  "gpt-6-sol": [2, 10],
  "gpt-6-luna": [0.1, 0.5],
  "gpt-5.6-sol": [4, 20],
  "gpt-5.6-terra": [2, 12],
  "gpt-5.6-luna": [0.2, 1.2],
  "gpt-5.5": [5, 30],
  "gpt-5.4": [2.5, 15],
  "gpt-5.4-mini": [0.75, 4.5],
  "gpt-5.4-nano": [0.2, 1.25],
  "gpt-5.2": [1.75, 14],
  "gpt-5.1": [1.25, 10],
  "gpt-5": [1.25, 10],
  "gpt-5-mini": [0.25, 2],
  "gpt-5-nano": [0.05, 0.4],
  "gpt-4.1": [2, 8],
  "gpt-4.1-mini": [0.4, 1.6],
  "gpt-4.1-nano": [0.1, 0.4],
  "gpt-4o": [2.5, 10],
  "gpt-4o-2024-05-13": [5, 15],
  "gpt-4o-mini": [0.15, 0.6],
  o3: [2, 8],
  "o4-mini": [1.1, 4.4],
};

/** Undefined if the price is not known. */
export type PriceOf = (model: string) => Price | undefined;

/**
 * Prices for one server; those of the user take precedence. A dated snapshot ("gpt-4o-2024-08-06") costs what its model
 * costs, unless it is listed itself.
 */
export function pricesAt(baseUrl: string, own: ReadonlyMap<string, Price> = new Map()): PriceOf {
  const openai = URL.canParse(baseUrl) && new URL(baseUrl).host === new URL(OPENAI_BASE_URL).host;
  const table = new Map(openai ? Object.entries(OPENAI_PRICES) : []);
  return (model) => {
    const undated = model.replace(/-\d{4}-\d{2}-\d{2}$/, "");
    const listed = table.get(model) ?? table.get(undated);
    return (
      own.get(model) ?? own.get(undated) ?? (listed && { input: listed[0], output: listed[1], asOf: PRICES_AS_OF })
    );
  };
}

/** The warning if a limit in dollars cannot be enforced. */
export function withoutPrice(model: string): string {
  const cure = `set it with --price ${model}=INPUT/OUTPUT`;
  return `the price of ${model} is not known, so --max-usd does not limit it, only --max-calls and --max-tokens do; ${cure}`;
}

/** Reads "MODEL=INPUT/OUTPUT", in dollars for a million tokens. Throws an Error that shows the format. */
export function parsePrice(text: string): readonly [model: string, price: Price] {
  const match = /^(?<model>\S+)=(?<input>\d+(\.\d+)?)\/(?<output>\d+(\.\d+)?)$/.exec(text.trim());
  const { model, input, output } = match?.groups ?? {};
  if (model === undefined || input === undefined || output === undefined) {
    throw new Error(
      `${JSON.stringify(text)} is not a price; write MODEL=INPUT/OUTPUT in dollars for a million tokens, such as qwen3=0.2/0.6`,
    );
  }
  return [model, { input: Number(input), output: Number(output) }];
}

export function costOf(price: Price, inputTokens: number, outputTokens: number): number {
  return (inputTokens * price.input + outputTokens * price.output) / 1_000_000;
}
