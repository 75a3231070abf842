/** The report of `llmfs status`: a block of lines for people, and one line for a log. */

import type { MountStatus, RunningGeneration } from "../../app/running/mount-status.ts";
import type { FileCounts } from "../../app/running/survey.ts";
import { printableLine } from "../../text/printable.ts";
import { formatAge, formatBytes, formatCount, formatMoney, plural } from "./quantity.ts";
import { describeFailedRenewal } from "./tree-report.ts";

/** A status and when it was read, in milliseconds. */
export interface Sample {
  readonly status: MountStatus;
  readonly at: number;
}

const NAME = 11;
/** The maximum number of files to list of each kind. The others are only counted. */
const MOST_FILES = 8;

/** `before`: an earlier sample, from which rates are computed. */
export function formatStatus(now: Sample, before?: Sample): readonly string[] {
  const { status } = now;
  const { mountpoint, pid, ageSeconds, files, usage, underWay, failed, failedRenewals } = status;
  const age = ageSeconds === undefined ? "" : `, mounted for ${formatAge(ageSeconds)}`;
  const lines = [`${printableLine(mountpoint)}: serving, process ${pid}${age}`];
  const add = (name: string, ...values: readonly (string | undefined)[]) => {
    const given = values.filter((value) => value !== undefined && value !== "");
    for (const [index, value] of given.entries()) lines.push(`  ${(index === 0 ? name : "").padEnd(NAME)}${value}`);
  };
  add("prompt", oneLine(status.prompt));
  add("from", status.from);
  add("save", status.save);
  add("model", formatModel(status));
  add("recordings", `${status.recordings} (mode ${status.mode})`, formatStore(status));
  add("files", formatFiles(files));
  if (status.outdated > 0) {
    add(
      "outdated",
      `${plural(status.outdated, "file")}, made from others that have changed; see llmfs warm --outdated`,
    );
  }
  add(
    "requests",
    underWay.length === 0
      ? "none under way"
      : `${underWay.length} under way, at most ${status.concurrency} in parallel`,
    ...listSome(underWay.toSorted(compareStarts), formatRunning),
  );
  if (before !== undefined) add("rate", formatRate(now, before));
  add("tokens", `${formatCount(usage.inputTokens)} sent, ${formatCount(usage.outputTokens)} received`);
  add("calls", formatCalls(status));
  add("cost", formatCost(status));
  add(
    "memory",
    `${formatBytes(status.memoryBytes)}; contents ${formatBytes(status.bytes)} in ${plural(status.inodes, "inode")}`,
  );
  const problems = [
    ...failed,
    ...failedRenewals.map(({ path, ...renewal }) => ({ path, error: describeFailedRenewal(renewal) })),
  ];
  add("failed", ...listSome(problems, ({ path, error }) => `${printableLine(path)}: ${oneLine(error)}`));
  return lines;
}

/** One line, for a log or a pipe. */
export function formatStatusLine(now: Sample, before?: Sample): string {
  const { files, usage, underWay, memoryBytes } = now.status;
  return [
    formatFiles(files),
    `${underWay.length} under way${formatLongest(underWay)}`,
    ...(before === undefined ? [] : [formatRate(now, before)]),
    `${formatCount(usage.inputTokens)}+${formatCount(usage.outputTokens)} tokens`,
    formatCost(now.status),
    formatBytes(memoryBytes),
  ].join("; ");
}

/** The oldest first: that is the one to look at if something hangs. */
function compareStarts(a: RunningGeneration, b: RunningGeneration): number {
  return Date.parse(a.since ?? "") - Date.parse(b.since ?? "") || 0;
}

function formatRunning({ path, since, queued, waitsFor = [] }: RunningGeneration): string {
  const parts = [
    ...(since === undefined ? [] : [`for ${formatAge(secondsSince(since))}`]),
    ...(queued === true ? ["waits for its turn"] : []),
    ...(waitsFor.length === 0 ? [] : [`waits for ${waitsFor.map(printableLine).join(", ")}`]),
  ];
  return `${printableLine(path)}${parts.length === 0 ? "" : ` ${parts.join(", ")}`}`;
}

function formatLongest(underWay: readonly RunningGeneration[]): string {
  const seconds = underWay.flatMap(({ since }) => (since === undefined ? [] : [secondsSince(since)]));
  return seconds.length === 0 ? "" : `, the longest for ${formatAge(Math.max(...seconds))}`;
}

function secondsSince(time: string): number {
  return Math.max(0, Date.now() - Date.parse(time)) / 1000;
}

/** Without the states that no file has. */
export function formatFiles(files: FileCounts): string {
  const order = ["ready", "generating", "pending", "failed", "static"] as const;
  const parts = order.flatMap((state) => (files[state] > 0 ? [`${formatCount(files[state])} ${state}`] : []));
  return parts.length === 0 ? "none" : parts.join(", ");
}

function formatModel({ model, server }: MountStatus): string | undefined {
  if (model === undefined) return undefined;
  return server === undefined ? model : `${model} at ${server}`;
}

function formatStore({ store }: MountStatus): string | undefined {
  if (store === undefined) return undefined;
  const { reachable, since, hits, misses, waits, waiting, onlyLocal } = store;
  const age = since === null ? "" : ` for ${formatAge(secondsSince(since))}`;
  return [
    ...(reachable === null ? [] : [`${reachable ? "reachable" : "NOT reachable"}${age}`]),
    `${plural(hits, "answer")} used, ${formatCount(misses)} not recorded before`,
    ...(waits === 0 ? [] : [`waited for other processes ${plural(waits, "time")}, ${formatCount(waiting)} now`]),
    ...(onlyLocal === 0 ? [] : [`${plural(onlyLocal, "answer")} only on this machine`]),
  ].join("; ");
}

function formatCalls({ usage }: MountStatus): string {
  const limit = usage.limits.calls === undefined ? "" : ` of at most ${formatCount(usage.limits.calls)}`;
  // Each attempt is a call, and a request has several until it is answered or fails.
  const unanswered = Math.max(0, usage.calls - (usage.answers - usage.recorded));
  return [
    `${formatCount(usage.calls)}${limit}${unanswered > 0 ? `, ${formatCount(unanswered)} of them unanswered` : ""}`,
    ...(usage.recorded > 0 ? [`${plural(usage.recorded, "answer")} from recordings`] : []),
    ...(usage.failures > 0 ? [`${plural(usage.failures, "request")} failed in the end`] : []),
  ].join("; ");
}

function formatCost({ usage, model = "the model" }: MountStatus): string {
  const { limits, unpricedCalls, inputTokens, outputTokens } = usage;
  const unknown = unpricedCalls > 0 && usage.usd === 0;
  const most = limits.usd === undefined ? "" : ` of at most ${formatMoney(limits.usd)}`;
  return [
    unknown ? `unknown: there is no price for ${model} (set it with --price)` : `${formatMoney(usage.usd)}${most}`,
    ...(limits.tokens === undefined
      ? []
      : [`${formatCount(inputTokens + outputTokens)} of at most ${formatCount(limits.tokens)} tokens`]),
    ...(unpricedCalls > 0 && !unknown ? [`and ${plural(unpricedCalls, "call")} of unknown price`] : []),
  ].join("; ");
}

/** Files and tokens a second between two samples. */
function formatRate(now: Sample, before: Sample): string {
  const seconds = Math.max(0.001, (now.at - before.at) / 1000);
  const done = ({ status }: Sample) => status.files.ready;
  const tokens = ({ status }: Sample) => status.usage.outputTokens;
  const perSecond = (value: (sample: Sample) => number) => Math.max(0, value(now) - value(before)) / seconds;
  return `${perSecond(done).toFixed(1)} files/s, ${perSecond(tokens).toFixed(0)} tokens/s received`;
}

function listSome<T>(all: readonly T[], format: (one: T) => string): readonly string[] {
  const more = all.length - MOST_FILES;
  return [...all.slice(0, MOST_FILES).map(format), ...(more > 0 ? [`and ${formatCount(more)} more`] : [])];
}

function oneLine(text: string | undefined): string | undefined {
  return text?.replace(/[\s\p{Cc}]+/gu, " ").trim();
}
