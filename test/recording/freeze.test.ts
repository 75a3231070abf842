import { describe, expect, test } from "bun:test";
import type { ChatRequest, FrozenContent } from "../../src/llm/llm.ts";
import { requestKey } from "../../src/recording/key.ts";
import { readRecording, writeRecording } from "../../src/recording/record.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import type { Recording } from "../../src/recording/recording.ts";
import { createMemoryStore } from "../../src/recording/stores/memory.ts";
import { scriptedModel } from "../support/scripted-model.ts";

const ask = (content: string): ChatRequest => ({ model: "m", messages: [{ role: "user", content }] });

function content(about: string, text: string, frozen: readonly string[] = []): FrozenContent {
  return {
    request: ask(about),
    label: `/${about}`,
    text,
    model: "m",
    frozen,
    isGivenBy: (answer) => answer.text === text,
  };
}

/** A store with the answers "old" to a and b. */
async function setup(mode: "auto" | "record" = "auto") {
  const store = createMemoryStore("memory");
  const model = scriptedModel("new");
  const recorded = createRecordedModel(model, store, { mode });
  for (const about of ["a", "b"]) await store.put(recordingOf(about, "old"));
  const texts = async () => Object.fromEntries((await store.list()).map(({ label, answer }) => [label, answer.text]));
  return { store, model, recorded, texts };
}

function recordingOf(about: string, text: string): Recording {
  return { key: requestKey(ask(about)), label: `/${about}`, request: ask(about), answer: { text, model: "m" } };
}

describe("freezing", () => {
  test("freezing replaces and adds recordings, and keeps those that give the same content", async () => {
    const { recorded, store, texts } = await setup();
    const contents = [content("a", "fixed", ["it was wrong"]), content("b", "old"), content("c", "more")];
    expect(await recorded.freeze?.(contents)).toEqual({
      keys: contents.map(({ request }) => requestKey(request)),
      written: 2,
    });
    expect(await texts()).toEqual({ "/a": "fixed", "/b": "old", "/c": "more" });
    const a = await store.get(requestKey(ask("a")));
    expect(a?.answer.frozen).toEqual(["it was wrong"]);
    expect((await store.get(requestKey(ask("b"))))?.answer.frozen).toBeUndefined();
    expect(await recorded.freeze?.(contents)).toMatchObject({ written: 0 });
  });

  test("replay gives the frozen content", async () => {
    const { recorded, store } = await setup();
    await recorded.freeze?.([content("a", "fixed", ["it was wrong"])]);
    const replayed = createRecordedModel(undefined, store, { mode: "replay" });
    expect(await replayed.complete(ask("a"))).toMatchObject({ text: "fixed", frozen: ["it was wrong"] });
  });

  test("freezing changes nothing if one recording cannot be written", async () => {
    const { store, texts } = await setup();
    const full = {
      ...store,
      async put(recording: Recording) {
        if (recording.label === "/d") throw new Error("no space left");
        await store.put(recording);
      },
    };
    const recorded = createRecordedModel(scriptedModel("x"), full, { mode: "auto" });
    const contents = [content("a", "fixed"), content("c", "more"), content("d", "refused")];
    const error = await recorded.freeze?.(contents).catch((reason: unknown) => reason);
    expect(String(error)).toContain("nothing is frozen, because memory cannot be used: no space left");
    expect(await texts()).toEqual({ "/a": "old", "/b": "old" });
  });

  test("undoing the content restores the recording from before the freeze", async () => {
    const { recorded, texts } = await setup();
    await recorded.freeze?.([content("a", "fixed")]);
    await recorded.restore?.(requestKey(ask("a")));
    expect((await texts())["/a"]).toBe("old");
  });

  test("freezing is possible only if answers are recorded", () => {
    const store = createMemoryStore("memory");
    const has = (mode: "auto" | "record" | "replay" | "off") =>
      createRecordedModel(undefined, store, { mode }).freeze !== undefined;
    expect([has("auto"), has("record"), has("replay"), has("off")]).toEqual([true, true, false, false]);
  });
});

describe("a recording of frozen content", () => {
  const frozen = (reasons: readonly string[]) => ({
    ...recordingOf("a", ""),
    answer: { text: "", model: "m", frozen: reasons },
  });

  test("a recording of frozen content keeps the reasons, and empty content", () => {
    for (const reasons of [[], ['say "tide"', "two\nlines: x"]]) {
      expect(readRecording(writeRecording(frozen(reasons)))).toEqual(frozen(reasons));
    }
  });

  test("a recording of frozen content is refused if its reasons were damaged", () => {
    const text = writeRecording(frozen(["why"])).replace('frozen: ["why"]', "frozen: why");
    expect(() => readRecording(text)).toThrow();
  });
});

describe("a recording of a local server's answer", () => {
  const recording = { ...recordingOf("a", "x"), answer: { text: "x", model: "m", contextLength: 4096 } };

  test("a recording keeps the context of the server", () => {
    expect(writeRecording(recording)).toContain("\ncontext: 4096 tokens\n");
    expect(readRecording(writeRecording(recording))).toEqual(recording);
  });

  test("a recording with a damaged context is refused", () => {
    const text = writeRecording(recording).replace("context: 4096", "context: many");
    expect(() => readRecording(text)).toThrow('"context" in its header is malformed');
  });
});
