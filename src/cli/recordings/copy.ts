/** `llmfs recordings copy` and `llmfs recordings sign`. */
import { UsageError, UserError } from "../../app/errors.ts";
import { type Copied, copyRecordings } from "../../recording/copy.ts";
import type { RecordingStore } from "../../recording/recording.ts";
import { signRecordings } from "../../recording/sign.ts";
import { createSigner } from "../../recording/signature.ts";
import { EXIT } from "../output/exit-codes.ts";
import { createProgress } from "../output/progress.ts";
import { say, show, showJson } from "../output/terminal.ts";
import { onSignals, signalStatus } from "../process/signals.ts";
import { formatFault, formatRecording, summarize } from "./lines.ts";

export interface CopyArgs {
  readonly dryRun: boolean;
  readonly overwrite: boolean;
  readonly json: boolean;
}

export async function copyStore(
  from: RecordingStore,
  to: RecordingStore,
  signs: boolean,
  { dryRun, overwrite, json }: CopyArgs,
): Promise<number> {
  const stopped = new AbortController();
  let signal: string | undefined;
  using _ = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], (name) => {
    signal = name;
    stopped.abort();
  });
  const progress = createProgress();
  progress.step(`${dryRun ? "comparing" : "copying"} ${from.name} to ${to.name}`);
  let last: Copied | undefined;
  const onProgress = (state: Copied) => {
    last = state;
    progress.detail(formatCounts(state, dryRun));
  };
  let result: Copied;
  try {
    result = await copyRecordings({ from, to, dryRun, overwrite, signs, signal: stopped.signal, onProgress });
  } catch (error) {
    progress.clear();
    if (last !== undefined) say(`${formatCounts(last, dryRun)}; run it again to continue`);
    throw error;
  }
  progress.clear();
  const { copied, same, conflicts, faults } = result;
  if (json) showJson({ copied, same, conflicts: conflicts.map((one) => summarize(one)), faults });
  else {
    for (const fault of faults) show(`${formatFault(fault)}\n`);
    for (const one of conflicts) show(`${formatRecording(one)}: ${to.name} has a different answer\n`);
  }
  say(`${formatCounts(result, dryRun)}${signal === undefined ? "" : "; stopped, run it again to continue"}`);
  if (conflicts.length > 0) say(`${to.name} keeps its answers; --overwrite replaces them with those of ${from.name}`);
  if (signal !== undefined) return signalStatus(signal);
  return faults.length === 0 && conflicts.length === 0 ? EXIT.ok.code : EXIT.recordings.code;
}

function formatCounts({ copied, same, conflicts, faults }: Copied, dryRun: boolean): string {
  const parts = [
    `${copied} ${dryRun ? "would be copied" : "copied"}`,
    `${same} already there`,
    ...(conflicts.length === 0 ? [] : [`${conflicts.length} in conflict`]),
    ...(faults.length === 0 ? [] : [`${faults.length} not usable`]),
  ];
  return parts.join(", ");
}

export interface SignArgs {
  readonly dryRun: boolean;
  readonly unsigned: boolean;
  readonly json: boolean;
}

export async function signStore(
  plain: RecordingStore,
  signing: RecordingStore,
  keys: readonly string[],
  { dryRun, unsigned, json }: SignArgs,
): Promise<number> {
  if (keys.length === 0) throw new UsageError("recordings sign: set LLMFS_RECORDINGS_KEY to the key to sign with");
  if (signing.remove === undefined) throw new UserError("recordings", `${signing.name} is read-only`);
  const { signed, current, faults } = await signRecordings({
    plain,
    signing,
    signer: createSigner(keys),
    unsigned,
    dryRun,
  });
  if (json) showJson({ signed: signed.map((one) => summarize(one)), current, faults });
  else {
    for (const one of signed) show(`${formatRecording(one)}\n`);
    for (const fault of faults) show(`${formatFault(fault)}\n`);
  }
  const left = faults.length === 0 ? "" : `, ${faults.length} not usable`;
  say(`${signed.length} ${dryRun ? "would be signed" : "signed"}, ${current} signed already${left}`);
  return faults.length === 0 ? EXIT.ok.code : EXIT.recordings.code;
}
