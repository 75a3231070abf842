/**
 * Copies recordings between stores. Each is verified when it is read, and again after it was written. Existing
 * recordings are left alone, so that an interrupted copy can simply be repeated.
 */
import { pMapIterable } from "p-map";
import { writeRecording } from "./record.ts";
import type { Fault, Recording, RecordingStore } from "./recording.ts";
import { entriesOf } from "./stores/entries.ts";

export interface CopyOptions {
  readonly from: RecordingStore;
  readonly to: RecordingStore;
  /** Only reports what would be copied. */
  readonly dryRun: boolean;
  /** Replaces recordings with another answer. Default: they are conflicts, and stay. */
  readonly overwrite: boolean;
  /** Whether the store signs what is written, whatever signature it had. */
  readonly signs: boolean;
  /** When it is aborted, no further work is started. */
  readonly signal: AbortSignal;
  readonly onProgress?: (copied: Copied) => void;
}

export interface Copied {
  /** Recordings that were copied, or would be. */
  readonly copied: number;
  /** Recordings that the other store already has. */
  readonly same: number;
  /** Recordings for which the other store has a different answer. */
  readonly conflicts: readonly Recording[];
  /** Recordings that could not be read, or were not stored correctly. */
  readonly faults: readonly Fault[];
}

const AT_ONCE = 32;

type Outcome = "copied" | "same" | "conflict" | Fault;

/** Rejects if one of the stores cannot be used at all; what was copied until then stays. */
export async function copyRecordings(options: CopyOptions): Promise<Copied> {
  const { from, signal, onProgress } = options;
  let [copied, same] = [0, 0];
  const conflicts: Recording[] = [];
  const faults: Fault[] = [];
  const entries = until(signal, entriesOf(from));
  const outcomes = pMapIterable(
    entries,
    async ({ recording, fault }) => ({
      recording,
      outcome: recording === undefined ? fault : await copyOne(recording, options),
    }),
    { concurrency: AT_ONCE },
  );
  for await (const { recording, outcome } of outcomes) {
    if (outcome === "copied") copied += 1;
    else if (outcome === "same") same += 1;
    else if (outcome !== "conflict") faults.push(outcome);
    else if (recording !== undefined) conflicts.push(recording);
    onProgress?.({ copied, same, conflicts, faults });
  }
  await options.to.flush?.();
  return { copied, same, conflicts, faults };
}

async function* until<T>(signal: AbortSignal, items: AsyncIterable<T>): AsyncIterable<T> {
  for await (const item of items) {
    if (signal.aborted) return;
    yield item;
  }
}

async function copyOne(recording: Recording, options: CopyOptions): Promise<Outcome> {
  const { to, dryRun, overwrite, signs } = options;
  const { key, label, request } = recording;
  const there = await to.get(key, label, request);
  if (there !== undefined && isSame(there, recording, signs)) return "same";
  const foreign = there === undefined && to.unusable?.(key)?.foreign === true;
  if (!overwrite && (foreign || (there !== undefined && !isSameAnswer(there, recording)))) return "conflict";
  if (dryRun) return "copied";
  await to.put(recording);
  const now = await to.get(key, label, request);
  if (now !== undefined && isSameAnswer(now, recording)) return "copied";
  return { name: label || key, reason: `${to.name} does not have it after it was written` };
}

function isSame(a: Recording, b: Recording, signs: boolean): boolean {
  const textOf = ({ signature, ...rest }: Recording) =>
    writeRecording(signature === undefined || signs ? rest : { ...rest, signature });
  return textOf(a) === textOf(b);
}

function isSameAnswer({ answer: a }: Recording, { answer: b }: Recording): boolean {
  return a.text === b.text && a.model === b.model;
}
