/** The contract of every store of recordings, as tests. */
import { expect, test } from "bun:test";
import type { ChatRequest } from "../../src/llm/llm.ts";
import { requestKey } from "../../src/recording/key.ts";
import { removeEntries, selectForPrune } from "../../src/recording/prune.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import type { Fault, Recording, RecordingStore, StoreEntry } from "../../src/recording/recording.ts";
import { entriesOf } from "../../src/recording/stores/entries.ts";

export function recordingOf(text: string, label = "/a.txt", model = "m"): Recording {
  const request: ChatRequest = { model, messages: [{ role: "user", content: `Write ${label}\n\n| é ✓` }] };
  const usage = { inputTokens: 3, outputTokens: 4 };
  return { key: requestKey(request), label, request, answer: { text, model: "m-1", usage } };
}

/** All unusable entries in the store. */
export async function faultsIn(store: RecordingStore): Promise<readonly Fault[]> {
  return (await Array.fromAsync(entriesOf(store))).flatMap(({ fault }) => fault ?? []);
}

/** Removes what is not in `keep`, however recent it is. Returns what was removed. */
export async function pruneTo(store: RecordingStore, keep: readonly Recording[]): Promise<readonly StoreEntry[]> {
  const keys = new Set(keep.map(({ key }) => key));
  const entries = await Array.fromAsync(entriesOf(store));
  const { remove } = selectForPrune(entries, { keep: ({ key }) => keys.has(key), leastAgeMs: 0 });
  await removeEntries(store, remove);
  return remove;
}

/** `open` returns another handle for the same, initially empty place at every call. */
export function storeContract(open: () => RecordingStore): void {
  test("a recording that was put is found by everybody, and one that was not is not", async () => {
    const one = recordingOf("hello\n", "/contract/get");
    expect(await open().get(one.key, one.label)).toBeUndefined();
    await open().put(one);
    expect(await open().get(one.key, one.label)).toEqual(one);
    expect(await open().get(one.key)).toEqual(one);
    expect(await open().get(one.key, one.label, one.request)).toEqual(one);
  });

  test("putting replaces, and removing forgets", async () => {
    const store = open();
    const one = recordingOf("first\n", "/contract/replace");
    await store.put(one);
    await store.put(recordingOf("second\n", "/contract/replace"));
    expect((await store.get(one.key))?.answer.text).toBe("second\n");
    await store.remove?.(one.key);
    expect(await store.get(one.key)).toBeUndefined();
  });

  test("frozen contents replace answers, and come back to the byte with their reasons", async () => {
    const before = recordingOf("answer\n", "/contract/frozen");
    await open().put(before);
    const { request, label, key } = before;
    const frozen = { request, label, text: "", model: "m-1", frozen: ["it was\nwrong"], isGivenBy: () => false };
    const recorded = createRecordedModel(undefined, open(), { mode: "auto" });
    expect(await recorded.freeze?.([frozen])).toEqual({ keys: [key], written: 1 });
    expect((await open().get(key))?.answer).toEqual({ text: "", model: "m-1", frozen: ["it was\nwrong"] });
  });

  test("text of any kind comes back as it was", async () => {
    const store = open();
    for (const [index, text] of ["", "\n", "a\u0000b", "\r\n\r\n", "🌊".repeat(70_000), "\n\nanswer\n"].entries()) {
      const one = recordingOf(text, `/contract/text ${index}`);
      await store.put(one);
      expect(await store.get(one.key)).toEqual(one);
    }
  });

  test("the list is sorted by what the recordings are for", async () => {
    const store = open();
    for (const { key } of await store.list()) await store.remove?.(key);
    for (const label of ["/b", "structure", "/a/c", "/a"]) await store.put(recordingOf("x", label));
    expect((await store.list()).map(({ label }) => label)).toEqual(["/a", "/a/c", "/b", "structure"]);
    expect(await faultsIn(store)).toEqual([]);
  });
}
