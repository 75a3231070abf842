/** Estimates the cost of generating files as a range, because the length of an answer is not known in advance. */
import { createGraph, longestChain } from "../generate/depends.ts";
import { costOf, type PriceOf } from "../llm/prices.ts";
import type { Recording } from "../recording/recording.ts";
import type { Foreseen, Shown } from "./dry-run.ts";

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
  /** Without files that are not generated yet. */
  readonly inputTokens: number;
  /** The tokens of shown files, generated or not: what it costs that files are written with what they use. */
  readonly shownTokens: Range;
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
  /** The number of steps that files which depend on each other take: the length of the longest chain. */
  readonly depth: number;
  /** The paths of the longest chain, the file that depends on no other pending file first. */
  readonly longestChain: readonly string[];
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
  const models = new Map<string, Sum>();
  const others = new Map<string, number>();
  for (const { generator, asks, failure } of foreseen) {
    if (asks === undefined) {
      if (failure === undefined) others.set(generator, (others.get(generator) ?? 0) + 1);
      continue;
    }
    const { model, maxTokens = Number.POSITIVE_INFINITY } = asks.request;
    const before = models.get(model) ?? {
      model,
      files: 0,
      recorded: 0,
      calls: 0,
      inputTokens: 0,
      shownTokens: NONE,
      unknownTokens: NONE,
      outputTokens: NONE,
    };
    const { shown = NOTHING_SHOWN } = asks;
    const unknown = { low: shown.unknown * answers.low, high: shown.unknown * answers.high };
    const calls = asks.recording === undefined ? 1 : 0;
    models.set(model, {
      model,
      files: before.files + 1,
      recorded: before.recorded + 1 - calls,
      calls: before.calls + calls,
      inputTokens: before.inputTokens + calls * asks.inputTokens,
      shownTokens: {
        low: before.shownTokens.low + calls * (shown.tokens + unknown.low),
        high: before.shownTokens.high + calls * (shown.tokens + unknown.high),
      },
      unknownTokens: {
        low: before.unknownTokens.low + calls * unknown.low,
        high: before.unknownTokens.high + calls * unknown.high,
      },
      outputTokens: {
        low: before.outputTokens.low + calls * Math.min(answers.low, maxTokens),
        high: before.outputTokens.high + calls * Math.min(answers.high, maxTokens),
      },
    });
  }
  const dependents = foreseen.map(({ path, asks }) => ({ path, depends: asks?.shown?.pending.join("\n") ?? "" }));
  const chain = longestChain(createGraph(dependents));
  return {
    files: foreseen.length,
    models: [...models.values()].sort((a, b) => (a.model < b.model ? -1 : 1)).map((one) => addPrice(one, priceOf)),
    others: Object.fromEntries([...others].sort(([a], [b]) => (a < b ? -1 : 1))),
    depth: chain.length,
    longestChain: chain.map(({ path }) => path),
    inexact: foreseen.filter(({ asks }) => asks?.exact === false).length,
    answers,
    failed: foreseen.flatMap(({ path, failure }) =>
      failure === undefined ? [] : [{ path, error: `${failure.code}: ${failure.message}` }],
    ),
  };
}

const NONE: Range = { low: 0, high: 0 };
const NOTHING_SHOWN: Shown = { tokens: 0, unknown: 0, pending: [] };

interface Sum extends ModelPlan {
  /** The tokens of shown files that are not generated yet. */
  readonly unknownTokens: Range;
}

function addPrice({ unknownTokens, ...plan }: Sum, priceOf: PriceOf): ModelPlan {
  const price = priceOf(plan.model);
  if (price === undefined) return plan;
  const usd = (end: keyof Range) => costOf(price, plan.inputTokens + unknownTokens[end], plan.outputTokens[end]);
  return {
    ...plan,
    usd: { low: usd("low"), high: usd("high") },
    ...(price.asOf !== undefined && { priceAsOf: price.asOf }),
  };
}
