import type { Recording, RecordingStore } from "../recording.ts";
import { compareLabels } from "./entries.ts";

/** Recordings in memory: those inside the executable (read-only), and those of tests. */
export function createMemoryStore(
  name: string,
  recordings: Iterable<Recording> = [],
  { readOnly = false }: { readonly readOnly?: boolean } = {},
): RecordingStore {
  const byKey = new Map<string, Recording>();
  for (const recording of recordings) byKey.set(recording.key, recording);
  async function put(recording: Recording): Promise<void> {
    if (readOnly) throw new Error(`${name} is read-only`);
    byKey.set(recording.key, recording);
  }

  return {
    name,
    get: async (key) => byKey.get(key),
    put,
    async offer(recording) {
      const there = byKey.get(recording.key);
      if (there === undefined) await put(recording);
      return there ?? recording;
    },
    list: async () => [...byKey.values()].sort(compareLabels),
    ...(readOnly ? {} : { remove: async (key: string) => void byKey.delete(key) }),
  };
}
