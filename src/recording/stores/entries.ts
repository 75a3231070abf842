/** Everything in a store, and the part of it that can be used. */
import type { Fault, Recording, RecordingStore, StoreEntry } from "../recording.ts";

/** An entry that is a valid recording. */
export type ValidEntry = Extract<StoreEntry, { readonly recording: Recording }>;

/** Everything in a store. */
export async function* entriesOf(store: RecordingStore): AsyncIterable<StoreEntry> {
  if (store.entries !== undefined) return yield* store.entries();
  for (const recording of await store.list()) yield { name: recording.key, recording };
}

/** The valid ones, in the order of `RecordingStore.list`. Calls `onFault` for each of the others. */
export async function selectValid(
  entries: AsyncIterable<StoreEntry>,
  onFault: (fault: Fault) => void,
): Promise<readonly ValidEntry[]> {
  const valid: ValidEntry[] = [];
  for await (const entry of entries) {
    if (entry.recording === undefined) onFault(entry.fault);
    else valid.push(entry);
  }
  return valid.sort((a, b) => compareLabels(a.recording, b.recording));
}

/** The order of `RecordingStore.list`. */
export function compareLabels(a: Recording, b: Recording): number {
  if (a.label !== b.label) return a.label < b.label ? -1 : 1;
  return a.key < b.key ? -1 : Number(a.key > b.key);
}
