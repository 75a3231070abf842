/**
 * Records the contents of a whole tree as the answers to their requests.
 *
 * Other processes read the store in the meantime. Requests without an answer are recorded first, because nothing
 * depends on them yet; then existing answers are replaced. If one recording cannot be written, all are undone.
 */
import { reasonOf } from "../errno.ts";
import { type Freezing, type FrozenContent, LlmError } from "../llm/llm.ts";
import { requestKey } from "./key.ts";
import type { Recording, RecordingStore } from "./recording.ts";

/** How many recordings are read or written at a time. */
const AT_ONCE = 16;

interface Change {
  readonly recording: Recording;
  /** The previous recording, if there was one. */
  readonly before: Recording | undefined;
}

/**
 * Replaced recordings are added to `replaced`, by key. Rejects with LlmError "recordings"; then nothing has changed.
 */
export async function freezeInto(
  store: RecordingStore,
  contents: readonly FrozenContent[],
  replaced: Map<string, Recording>,
): Promise<Freezing> {
  const keys = contents.map(({ request }) => requestKey(request));
  const changes: Change[] = [];
  const begun: Change[] = [];
  try {
    await doAll([...contents.entries()], async ([index, content]) => {
      const key = keys[index] ?? "";
      const before = await store.get(key, content.label, content.request);
      if (before !== undefined && content.isGivenBy({ ...before.answer, key })) return;
      changes.push({ recording: recordingOf(content, key), before });
    });
    for (const group of [changes.filter(isAddition), changes.filter((change) => !isAddition(change))]) {
      await doAll(group, async (change) => {
        begun.push(change);
        await store.put(change.recording);
      });
    }
    await store.flush?.();
  } catch (error) {
    const left = await takeBack(store, begun);
    const also = left === 0 ? "" : `; ${left} recordings could not be taken back`;
    const reason = reasonOf(error, store.name);
    throw new LlmError("recordings", `nothing is frozen, because ${store.name} cannot be used: ${reason}${also}`, {
      cause: error,
    });
  }
  for (const { recording, before } of changes) if (before !== undefined) replaced.set(recording.key, before);
  return { keys, written: changes.length };
}

function isAddition({ before }: Change): boolean {
  return before === undefined;
}

function recordingOf({ request, label, text, model, usage, frozen }: FrozenContent, key: string): Recording {
  return { key, label, request, answer: { text, model, ...(usage && { usage }), frozen } };
}

/** Returns how many changes could not be undone. */
async function takeBack(store: RecordingStore, changes: readonly Change[]): Promise<number> {
  let left = 0;
  await doAll(changes, async ({ recording, before }) => {
    try {
      if (before !== undefined) await store.put(before);
      else await store.remove?.(recording.key);
    } catch {
      left += 1;
    }
  });
  return left;
}

/** Rejects with the first error, after all work that had begun is done. */
async function doAll<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  let failed = false;
  const worker = async () => {
    for (const item of queue) {
      if (failed) return;
      try {
        await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
