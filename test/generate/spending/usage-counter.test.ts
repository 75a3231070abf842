/** The counters in `.llmfs/usage.json`. */
import { expect, test } from "bun:test";
import { createBudget } from "../../../src/generate/spending/budget.ts";
import { type Usage, UsageCounter } from "../../../src/generate/spending/usage-counter.ts";
import { type ChatRequest, LlmError } from "../../../src/llm/llm.ts";
import { createRecordedModel } from "../../../src/recording/recorded-model.ts";
import { createMemoryStore } from "../../../src/recording/stores/memory.ts";
import { scriptedModel } from "../../support/scripted-model.ts";

const ask = (content: string): ChatRequest => ({ model: "m", messages: [{ role: "user", content }] });

test("answers, recorded answers, failures and spending are counted and reported after each request", async () => {
  const budget = createBudget({ limits: { calls: 2 }, priceOf: () => ({ input: 10, output: 50 }) });
  const told: Usage[] = [];
  const tally = new UsageCounter(() => told.push(tally.usage));
  tally.readSpending = () => budget.spent;
  const script = scriptedModel("x", new LlmError("refusal", "no"));
  const model = tally.count(createRecordedModel(budget.limit(script), createMemoryStore("memory"), { mode: "auto" }));
  await model.complete(ask("one"));
  await model.complete(ask("one"));
  await expect(model.complete(ask("two"))).rejects.toThrow("no");
  await expect(model.complete(ask("three"))).rejects.toThrow("--max-calls");
  const counted = ({ answers, recorded, failures, calls }: Usage) => ({ answers, recorded, failures, calls });
  expect(told.map(counted)).toEqual([
    { answers: 1, recorded: 0, failures: 0, calls: 1 },
    { answers: 2, recorded: 1, failures: 0, calls: 1 },
    { answers: 2, recorded: 1, failures: 1, calls: 2 },
    { answers: 2, recorded: 1, failures: 2, calls: 2 },
  ]);
  expect(tally.usage).toMatchObject({ outputTokens: 7, unpricedCalls: 0, limits: { calls: 2 } });
  expect(tally.usage.usd).toBeGreaterThan(0);
});

test("without a request to a server nothing is spent", async () => {
  const tally = new UsageCounter(() => {});
  await tally.count(scriptedModel("x")).complete(ask("one"));
  expect(tally.usage).toMatchObject({ answers: 1, calls: 0, inputTokens: 0, outputTokens: 0, usd: 0, limits: {} });
});

test("a cancelled request is counted when its cost is known, although nobody waits for it any longer", async () => {
  const told: number[] = [];
  const tally = new UsageCounter(() => told.push(tally.usage.calls));
  const budget = createBudget({ priceOf: () => undefined });
  tally.readSpending = () => budget.spent;
  const costKnown = Promise.withResolvers<void>();
  const server = {
    async complete(): Promise<never> {
      await costKnown.promise;
      throw new LlmError("cancelled", "too late");
    },
  };
  const recorded = createRecordedModel(tally.follow(budget.limit(server)), createMemoryStore("memory"), {
    mode: "auto",
  });
  const stop = new AbortController();
  const answer = tally.count(recorded).complete(ask("one"), { signal: stop.signal });
  setImmediate(() => stop.abort());
  await expect(answer).rejects.toThrow("cancelled");
  const settled = tally.settle();
  expect(tally.usage.calls).toBe(0);
  costKnown.resolve();
  await settled;
  expect([tally.usage.calls, told.at(-1)]).toEqual([1, 1]);
});
