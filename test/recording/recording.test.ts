import { describe, expect, test } from "bun:test";
import { type ChatRequest, LlmError } from "../../src/llm/llm.ts";
import { describeDifference } from "../../src/recording/explain-miss.ts";
import { requestKey } from "../../src/recording/key.ts";
import { createRecordedModel, type RecordingMode } from "../../src/recording/recorded-model.ts";
import type { RecordingStore } from "../../src/recording/recording.ts";
import { createFolderStore } from "../../src/recording/stores/folder.ts";
import { createMemoryStore } from "../../src/recording/stores/memory.ts";
import { Sandbox } from "../support/program.ts";
import { type ScriptedModel, scriptedModel } from "../support/scripted-model.ts";

const ask = (content: string): ChatRequest => ({ model: "m", messages: [{ role: "user", content }] });

const HI = ask("Hi");

function setup(
  mode: RecordingMode,
  model: ScriptedModel | undefined = scriptedModel("hello"),
  store = createMemoryStore("memory"),
) {
  const warnings: string[] = [];
  return {
    store,
    model,
    warnings,
    recorded: createRecordedModel(model, store, { mode, warn: (line) => warnings.push(line) }),
  };
}

async function failure(promise: Promise<unknown>): Promise<LlmError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof LlmError) return error;
  throw new Error(`not an LlmError: ${String(error)}`);
}

describe("auto mode", () => {
  test("auto mode calls the model once, records the answer, and replays it from then on", async () => {
    const { model, recorded, store } = setup("auto");
    const first = await recorded.complete(HI, { label: "/a.txt" });
    const second = await recorded.complete(HI);
    const key = requestKey(HI);
    expect(first).toEqual({ text: "hello", model: "m", usage: { inputTokens: 11, outputTokens: 7 }, key });
    expect(second).toEqual({ ...first, recorded: true });
    expect(model?.requests).toHaveLength(1);
    expect(await store.list()).toEqual([
      {
        key,
        label: "/a.txt",
        request: HI,
        answer: { text: "hello", model: "m", usage: { inputTokens: 11, outputTokens: 7 } },
      },
    ]);
  });

  test("auto mode passes the text to onText, even from a recording", async () => {
    const { recorded } = setup("auto");
    const heard: string[] = [];
    await recorded.complete(HI);
    await recorded.complete(HI, { onText: (piece) => heard.push(piece) });
    expect(heard).toEqual(["hello"]);
  });

  test("a failure is not recorded", async () => {
    const { recorded, store } = setup("auto", scriptedModel(new LlmError("server", "no")));
    await failure(recorded.complete(HI));
    expect(await store.list()).toEqual([]);
  });

  test("without a model, recorded requests are answered, and the error for other requests names what is missing", async () => {
    const { store } = setup("auto");
    await createRecordedModel(scriptedModel("hello"), store, { mode: "auto" }).complete(HI);
    const alone = createRecordedModel(undefined, store, { mode: "auto" });
    expect((await alone.complete(HI)).text).toBe("hello");
    const error = await failure(alone.complete(ask("Bye"), { label: "/b.txt" }));
    expect(error.kind).toBe("unconfigured");
    expect(error.message).toContain("/b.txt");
  });

  test("auto mode continues without a store that fails, and warns once", async () => {
    const broken: RecordingStore = {
      name: "redis://nowhere",
      get: () => Promise.reject(new Error("connection refused")),
      put: () => Promise.reject(new Error("connection refused")),
      offer: () => Promise.reject(new Error("connection refused")),
      list: () => Promise.reject(new Error("connection refused")),
    };
    const { recorded, warnings } = setup("auto", scriptedModel("hello"), broken);
    expect((await recorded.complete(HI)).text).toBe("hello");
    await recorded.complete(HI);
    expect(warnings).toHaveLength(2);
    expect(warnings.join()).toContain("redis://nowhere cannot be read");
    const error = await failure(createRecordedModel(undefined, broken, { mode: "replay" }).complete(HI));
    expect(error.message).toContain("redis://nowhere cannot be used: connection refused");
  });
});

test("if two answers are recorded at once, the first one is used for both", async () => {
  const store = createMemoryStore("memory");
  const key = requestKey(HI);
  const model = scriptedModel(async () => {
    await store.put({ key, label: "/a", request: HI, answer: { text: "theirs", model: "m" } });
    return "ours";
  });
  const answer = await createRecordedModel(model, store, { mode: "auto" }).complete(HI, { label: "/a" });
  expect(answer).toMatchObject({ text: "theirs", usage: { inputTokens: 11, outputTokens: 7 } });
  expect(answer.recorded).toBeUndefined();
  expect((await store.get(key))?.answer.text).toBe("theirs");
});

describe("record mode without a usable store", () => {
  const broken = new Error("redis://nowhere: connection refused");
  const store: RecordingStore = { ...createMemoryStore("redis://nowhere"), put: () => Promise.reject(broken) };

  test("record mode fails rather than lose an answer", async () => {
    const { recorded } = setup("record", scriptedModel("hello"), store);
    const error = await failure(recorded.complete(HI));
    expect([error.kind, error.message]).toEqual(["recordings", "redis://nowhere cannot be used: connection refused"]);
  });

  test("record mode fails before anything is sent if a claim fails", async () => {
    const claiming = { ...store, claim: () => Promise.reject(broken) };
    const { recorded, model } = setup("record", scriptedModel("hello"), claiming);
    expect((await failure(recorded.complete(HI))).kind).toBe("recordings");
    expect(model?.requests).toEqual([]);
  });
});

test("record mode calls the model again and replaces the recording", async () => {
  const { recorded, model, store } = setup("record", scriptedModel("one", "two"));
  await recorded.complete(HI);
  expect((await recorded.complete(HI)).text).toBe("two");
  expect(model?.requests).toHaveLength(2);
  expect((await store.list()).map(({ answer }) => answer.text)).toEqual(["two"]);
});

test("a replaced answer can be restored, and running the restore again redoes it", async () => {
  const { recorded, store } = setup("auto", scriptedModel("one", "two", "three"));
  const kept = async () => (await store.list()).map(({ answer }) => answer.text);
  const key = requestKey(HI);
  await recorded.complete(HI);
  await recorded.restore?.(key);
  expect(await kept()).toEqual(["one"]);
  await recorded.complete(HI, { again: true });
  expect(await kept()).toEqual(["two"]);
  await recorded.restore?.(key);
  expect(await kept()).toEqual(["one"]);
  await recorded.restore?.(key);
  expect(await kept()).toEqual(["two"]);
  await recorded.complete(HI, { again: true });
  await recorded.restore?.(key);
  expect([await kept(), (await recorded.complete(HI)).text]).toEqual([["two"], "two"]);
});

test("off mode neither reads nor writes, but returns the key", async () => {
  const { recorded, model, store } = setup("off");
  await recorded.complete(HI);
  expect((await recorded.complete(HI)).key).toBe(requestKey(HI));
  expect(model?.requests).toHaveLength(2);
  expect(await store.list()).toEqual([]);
});

describe("replay mode", () => {
  test("replay answers without the model", async () => {
    const { store } = setup("auto");
    await createRecordedModel(scriptedModel("hello"), store, { mode: "auto" }).complete(HI);
    const { recorded, model } = setup("replay", scriptedModel("never"), store);
    expect(await recorded.complete(HI)).toMatchObject({ text: "hello", recorded: true });
    const error = await failure(recorded.complete(ask("Ho")));
    expect(error.kind).toBe("unrecorded");
    expect(model?.requests).toEqual([]);
  });

  test("a miss reports the file, the nearest recording, and the first difference", async () => {
    const { recorded: recorder, store } = setup("auto");
    await recorder.complete(ask("The tree:\na\nb\n\nWrite a"), { label: "/a" });
    await recorder.complete(ask("The tree:\na\nb\n\nWrite b"), { label: "/b" });
    const { recorded } = setup("replay", undefined, store);
    const error = await failure(recorded.complete(ask("The tree:\na\nc\n\nWrite b"), { label: "/b" }));
    const key = requestKey(ask("The tree:\na\nb\n\nWrite b")).slice(0, 16);
    expect(error.message).toContain("no recording for /b (");
    expect(error.message).toContain(
      `The nearest is /b (${key}…): the prompt differs at line 3: recorded "b", asked "c"`,
    );
  });

  test("a miss reports a damaged recording with the same key", async () => {
    const fault = { name: "x/a.txt", reason: "its answer was changed" };
    const damaged = { ...createMemoryStore("recordings in x"), unusable: () => fault };
    const { recorded } = setup("replay", undefined, damaged);
    expect((await failure(recorded.complete(HI, { label: "/a.txt" }))).message).toMatch(
      /^the recording for \/a\.txt \([0-9a-f]{16}…\) cannot be used: x\/a\.txt: its answer was changed; restore it/,
    );
  });

  test("a miss in an empty store reports that it is empty", async () => {
    const { recorded } = setup("replay", undefined, createMemoryStore("recordings in fixtures"));
    expect((await failure(recorded.complete(HI, { label: "/a" }))).message).toContain(
      "recordings in fixtures has none",
    );
  });
});

test("a miss in a folder that does not exist says so", async () => {
  using sandbox = new Sandbox();
  const folder = sandbox.at("recordngs");
  const { recorded } = setup("replay", undefined, createFolderStore(folder));
  const { message } = await failure(recorded.complete(HI, { label: "/a" }));
  expect(message).toContain(`recordings in ${folder}, because the folder does not exist; check the spelling`);
});

test("a request cancelled before it starts is cancelled in every mode", async () => {
  for (const mode of ["auto", "record", "replay", "off"] as const) {
    const { recorded, model } = setup(mode);
    expect((await failure(recorded.complete(HI, { signal: AbortSignal.abort() }))).kind).toBe("cancelled");
    expect(model?.requests).toEqual([]);
  }
});

test("the first difference is described in words", () => {
  const two: ChatRequest = { ...HI, messages: [{ role: "system", content: "a\nb" }, ...HI.messages] };
  const cases: [ChatRequest, ChatRequest, string][] = [
    [HI, { ...HI, model: "n" }, 'the model differs: recorded "m", asked "n"'],
    [HI, { ...HI, temperature: 0 }, "the temperature differs: recorded nothing, asked 0"],
    [{ ...HI, maxTokens: 5 }, { ...HI, maxTokens: 6 }, "the token limit differs: recorded 5, asked 6"],
    [HI, ask("Hi\nthere"), 'the prompt differs at line 2: recorded nothing, asked "there"'],
    [
      two,
      { ...two, messages: [{ role: "system", content: "a\nc" }] },
      'the instructions differ at line 2: recorded "b", asked "c"',
    ],
    [
      { ...HI, messages: [...HI.messages, ...HI.messages] },
      HI,
      "the conversation has 1 messages; the recorded one has 2",
    ],
    [HI, { ...HI, schema: { name: "s", schema: {} } }, "the schema of the answer differs"],
  ];
  for (const [recorded, asked, words] of cases) expect(describeDifference(recorded, asked)).toBe(words);
});

test("a read-only store refuses writes", async () => {
  const store = createMemoryStore("the demo", [], { readOnly: true });
  const { warnings, recorded } = setup("auto", scriptedModel("hello"), store);
  await recorded.complete(HI);
  expect(warnings).toEqual([
    "answers are not recorded, because the demo cannot be written: the demo is read-only; choose another place with --recordings",
  ]);
});
