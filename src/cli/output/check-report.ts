/** The report of `llmfs check`. */
import type { CheckResult, CheckRound } from "../../app/check/rounds.ts";
import type { Frozen } from "../../rpc/control-protocol.ts";
import { printableLine } from "../../text/printable.ts";
import type { Cost } from "./warm-progress.ts";

/** What followed a run that failed. */
export function formatRound({ ending, why, rewritten, refused }: CheckRound): readonly string[] {
  return [
    `command failed: ${ending}${why === "" ? "" : `: ${shorten(why)}`}`,
    ...rewritten.map(({ path, instruction }) => `  written again: ${printableLine(path)}: ${shorten(instruction)}`),
    ...refused.map(({ path, reason }) => `  left alone: ${printableLine(path)}: ${shorten(reason)}`),
  ];
}

/** The final lines. */
export function formatCheck(result: CheckResult, { calls, inputTokens, outputTokens, usd }: Cost): readonly string[] {
  const { passed, ending, runs, rewritten, frozen, reason } = result;
  const money = usd === 0 ? "" : `, $${usd.toFixed(4)}`;
  const cost = calls === 0 ? "no calls" : `${count(calls, "call")}, ${inputTokens} + ${outputTokens} tokens${money}`;
  const verdict = passed ? "check passed" : `check failed: ${ending}`;
  const files = rewritten.length === 0 ? "" : `; ${count(rewritten.length, "file")} written again`;
  const undo = passed || rewritten.length === 0 ? [] : ["llmfs regen --undo restores the previous content of a file."];
  return [
    `${verdict} (${count(runs, "run")}${files}; ${cost})`,
    ...(reason === null ? [] : [shorten(reason)]),
    ...undo,
    ...(frozen === null ? [] : [formatFrozen(frozen)]),
  ];
}

function formatFrozen({ files, written }: Frozen): string {
  if (files === 0) return "nothing to freeze: no model made any of the files";
  return `frozen: ${count(files, "file")}, ${count(written, "recording")} written; --mode replay gives this tree`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

const LONGEST = 400;

/** Text of a model, on one line. */
function shorten(text: string): string {
  const line = printableLine(text.replace(/\s+/g, " ").trim());
  return line.length <= LONGEST ? line : `${line.slice(0, LONGEST - 1)}…`;
}
