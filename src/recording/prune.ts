/**
 * Chooses what to remove from a store.
 *
 * A store may be shared by teams, or be filled by another machine at this moment. So recordings of other owners and
 * young recordings are not removed. Recordings that are unreadable for this version or with these keys may be readable
 * for others, so they stay too.
 */
import pMap from "p-map";
import type { Recording, RecordingStore, StoreEntry } from "./recording.ts";

export interface PruneOptions {
  /** Whether a recording is still needed. */
  readonly keep: (recording: Recording) => boolean;
  /**
   * Only recordings of these owners are removed; "" stands for recordings without an owner. Absent: those of all
   * owners.
   */
  readonly owners?: ReadonlySet<string>;
  /** Younger recordings are not removed. Those of unknown age are removed only if this is 0. */
  readonly leastAgeMs: number;
}

export interface Selection {
  readonly remove: readonly StoreEntry[];
  /** Recordings that are needed, or were written by another version of llmfs or with another key. */
  readonly kept: readonly StoreEntry[];
  /** Would be removed if they were older. */
  readonly young: readonly StoreEntry[];
  /** Would be removed if they belonged to one of the owners. */
  readonly others: readonly StoreEntry[];
}

export function selectForPrune(entries: readonly StoreEntry[], { keep, owners, leastAgeMs }: PruneOptions): Selection {
  const selection = { remove: [], kept: [], young: [], others: [] } satisfies Record<keyof Selection, StoreEntry[]>;
  const groups: Record<keyof Selection, StoreEntry[]> = selection;
  for (const entry of entries) {
    const needed = entry.recording === undefined ? entry.fault.foreign === true : keep(entry.recording);
    if (needed) groups.kept.push(entry);
    // A damaged recording is useless to everyone, so its owner does not matter.
    else if (entry.recording !== undefined && owners?.has(ownerOf(entry.recording)) === false)
      groups.others.push(entry);
    else if (isYoung(entry, leastAgeMs)) groups.young.push(entry);
    else groups.remove.push(entry);
  }
  return groups;
}

function isYoung({ age }: StoreEntry, leastAgeMs: number): boolean {
  return leastAgeMs > 0 && (age === undefined || age < leastAgeMs);
}

/** "" if the recording has no owner. */
function ownerOf({ owner = "" }: Recording): string {
  return owner;
}

/** The number of entries of each owner, largest first. Damaged entries have no owner. */
export function countByOwner(entries: readonly StoreEntry[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { recording } of entries) {
    if (recording === undefined) continue;
    const owner = ownerOf(recording);
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  return new Map([...counts].sort(([, a], [, b]) => b - a));
}

const AT_ONCE = 32;

/** Rejects if the store is read-only, or cannot be written. */
export async function removeEntries(store: RecordingStore, entries: readonly StoreEntry[]): Promise<void> {
  const { remove, discard } = store;
  if (remove === undefined) throw new Error(`${store.name} is read-only`);
  await pMap(
    entries,
    async ({ name, recording }) => {
      if (recording !== undefined) await remove(recording.key, recording.label);
      else await discard?.(name);
    },
    { concurrency: AT_ONCE },
  );
}
