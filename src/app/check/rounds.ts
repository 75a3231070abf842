/**
 * Checks a mounted tree until it passes: runs the command, has the files at fault written again, and runs it again. A tree
 * that passes is frozen.
 *
 * Each run has a fresh copy of the tree. The number of rounds is limited; the mount keeps to its budget. Only a model's
 * files are written again, which the mount itself ensures.
 */
import { messageOf } from "../../errno.ts";
import type { Diagnosis, FailedCheck, Frozen } from "../../rpc/control-protocol.ts";
import type { CommandRun } from "./command.ts";

/** What a mount does for a check. All reject with an error for people. */
export interface CheckedMount {
  diagnose(failure: FailedCheck): Promise<Diagnosis>;
  rewrite(path: string, instruction: string): Promise<void>;
  freeze(version: number): Promise<Frozen>;
  /** True for an error of one request; false if the mount itself is gone. */
  isRefusal(error: unknown): boolean;
}

export interface CheckOptions {
  readonly mount: CheckedMount;
  /** As a person would type it. */
  readonly command: string;
  /** How often files may be written again. */
  readonly repairs: number;
  /** Why files must not be written again at all. */
  readonly noRepairs?: string;
  /** Why a tree that passes is not frozen. */
  readonly noFreezing?: string;
  /** Runs the command in a fresh copy of the tree, which had this version. */
  run(): Promise<CommandRun & { readonly version: number }>;
  onRound?(round: CheckRound): void;
  onStep?(what: string): void;
}

/** What followed a run that failed. JSON-able. */
export interface CheckRound {
  readonly status: number;
  readonly ending: string;
  readonly seconds: number;
  /** What the model said; "" if it was not asked. */
  readonly why: string;
  readonly rewritten: readonly { readonly path: string; readonly instruction: string }[];
  /** Files that the model named and that were left as they are, with the reason. */
  readonly refused: readonly { readonly path: string; readonly reason: string }[];
}

/** JSON-able. */
export interface CheckResult {
  readonly passed: boolean;
  /** That of the command. */
  readonly status: number;
  readonly ending: string;
  /** How often the command ran. */
  readonly runs: number;
  readonly rounds: readonly CheckRound[];
  /** Every file that was written again. */
  readonly rewritten: readonly string[];
  /** How much was recorded. null if the check failed, or nothing was recorded. */
  readonly frozen: Frozen | null;
  /** Whether it should have been frozen and was not. */
  readonly freezingFailed: boolean;
  /** Why it ended as it did, where that needs a reason. */
  readonly reason: string | null;
  /** The end of what the last run printed. */
  readonly output: string;
}

/** Rejects if the command cannot be run, or if the mount no longer answers. */
export async function checkUntilItPasses(options: CheckOptions): Promise<CheckResult> {
  const { mount, onStep = () => {} } = options;
  const rounds: CheckRound[] = [];
  let runs = 0;
  let run: Awaited<ReturnType<CheckOptions["run"]>> | undefined;
  for (;;) {
    // Without a change, it would fail again.
    if (run === undefined || rounds.at(-1)?.rewritten.length !== 0) {
      run = await options.run();
      runs += 1;
    }
    const last = run;
    const end = (reason: string | null, frozen: Frozen | null = null, freezingFailed = false): CheckResult => ({
      passed: last.status === 0,
      status: last.status,
      ending: last.ending,
      runs,
      rounds,
      rewritten: [...new Set(rounds.flatMap((round) => round.rewritten.map(({ path }) => path)))],
      frozen,
      freezingFailed,
      reason,
      output: last.output,
    });
    if (last.status === 0) {
      onStep("recording the tree that passed");
      if (options.noFreezing !== undefined) return end(options.noFreezing);
      try {
        return end(null, await mount.freeze(last.version));
      } catch (error) {
        if (!mount.isRefusal(error)) throw error;
        return end(`not frozen: ${messageOf(error)}`, null, true);
      }
    }
    const refusal = whyNoRepair(last, rounds.length, options);
    if (refusal !== undefined) return end(refusal);
    onStep("asking the model what is wrong");
    const { round, reason } = await repair(last, rounds, options);
    rounds.push(round);
    options.onRound?.(round);
    if (reason !== undefined) return end(reason);
  }
}

function whyNoRepair(run: CommandRun, rounds: number, { noRepairs, repairs }: CheckOptions): string | undefined {
  if (run.stopped === "space" || run.stopped === "disk")
    return "it is not repaired: a check without space says nothing about the files";
  if (run.notFound === true) return "it is not repaired: the command was not found";
  if (noRepairs !== undefined) return noRepairs;
  if (rounds < repairs) return undefined;
  return repairs === 0
    ? "it is not repaired because of --repairs 0"
    : `it still fails after ${rounds} of ${repairs} repairs`;
}

async function repair(
  run: CommandRun,
  rounds: readonly CheckRound[],
  options: CheckOptions,
): Promise<{ readonly round: CheckRound; readonly reason?: string }> {
  const { mount, command, onStep = () => {} } = options;
  const { status, ending, output, seconds } = run;
  const common = { status, ending, seconds };
  let diagnosis: Diagnosis;
  try {
    const earlier = rounds.flatMap(describeRound).slice(-MOST_EARLIER);
    diagnosis = await mount.diagnose({ command, ending, output, earlier });
  } catch (error) {
    if (!mount.isRefusal(error)) throw error;
    const round = { ...common, why: "", rewritten: [], refused: [] };
    return { round, reason: `the model did not say what to repair: ${messageOf(error)}` };
  }
  const { why, checkIsWrong } = diagnosis;
  if (checkIsWrong) {
    return { round: { ...common, why, rewritten: [], refused: [] }, reason: `the check itself is wrong: ${why}` };
  }
  const rewritten: { path: string; instruction: string }[] = [];
  const refused = [...diagnosis.refused];
  for (const { path, instruction } of diagnosis.files) {
    onStep(`writing ${path} again`);
    try {
      await mount.rewrite(path, instruction);
      rewritten.push({ path, instruction });
    } catch (error) {
      if (!mount.isRefusal(error)) throw error;
      refused.push({ path, reason: messageOf(error) });
    }
  }
  return { round: { ...common, why, rewritten, refused } };
}

/** For the next request to the model. */
function describeRound({ rewritten, refused, ending }: CheckRound, index: number): readonly string[] {
  const round = `round ${index + 1} (${ending})`;
  return [
    ...rewritten.map(({ path, instruction }) => `${round}: ${path} was written again: ${toOneLine(instruction)}`),
    ...refused.map(({ path, reason }) => `${round}: ${path} was not changed: ${toOneLine(reason)}`),
  ];
}

/** How much of earlier rounds a request shows. */
const MOST_EARLIER = 40;
const LONGEST_EARLIER = 500;

function toOneLine(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= LONGEST_EARLIER ? line : `${line.slice(0, LONGEST_EARLIER).toWellFormed()}…`;
}
