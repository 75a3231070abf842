/** A store far away: many requests are under way to it at a time, but few claims are held. */
import { expect, test } from "bun:test";
import { createEngine } from "../../src/generate/engine.ts";
import { createBudget } from "../../src/generate/spending/budget.ts";
import { limitConcurrency } from "../../src/generate/spending/limit-concurrency.ts";
import type { ChatRequest } from "../../src/llm/llm.ts";
import { createOpenaiModel } from "../../src/llm/openai.ts";
import { requestKey } from "../../src/recording/key.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import type { RecordingStore } from "../../src/recording/recording.ts";
import { createMemoryStore } from "../../src/recording/stores/memory.ts";
import { openaiServer } from "../support/openai-server.ts";
import { eventually } from "../support/program.ts";
import { opened, scriptedModel } from "../support/scripted-model.ts";
import { type PlainTree, treePort } from "../support/tree-port.ts";

const ask = (content: string): ChatRequest => ({ model: "m", messages: [{ role: "user", content }] });
const PATHS = Array.from({ length: 100 }, (_, index) => `/${index}.txt`);

/** A store that answers lookups when the gate opens, and counts those that wait. */
function gated(store: RecordingStore) {
  const gate = Promise.withResolvers<void>();
  const counts = { lookups: 0, claims: 0, mostClaims: 0 };
  const slow: RecordingStore = {
    ...store,
    async get(key, label, request) {
      counts.lookups += 1;
      await gate.promise;
      counts.lookups -= 1;
      return store.get(key, label, request);
    },
    async claim() {
      counts.claims += 1;
      counts.mostClaims = Math.max(counts.mostClaims, counts.claims);
      return {
        async [Symbol.asyncDispose]() {
          counts.claims -= 1;
        },
      };
    },
  };
  return { slow, counts, open: gate.resolve };
}

test("replay looks up a hundred recordings at a time although only four slots are for generation", async () => {
  const tree = treePort(Object.fromEntries(PATHS.map((path) => [path, { pending: "text" }])) satisfies PlainTree);
  const store = createMemoryStore("recordings");
  const first = createEngine({
    openModel: opened(createRecordedModel(scriptedModel("text\n"), store, { mode: "auto" })),
    tree,
  });
  const never = new AbortController().signal;
  for (const path of PATHS) await first.generate(tree.request(path), never);

  const { slow, counts, open } = gated(store);
  const model = createRecordedModel(undefined, slow, { mode: "replay" });
  const engine = createEngine({ openModel: opened(model), tree, concurrency: 4 });
  const contents = Promise.all(PATHS.map((path) => engine.generate(tree.request(path), never)));
  await eventually("all lookups are under way", () => counts.lookups === PATHS.length);
  open();
  expect(await contents).toHaveLength(PATHS.length);
});

test("no more claims are held than the concurrency of the model allows", async () => {
  const { slow, counts, open } = gated(createMemoryStore("recordings"));
  const model = scriptedModel("text");
  const recorded = createRecordedModel(model, slow, { mode: "auto", claimsAtOnce: 8 });
  open();
  await Promise.all(PATHS.map((path) => recorded.complete(ask(path))));
  expect(counts.mostClaims).toBe(8);
  expect(model.requests).toHaveLength(PATHS.length);
});

test("a request that waits for a slot can be cancelled", async () => {
  const { slow, open } = gated(createMemoryStore("recordings"));
  const recorded = createRecordedModel(scriptedModel("text"), slow, { mode: "auto" });
  const running = Array.from({ length: 200 }, (_, index) => recorded.complete(ask(`${index}`)));
  const stop = new AbortController();
  const last = recorded.complete(ask("last"), { signal: stop.signal }).catch((error: unknown) => error);
  stop.abort();
  expect(await last).toMatchObject({ kind: "cancelled" });
  open();
  expect(await Promise.all(running)).toHaveLength(200);
});

test("a request that waited long in the queue is not sent if another process has answered it in the meantime", async () => {
  const store = createMemoryStore("recordings");
  const gate = Promise.withResolvers<string>();
  const model = scriptedModel(() => gate.promise);
  const recorded = createRecordedModel(limitConcurrency(model, 1), store, { mode: "auto", staleMs: 0 });
  const first = recorded.complete(ask("first"));
  const second = recorded.complete(ask("second"));
  await eventually("the first request is sent", () => model.requests.length === 1);
  const request = ask("second");
  await store.put({ key: requestKey(request), label: "", request, answer: { text: "theirs", model: "m" } });
  gate.resolve("ours");
  expect((await first).text).toBe("ours");
  expect(await second).toMatchObject({ text: "theirs", recorded: true });
  expect(model.requests).toHaveLength(1);
});

test("a request that fails is not sent again if another process has answered in the meantime", async () => {
  const store = createMemoryStore("recordings");
  const request = ask("x");
  const theirs = { key: requestKey(request), label: "", request, answer: { text: "theirs", model: "m" } };
  await using server = await openaiServer();
  // As when this process was stopped: its connection ends, and another process has answered.
  server.script(async () => {
    await store.put(theirs);
    return { drop: true };
  });
  const model = createOpenaiModel({ baseUrl: server.baseUrl });
  const limited = createBudget({ limits: { calls: 5 }, priceOf: () => undefined }).limit(model);
  const recorded = createRecordedModel(limited, store, { mode: "auto", staleMs: 0 });
  expect(await recorded.complete(request)).toMatchObject({ text: "theirs", recorded: true });
  expect(server.requests).toHaveLength(1);
});
