import { reasonOf } from "../../errno.ts";
import { NOBODY_ELSE, type Recording, type RecordingStore } from "../recording.ts";

export interface FallbackOptions {
  readonly warn: (message: string) => void;
  /** How long to avoid the first store after it failed. Default 60 s. */
  readonly restMs?: number;
  /** Reading must not write: recordings that only the local store has stay there. */
  readonly lookOnly?: boolean;
}

/**
 * A shared store with a local one as a fallback: while the shared one is down, work continues with the local one.
 *
 * The failure is reported once. Later the shared store is tried again, so that a long-lived mount returns to it; an
 * answer recorded locally in the meantime is copied there when it is next requested. A store that can be read but not
 * written (a replica, a full disk, a key without permission) is still read.
 */
export function withFallback(shared: RecordingStore, local: RecordingStore, options: FallbackOptions): RecordingStore {
  const { warn, restMs = 60_000, lookOnly = false } = options;
  const restsUntil = { reading: 0, writing: 0 };
  let warned = false;

  function onFailure(kind: "reading" | "writing", error: unknown): void {
    const until = performance.now() + restMs;
    restsUntil.writing = until;
    if (kind === "reading") restsUntil.reading = until;
    if (warned) return;
    warned = true;
    const trouble = kind === "reading" ? "cannot be used" : "cannot be written";
    warn(`${shared.name} ${trouble}, so ${local.name} are used instead: ${reasonOf(error, shared.name)}`);
  }

  /** The answer of the shared store; undefined while it is avoided, or if it fails. */
  async function tryShared<T>(kind: "reading" | "writing", work: () => Promise<T>): Promise<{ value: T } | undefined> {
    if (performance.now() < restsUntil[kind]) return undefined;
    try {
      return { value: await work() };
    } catch (error) {
      onFailure(kind, error);
      return undefined;
    }
  }

  async function put(recording: Recording): Promise<boolean> {
    return (await tryShared("writing", () => shared.put(recording))) !== undefined;
  }

  return {
    name: shared.name,
    async get(key, label, request) {
      const found = await tryShared("reading", () => shared.get(key, label, request));
      if (found?.value !== undefined) return found.value;
      const own = await local.get(key, label, request);
      if (own !== undefined && found !== undefined && !lookOnly) await put(own);
      return own;
    },
    async put(recording) {
      if (!(await put(recording))) await local.put(recording);
    },
    async offer(recording) {
      const offered = await tryShared("writing", () => shared.offer(recording));
      return offered?.value ?? local.offer(recording);
    },
    async list() {
      return (await tryShared("reading", () => shared.list()))?.value ?? local.list();
    },
    async remove(key) {
      await tryShared("writing", async () => shared.remove?.(key));
      await local.remove?.(key);
    },
    async claim(key) {
      const claimed = await tryShared("writing", async () => (shared.claim ? await shared.claim(key) : NOBODY_ELSE));
      if (claimed !== undefined) return claimed.value;
      // Without the shared store, only processes on this machine can be waited for.
      return local.claim ? local.claim(key) : NOBODY_ELSE;
    },
    async holder(key) {
      return (await tryShared("writing", async () => shared.holder?.(key)))?.value ?? local.holder?.(key);
    },
    async close() {
      await shared.close?.();
      await local.close?.();
    },
  };
}
