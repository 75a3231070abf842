/** Shows the progress of generating files ahead: a bar while it runs, then a summary and the failures. */

import type { Generation } from "../../app/generation.ts";
import { CONCURRENCY } from "../../app/mount-info.ts";
import { createTenthCheck, type Progress } from "../../app/progress.ts";
import type { Config } from "../../app/settings/settings.ts";
import { messageOf } from "../../errno.ts";
import type { Usage } from "../../generate/spending/usage-counter.ts";
import type { Warmed, WarmFile } from "../../generate/warm.ts";
import type { MountedFilesystem } from "../../mount/filesystem.ts";
import { schemeOf } from "../../recording/stores/address.ts";
import type { PendingFile } from "../../rpc/messages.ts";
import { secondsSince } from "../../text/duration.ts";
import { printableLine } from "../../text/printable.ts";
import { WIDTH } from "./terminal.ts";

export type Spent = Pick<Usage, "calls" | "inputTokens" | "outputTokens" | "usd">;

export interface Cost extends Spent {
  readonly seconds: number;
}

export interface WarmingOptions {
  readonly files: readonly WarmFile[];
  /** How many files the mount generates at a time. */
  readonly concurrency: number;
  /** Where answers are recorded. Absent if the model is asked in any case. */
  readonly recording?: RecordingPlace;
  make(path: string): Promise<void>;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** What the mount has spent so far. */
  usage(): Spent | undefined;
  /**
   * Called at the end. Cancels running generations, if the signal has fired; the summary then includes what they cost. Resolves
   * when what was recorded is on the disk.
   */
  stop(): Promise<void>;
  /** The reasons of failures, by path. Default: the message of each error. */
  reasons?(): ReadonlyMap<string, string> | Promise<ReadonlyMap<string, string>>;
}

interface RecordingPlace {
  /** A RecordingMode. */
  readonly mode: string;
  readonly recordings: string;
}

/** The result, which can be printed as JSON. */
export interface Warming extends Cost {
  readonly total: number;
  readonly done: number;
  readonly failed: readonly { readonly path: string; readonly error: string }[];
}

const BAR = 16;
/** A bar shorter than this is not worth showing. */
const SHORTEST_BAR = 4;
const TICK_MS = 200;
/** Requested files per generation slot at the start. It is small so that the first file does not wait for all others. */
const AT_FIRST = 2;
/**
 * Requested files per generation slot later on. With more requests in flight than slots, messages between the threads are
 * batched, neither thread idles while there is work, and files that another machine is generating do not block a slot.
 */
const AHEAD = 4;
/** Requested files if most answers come from a server that is far away, so that many are under way at a time. */
const LOOKUPS = 128;
/** With fewer files than this, no intermediate lines are printed. */
const LONG = 50;

/** Reports progress and failures. Does not reject. */
export async function runWarming(options: WarmingOptions): Promise<Warming> {
  const { rotate, warm } = await import("../../generate/warm.ts");
  const { concurrency, recording = NOT_RECORDED, make, signal, progress } = options;
  const files = isSharedForWriting(recording) ? rotate(options.files, Math.random()) : options.files;
  const begun = performance.now();
  const before = options.usage();
  let state: Warmed = { total: files.length, done: 0, failed: [] };
  const due = createTenthCheck(progress);
  const sum = (): Warming => formatSummary(state, before, options.usage(), begun);
  if (files.length > 0) progress.step("generating");
  const timer = setInterval(() => progress.line(formatBar(sum(), WIDTH - "⠋ ".length)), TICK_MS);
  try {
    state = await warm(files, {
      ...countInFlight(concurrency, recording),
      make,
      signal,
      onProgress(now) {
        state = now;
        if (now.total >= LONG && due(now.done + now.failed.length, now.total)) progress.print(formatBar(sum()));
      },
    });
    if (files.length > 0) await options.stop();
  } finally {
    clearInterval(timer);
    progress.clear();
  }
  const reasons = state.failed.length === 0 ? undefined : await options.reasons?.();
  const failed = state.failed.map(({ path, error }) => ({ path, error: reasons?.get(path) ?? messageOf(error) }));
  return { ...sum(), failed };
}

const NOT_RECORDED: RecordingPlace = { mode: "off", recordings: "" };

/** How many files to request: see WarmOptions. */
function countInFlight(concurrency: number, { mode, recordings }: RecordingPlace) {
  const far = mode !== "off" && schemeOf(recordings) !== undefined;
  const most = Math.max(concurrency * AHEAD, far ? LOOKUPS : 0);
  if (mode === "replay") return { first: most, most, slots: most };
  return { first: concurrency * AT_FIRST, most, slots: concurrency };
}

/** Whether other machines may be generating the same files. */
function isSharedForWriting({ mode, recordings }: RecordingPlace): boolean {
  return (mode === "auto" || mode === "record") && schemeOf(recordings) !== undefined;
}

/** Generates every pending file of a mount that this process serves. */
export async function warmMount(
  filesystem: MountedFilesystem,
  { config, generation, progress, signal, select = (files) => files }: WarmMountOptions,
): Promise<Warming> {
  using _ = filesystem.quietFailures();
  return await runWarming({
    files: select(sortByPath(generation.addDependencies(await filesystem.pending()))),
    concurrency: config.concurrency ?? CONCURRENCY,
    recording: config,
    make: filesystem.make,
    stop: generation.settle,
    signal,
    progress,
    usage: () => generation.usage,
    reasons: async () => reasonsOf(await filesystem.pending()),
  });
}

export interface WarmMountOptions {
  readonly config: Pick<Config, "concurrency" | "mode" | "recordings">;
  readonly generation: Generation;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Chooses among the pending files. Default: all. */
  readonly select?: (files: readonly PendingFile[]) => readonly PendingFile[];
}

/** Sorts files into the order in which they are generated. */
export function sortByPath<F extends WarmFile>(files: readonly F[]): readonly F[] {
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** The reasons of failures, by path. */
function reasonsOf(files: readonly PendingFile[]): ReadonlyMap<string, string> {
  return new Map(files.flatMap(({ path, error }) => (error === undefined ? [] : [[path, error]])));
}

/** The final lines: a summary, then the failures. If the run was stopped, `kept` tells what happens to the finished files. */
export function formatWarming(result: Warming, kept?: string): readonly string[] {
  const { total, done, failed, seconds } = result;
  const left = total - done - failed.length;
  if (total === 0) return ["nothing to generate: every file has content"];
  const counts = [
    `${done} of ${total} ${total === 1 ? "file" : "files"} generated in ${seconds.toFixed(1)} s`,
    formatCost(result),
    ...(failed.length === 0 ? [] : [`${failed.length} failed`]),
    ...(kept === undefined ? [] : [`stopped with ${left} left; finished files are ${kept}`]),
  ];
  return [counts.join("; "), ...formatFailures(failed)];
}

/** Files that failed for the same reason share a line, which names the first few. */
const NAMED = 3;

/** One line for each cause, in order of first occurrence. */
function formatFailures(failed: Warming["failed"]): readonly string[] {
  const groups = new Map<string, Warming["failed"][number][]>();
  for (const one of failed) {
    const cause = causeOf(one);
    const group = groups.get(cause);
    if (group === undefined) groups.set(cause, [one]);
    else group.push(one);
  }
  return [...groups].flatMap(([cause, group]) => {
    if (group.length <= NAMED) {
      return group.map(({ path, error }) => `failed: ${printableLine(path)}: ${error.replace(`: ${path}: `, ": ")}`);
    }
    const named = group.slice(0, NAMED).map(({ path }) => printableLine(path));
    return [`failed: ${group.length} files (${named.join(", ")} and ${group.length - NAMED} more): ${cause}`];
  });
}

/** The reason without the details that differ between files: the path, request keys and the nearest recording. */
function causeOf({ path, error }: Warming["failed"][number]): string {
  const own = new RegExp(`(?<![\\w./-])${RegExp.escape(path)}(?![\\w/-]|\\.\\w)`, "g");
  return error
    .replace(`: ${path}: `, ": ")
    .replace(own, "the file")
    .replace(/ \([0-9a-f]{16}…\)/g, "")
    .replace(/\. The nearest is (?:the file|\S+): /, ". In the nearest ")
    .replace(/\bafter \d+ characters\b/, "after some characters");
}

function formatSummary(state: Warmed, before: Spent | undefined, after: Spent | undefined, begun: number): Warming {
  return {
    total: state.total,
    done: state.done,
    failed: state.failed.map(({ path, error }) => ({ path, error: messageOf(error) })),
    ...describeCost(before, after, begun),
  };
}

/** What was spent since a moment. `begun` is of the monotonic clock, in milliseconds. */
export function describeCost(before: Spent | undefined, after: Spent | undefined, begun: number): Cost {
  const since = (name: keyof Spent) => Math.max(0, (after?.[name] ?? 0) - (before?.[name] ?? 0));
  return {
    calls: since("calls"),
    inputTokens: since("inputTokens"),
    outputTokens: since("outputTokens"),
    usd: since("usd"),
    seconds: secondsSince(begun),
  };
}

/** Formats a line of at most `width` columns. The bar takes the space that the numbers leave. */
export function formatBar(result: Warming, width = Number.POSITIVE_INFINITY): string {
  const { total, done, failed, seconds } = result;
  const ended = done + failed.length;
  const rate = seconds > 0 ? ended / seconds : 0;
  const parts = [
    `${ended}/${total}`,
    `${rate.toFixed(rate < 10 ? 1 : 0)}/s`,
    rate > 0 ? `${formatTime((total - ended) / rate)} left` : "",
    `${formatShort(result.inputTokens)}+${formatShort(result.outputTokens)} tokens`,
    result.usd === 0 ? "" : `$${result.usd.toFixed(2)}`,
    failed.length === 0 ? "" : `${failed.length} failed`,
  ];
  const text = parts.filter((part) => part !== "").join(" · ");
  const room = Math.min(BAR, width - text.length - 1);
  if (room < SHORTEST_BAR) return text;
  const filled = total === 0 ? room : Math.floor((ended * room) / total);
  return `${"█".repeat(filled)}${"░".repeat(room - filled)} ${text}`;
}

function formatTime(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  return seconds < 6000 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Abbreviates a count to fit a terminal line: 950, 12k, 3.4M. */
function formatShort(count: number): string {
  if (count < 1000) return String(count);
  if (count < 1_000_000) return `${(count / 1000).toFixed(count < 10_000 ? 1 : 0)}k`;
  return `${(count / 1_000_000).toFixed(1)}M`;
}

function formatCost({ calls, inputTokens, outputTokens, usd }: Warming): string {
  if (calls === 0) return "no calls";
  const money = usd === 0 ? "" : `, $${usd.toFixed(4)}`;
  return `${calls} ${calls === 1 ? "call" : "calls"}, ${inputTokens} + ${outputTokens} tokens${money}`;
}
