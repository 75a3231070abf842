/** Estimates the cost of generating files as a range, because the length of an answer is not known in advance. */
import { costOf, type PriceOf } from "../llm/prices.ts";
import type { Recording } from "../recording/recording.ts";
import type { Foreseen } from "./dry-run.ts";

/** An inclusive range. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** The length of an answer in tokens, and the origin of this estimate. */
export interface AnswerLength extends Range {
  readonly from: string;
}

export interface ModelPlan {
  readonly model: string;
  readonly files: number;
  /** The number of files with a recorded answer, which cost nothing. */
  readonly recorded: number;
  readonly calls: number;
  readonly inputTokens: number;
  readonly outputTokens: Range;
  /** Absent if the price is unknown. */
  readonly usd?: Range;
  /** The date of the price, unless the user gave one. */
  readonly priceAsOf?: string;
}

export interface Plan {
  readonly files: number;
  readonly models: readonly ModelPlan[];
  /** The number of files of other generators, by name. */
  readonly others: Readonly<Record<string, number>>;
  /** The number of files whose request depends on a file that is not generated yet. */
  readonly inexact: number;
  readonly answers: AnswerLength;
  readonly failed: readonly { readonly path: string; readonly error: string }[];
}

/** The typical range of files written by models: a short note to a long source file. */
const ASSUMED: AnswerLength = { low: 100, high: 4000, from: "assumed" };
const ENOUGH = 5;
/** With fewer recordings, the estimate is widened: answers half or twice as long are as likely. */
const MANY = 30;

/** The range that covers eight in ten recorded answers, or a wider one if there are few recordings. */
export function answerLength(recordings: readonly Recording[]): AnswerLength {
  const lengths = recordings
    .filter(({ label }) => label.startsWith("/"))
    .flatMap(({ answer }) => answer.usage?.outputTokens ?? [])
    .sort((a, b) => a - b);
  if (lengths.length < ENOUGH) return ASSUMED;
  const at = (part: number) => lengths[Math.round((lengths.length - 1) * part)] ?? 0;
  const [low, high, from] = [at(0.1), at(0.9), `like most of ${lengths.length} recorded ones`];
  if (lengths.length >= MANY) return { low, high, from };
  return {
    low: Math.floor(low / 2),
    high: high * 2,
    from: `half to twice as long as most of ${lengths.length} recorded ones`,
  };
}

export function planOf(foreseen: readonly Foreseen[], answers: AnswerLength, priceOf: PriceOf): Plan {
  const models = new Map<string, ModelPlan>();
  const others = new Map<string, number>();
  for (const { generator, asks, failure } of foreseen) {
    if (asks === undefined) {
      if (failure === undefined) others.set(generator, (others.get(generator) ?? 0) + 1);
      continue;
    }
    const { model, maxTokens = Number.POSITIVE_INFINITY } = asks.request;
    const before = models.get(model) ?? { model, files: 0, recorded: 0, calls: 0, inputTokens: 0, outputTokens: NONE };
    const calls = asks.recording === undefined ? 1 : 0;
    models.set(model, {
      model,
      files: before.files + 1,
      recorded: before.recorded + 1 - calls,
      calls: before.calls + calls,
      inputTokens: before.inputTokens + calls * asks.inputTokens,
      outputTokens: {
        low: before.outputTokens.low + calls * Math.min(answers.low, maxTokens),
        high: before.outputTokens.high + calls * Math.min(answers.high, maxTokens),
      },
    });
  }
  return {
    files: foreseen.length,
    models: [...models.values()].sort((a, b) => (a.model < b.model ? -1 : 1)).map((one) => addPrice(one, priceOf)),
    others: Object.fromEntries([...others].sort(([a], [b]) => (a < b ? -1 : 1))),
    inexact: foreseen.filter(({ asks }) => asks?.exact === false).length,
    answers,
    failed: foreseen.flatMap(({ path, failure }) =>
      failure === undefined ? [] : [{ path, error: `${failure.code}: ${failure.message}` }],
    ),
  };
}

const NONE: Range = { low: 0, high: 0 };

function addPrice(plan: ModelPlan, priceOf: PriceOf): ModelPlan {
  const price = priceOf(plan.model);
  if (price === undefined) return plan;
  const usd = (output: number) => costOf(price, plan.inputTokens, output);
  return {
    ...plan,
    usd: { low: usd(plan.outputTokens.low), high: usd(plan.outputTokens.high) },
    ...(price.asOf !== undefined && { priceAsOf: price.asOf }),
  };
}
