import type { RecordingStore } from "./recording.ts";

export interface FallbackOptions {
  readonly warn: (message: string) => void;
  /** How long the first store is left alone after it failed. Default 60 s. */
  readonly restMs?: number;
}

/**
 * A shared store with a local one behind it: while the shared one is down, work goes on with the local one.
 *
 * It is said once. After a while the shared one is tried again, so that a long-lived mount finds back to it.
 */
export function withFallback(shared: RecordingStore, local: RecordingStore, options: FallbackOptions): RecordingStore {
  const { warn, restMs = 60_000 } = options;
  let restsUntil = 0;
  let warned = false;

  async function use<T>(work: (store: RecordingStore) => Promise<T>): Promise<T> {
    if (performance.now() >= restsUntil) {
      try {
        return await work(shared);
      } catch (error) {
        restsUntil = performance.now() + restMs;
        if (!warned) {
          const why = error instanceof Error ? error.message : String(error);
          warn(`${shared.name} cannot be used, so ${local.name} are used instead: ${why}`);
        }
        warned = true;
      }
    }
    return work(local);
  }

  return {
    name: shared.name,
    get: (key, label, request) => use((store) => store.get(key, label, request)),
    put: (recording) => use((store) => store.put(recording)),
    list: () => use((store) => store.list()),
    check: () => use(async (store) => (await store.check?.()) ?? []),
    // Without the shared store there is nobody to wait for: whoever asks may begin.
    claim: (key) => use((store) => (store.claim ? store.claim(key) : Promise.resolve(UNSHARED))),
    async close() {
      await shared.close?.();
      await local.close?.();
    },
  };
}

const UNSHARED: AsyncDisposable = { async [Symbol.asyncDispose]() {} };
