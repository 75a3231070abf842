/** What generating the pending files of a tree would cost, for `llmfs plan`. */
import type { Looking } from "../../app/inspect.ts";
import type { Progress } from "../../app/progress.ts";
import { answerLength, type ModelPlan, type Plan, planOf, type Range } from "../../offline/cost-estimate.ts";
import type { Foreseen } from "../../offline/dry-run.ts";
import { printableLine } from "../../text/printable.ts";

export interface PlannedFiles {
  readonly planned: Plan;
  readonly each: readonly Foreseen[];
}

/** Looks at every pending file. Generates nothing. */
export async function planFiles(
  { tree, foresight, store, priceOf }: Looking,
  progress: Progress,
): Promise<PlannedFiles> {
  const pending = tree.files.filter(({ state }) => state === "pending" || state === "failed");
  const each: Foreseen[] = [];
  if (pending.length > 0) progress.step(`examining ${pending.length} ${pending.length === 1 ? "file" : "files"}`);
  for (const { path } of pending) {
    each.push(await foresight.foresee(path));
    progress.detail(`${each.length} of ${pending.length}`);
  }
  progress.clear();
  return { planned: planOf(each, answerLength((await store?.list()) ?? []), priceOf), each };
}

export function summarizeFile({ path, generator, asks, failure }: Foreseen) {
  if (asks === undefined) return { path, generator, ...(failure && { error: failure.message }) };
  const { request, key, recording, exact, inputTokens, shown } = asks;
  const uses = shown === undefined ? {} : { shown };
  return { path, generator, model: request.model, key, recorded: recording !== undefined, exact, inputTokens, ...uses };
}

/** `each`: the files that get a line of their own. */
export function formatPlan(plan: Plan, each: readonly Foreseen[]): string {
  if (plan.files === 0) return "no pending files\n";
  const { answers } = plan;
  const calls = plan.models.some((one) => one.calls > 0);
  const lines = [
    `${plan.files} ${plan.files === 1 ? "file is" : "files are"} pending`,
    ...plan.models.map(formatModel),
    ...Object.entries(plan.others).map(([name, count]) => `  by the generator ${name}: ${count}, without a model`),
    ...(calls ? [`Answers: ${formatRange(answers, formatCount)} tokens each, ${answers.from}.`] : []),
    ...(plan.depth > 1 ? [formatChain(plan.longestChain)] : []),
    ...(plan.inexact > 0
      ? [
          `${plan.inexact} ${plan.inexact === 1 ? "depends" : "depend"} on files that have not been generated yet; the tokens of those files are estimated.`,
        ]
      : []),
    ...plan.failed.map(({ path, error }) => `cannot be generated: ${printableLine(path)}: ${error}`),
    ...each.map(formatFile),
  ];
  return `${lines.join("\n")}\n`;
}

/** The maximum number of files of a chain to name. */
const MOST_NAMED = 6;

function formatChain(paths: readonly string[]): string {
  const named = paths.map((path) => printableLine(path));
  const left = named.length - MOST_NAMED;
  const shown = left > 0 ? [...named.slice(0, MOST_NAMED - 1), `… (${left} more)`, ...named.slice(-1)] : named;
  return `Files depend on each other: ${paths.length} steps, the longest chain is ${shown.join(" → ")}`;
}

function formatModel(plan: ModelPlan): string {
  const { model, files, recorded, calls, inputTokens, shownTokens, outputTokens, usd, priceAsOf } = plan;
  const parts = [
    `  by ${model}: ${files}`,
    ...(recorded > 0 ? [`${recorded} already recorded`] : []),
    `${calls} ${calls === 1 ? "call" : "calls"}`,
  ];
  if (calls > 0) {
    parts.push(`${formatCount(inputTokens)} tokens sent, ${formatRange(outputTokens, formatCount)} received`);
    if (shownTokens.high > 0) parts.push(`${formatRange(shownTokens, formatCount)} tokens of shown files`);
    const dated = priceAsOf === undefined ? "" : ` (prices of ${priceAsOf})`;
    const dollars = (amount: number) => `$${amount.toFixed(4)}`;
    parts.push(usd === undefined ? "price unknown (set --price)" : `${formatRange(usd, dollars)}${dated}`);
  }
  return parts.join("; ");
}

function formatFile({ path, generator, asks, failure }: Foreseen): string {
  const name = printableLine(path);
  if (asks === undefined) return `${name}: ${failure === undefined ? generator : failure.message}`;
  const cost = asks.recording === undefined ? `${asks.inputTokens} tokens` : "recorded";
  return `${name}: ${asks.request.model}, ${cost}, ${asks.key.slice(0, 16)}${asks.exact ? "" : " (not exact)"}`;
}

function formatRange({ low, high }: Range, shown: (value: number) => string): string {
  return low === high ? shown(low) : `${shown(low)} to ${shown(high)}`;
}

function formatCount(value: number): string {
  return value.toLocaleString("en-US");
}
