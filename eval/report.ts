/** The table that the evaluation prints. */
import type { EvalResult } from "./run-case.ts";

const COLUMNS = ["case", "uses", "files", "requests", "tokens in", "tokens out", "cost", "rounds", "passed"] as const;

export function formatTable(results: readonly EvalResult[]): string {
  const rows = [[...COLUMNS], ...results.map(rowOf)];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  lines.splice(1, 0, `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`);
  return lines.join("\n");
}

function rowOf(result: EvalResult): string[] {
  const { name, uses, files, requests, inputTokens, outputTokens, usd, rounds, passed } = result;
  return [
    name,
    uses ? "with" : "without",
    String(files),
    String(requests),
    String(inputTokens),
    String(outputTokens),
    usd === 0 ? "?" : `$${usd.toFixed(4)}`,
    String(rounds),
    passed ? (rounds === 0 ? "at once" : "yes") : "no",
  ];
}

/** How many passed at once, and in the end. */
export function formatSums(results: readonly EvalResult[]): string {
  return [true, false]
    .map((uses) => {
      const some = results.filter((result) => result.uses === uses);
      const passed = some.filter((result) => result.passed);
      const atOnce = passed.filter(({ rounds }) => rounds === 0);
      return `${uses ? "with" : "without"} uses: ${atOnce.length} of ${some.length} passed at once, ${passed.length} in the end`;
    })
    .join("\n");
}

/** Why cases did not pass: the last lines of each. */
export function formatProblems(results: readonly EvalResult[], lines = 6): string {
  return results
    .filter(({ passed }) => !passed)
    .map(({ name, uses, problem }) => {
      const end = problem.trimEnd().split("\n").slice(-lines);
      return [`${name}, ${uses ? "with" : "without"} uses:`, ...end.map((line) => `  ${line}`)].join("\n");
    })
    .join("\n");
}
