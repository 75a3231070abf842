import { expect, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import { createEngine } from "../../../src/generate/engine.ts";
import { limitConcurrency } from "../../../src/generate/spending/limit-concurrency.ts";
import type { ChatAnswer, ChatPhase, LanguageModel } from "../../../src/llm/llm.ts";
import { opened } from "../../support/scripted-model.ts";
import { type PlainPort, type PlainTree, treePort } from "../../support/tree-port.ts";

const never = new AbortController().signal;
const request = { model: "m", messages: [] };
const answer: ChatAnswer = { text: "text", model: "m" };

/** A model whose answers come when the test says so, oldest request first. */
function heldModel() {
  const held: (() => void)[] = [];
  const asked: string[] = [];
  const model: LanguageModel = {
    async complete(_, options) {
      asked.push(options?.label ?? "");
      await new Promise<void>((resolve) => held.push(resolve));
      return answer;
    },
  };
  return { model, asked, answerNext: () => held.shift()?.() };
}

test("at most the allowed number of requests run at once, and the longest waiting goes next", async () => {
  const { model, asked, answerNext } = heldModel();
  const limited = limitConcurrency(model, 2);
  const all = ["a", "b", "c", "d"].map((label) => limited.complete(request, { label }));
  await Bun.sleep(0);
  expect(asked).toEqual(["a", "b"]);
  answerNext();
  await all[0];
  await Bun.sleep(0);
  expect(asked).toEqual(["a", "b", "c"]);
  for (const _ of all) {
    answerNext();
    await Bun.sleep(0);
  }
  await Promise.all(all);
  expect(asked).toEqual(["a", "b", "c", "d"]);
});

test("a failed request makes room for the next", async () => {
  const failing: LanguageModel = { complete: () => Promise.reject(new Error("no")) };
  const limited = limitConcurrency(failing, 1);
  expect(limited.complete(request)).rejects.toThrow("no");
  expect(limited.complete(request)).rejects.toThrow("no");
});

test("a request cancelled in the queue is never sent, and fails like one cancelled at the server", async () => {
  const { model, asked, answerNext } = heldModel();
  const limited = limitConcurrency(model, 1);
  const first = limited.complete(request, { label: "first" });
  const abort = new AbortController();
  const second = limited.complete(request, { label: "second", signal: abort.signal });
  abort.abort();
  await expect(second).rejects.toMatchObject({ name: "LlmError", kind: "cancelled" });
  answerNext();
  await first;
  await Bun.sleep(0);
  expect(asked).toEqual(["first"]);
});

test("cancelling several queued requests in a row gives their slots to none of them", async () => {
  const { model, asked } = heldModel();
  const limited = limitConcurrency(
    {
      complete: (one, options) =>
        Promise.race([
          model.complete(one, options),
          new Promise<never>((_, reject) =>
            options?.signal?.addEventListener("abort", () => reject(options.signal?.reason)),
          ),
        ]),
    },
    1,
  );
  const aborts = ["a", "b", "c"].map(() => new AbortController());
  const all = ["a", "b", "c"].map((label, index) =>
    limited.complete(request, { label, signal: aborts[index]?.signal ?? never }).catch(() => "gone"),
  );
  await Bun.sleep(0);
  for (const abort of aborts) {
    abort.abort();
    await Bun.sleep(5);
  }
  expect([await Promise.all(all), asked]).toEqual([["gone", "gone", "gone"], ["a"]]);
});

test("a request reports when it is queued and when it is sent", async () => {
  const { model, answerNext } = heldModel();
  const limited = limitConcurrency(model, 1);
  const phases: ChatPhase[] = [];
  const unhindered: ChatPhase[] = [];
  const first = limited.complete(request, { onPhase: (phase) => unhindered.push(phase) });
  const second = limited.complete(request, { onPhase: (phase) => phases.push(phase) });
  await Bun.sleep(0);
  expect([phases, unhindered]).toEqual([["queued"], ["asked"]]);
  answerNext();
  await first;
  await Bun.sleep(0);
  expect(phases).toEqual(["queued", "asked"]);
  answerNext();
  await second;
});

const PLAIN: PlainTree = Object.fromEntries(["/a", "/b", "/c", "/d"].map((path) => [path, { pending: "a file" }]));

test("while the model works on the allowed number of files, the same number is prepared and no more", async () => {
  const { model, asked, answerNext } = heldModel();
  const tree = treePort(PLAIN);
  const prepared: string[] = [];
  const watched: LanguageModel = {
    complete(one, options) {
      prepared.push(options?.label ?? "");
      return turns.complete(one, options);
    },
  };
  const turns = limitConcurrency(model, 1);
  const engine = createEngine({ openModel: opened(watched), tree, concurrency: 1 });
  const all = Object.keys(PLAIN).map((path) => engine.generate(tree.request(path), never));
  const until = async (count: number) => {
    while (asked.length < count) await Bun.sleep(1);
    await Bun.sleep(5);
  };
  await until(1);
  expect([asked, prepared]).toEqual([["/a"], ["/a", "/b", "/c"].slice(0, prepared.length)]);
  expect(prepared).toContain("/b");
  for (let count = 2; count <= 4; count++) {
    answerNext();
    await until(count);
    expect(asked).toHaveLength(count);
  }
  answerNext();
  await Promise.all(all);
});

test("files that depend on each other are prepared one after the other, however many wait", async () => {
  const length = 12;
  const chain = Object.fromEntries(
    Array.from({ length }, (_, index) => [
      `/${index}`,
      { pending: "", xattrs: index + 1 < length ? { "user.llmfs.depends": `${index + 1}` } : {} },
    ]),
  );
  const tree: PlainPort = treePort(chain, async (path) => (await engine.generate(tree.request(path), never)).bytes);
  const asked: string[] = [];
  const model: LanguageModel = {
    async complete(_, options) {
      asked.push(options?.label ?? "");
      return answer;
    },
  };
  const engine = createEngine({ openModel: opened(limitConcurrency(model, 1)), tree, concurrency: 1 });
  await engine.generate(tree.request("/0"), never);
  expect(asked).toEqual(Array.from({ length }, (_, index) => `/${length - 1 - index}`));
});

test("a file's timeout does not run while it waits in the queue", async () => {
  const { model, answerNext } = heldModel();
  const tree = treePort(PLAIN);
  const turns = limitConcurrency(model, 1);
  const before = turns.complete(request);
  const engine = createEngine({ openModel: opened(turns), tree, deadlineMs: 60 });
  const waiting = engine.generate(tree.request("/a"), never);
  await Bun.sleep(120);
  answerNext();
  await before;
  const late = await waiting.catch((error: unknown) => error);
  // The time spent waiting for the server counts, so this generation exceeds its deadline.
  expect(late).toBeInstanceOf(FsError);
  expect(late).toMatchObject({ code: "ETIMEDOUT" });
});
