/** A budget of tokens or money: calls run in parallel as long as their possible cost fits, and never cost more. */
import { beforeAll, describe, expect, test } from "bun:test";
import { type BudgetLimits, createBudget } from "../../src/generate/spending/budget.ts";
import { loadTokenCounter, type TokenCounter } from "../../src/generate/spending/tokens.ts";
import { generateStructure } from "../../src/generate/structure/structure.ts";
import { type ChatRequest, type ChatUsage, type LanguageModel, LlmError } from "../../src/llm/llm.ts";
import { createOpenaiModel } from "../../src/llm/openai.ts";
import type { PriceOf } from "../../src/llm/prices.ts";
import { type Behaviour, openaiServer } from "../support/openai-server.ts";
import { Random } from "../support/random.ts";

let count: TokenCounter;
beforeAll(async () => {
  count = await loadTokenCounter();
});

/** Ten dollars for a million tokens sent, fifty for a million received. */
const priceOf: PriceOf = () => ({ input: 10, output: 50 });
const ask = (content: string): ChatRequest => ({ model: "m", messages: [{ role: "user", content }] });

/** Answers no request before this many have arrived. */
function together(calls: number): { readonly behaviour: Behaviour; readonly there: Promise<void> } {
  let open = 0;
  const all = Promise.withResolvers<void>();
  return {
    there: all.promise,
    async behaviour() {
      open += 1;
      if (open >= calls) all.resolve();
      await all.promise;
      return { stream: "an answer" };
    },
  };
}

describe("sixteen calls reach the server at the same time", () => {
  const limits: Readonly<Record<string, BudgetLimits>> = {
    "with a limit of tokens that they fit into": { tokens: 200_000 },
    "with a limit of dollars that they fit into": { usd: 9 },
    "with both, and one of calls": { tokens: 200_000, usd: 9, calls: 16 },
  };
  for (const [name, limit] of Object.entries(limits)) {
    test(name, async () => {
      const { behaviour } = together(16);
      await using server = await openaiServer([behaviour]);
      const budget = createBudget({ limits: limit, priceOf });
      const model = budget.limit(createOpenaiModel({ baseUrl: server.baseUrl }));
      const answers = await Promise.all(Array.from({ length: 16 }, (_, index) => model.complete(ask(`file ${index}`))));
      expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 16 }, () => "an answer"));
      expect(budget.spent).toMatchObject({ calls: 16, reserved: { calls: 0, tokens: 0, usd: 0 } });
    });
  }
});

test("the parts of a layout reach the server at the same time if the budget covers them", async () => {
  const parts = Array.from({ length: 4 }, (_, index) => ({ path: `d${index}`, brief: "one file", files: 1 }));
  const laidOut = (files: readonly unknown[], unfinished: readonly unknown[]) =>
    JSON.stringify({ directories: [], files, symlinks: [], unfinished });
  const { behaviour, there } = together(4);
  await using server = await openaiServer([
    async (request) => {
      const part = /content of one directory only: (\S+)/.exec(request.body.messages.at(-1).content)?.[1];
      if (part === undefined) return { stream: laidOut([], parts) };
      if (typeof behaviour === "function") await behaviour(request);
      return { stream: laidOut([{ path: `${part}/x.txt`, description: "x" }], []) };
    },
  ]);
  const budget = createBudget({ limits: { tokens: 120_000 }, priceOf });
  const model = budget.limit(createOpenaiModel({ baseUrl: server.baseUrl }));
  const { entries } = await generateStructure({ prompt: "four files", model, modelName: "m", concurrency: 4 });
  await there;
  expect(entries.filter(({ type }) => type === "file")).toHaveLength(4);
  expect(budget.spent).toMatchObject({ calls: 5, reserved: { calls: 0, tokens: 0, usd: 0 } });
});

test("calls whose reservations do not fit the budget wait for those in progress, and none fails", async () => {
  let [now, most] = [0, 0];
  await using server = await openaiServer([
    async () => {
      now += 1;
      most = Math.max(most, now);
      await Bun.sleep(5);
      now -= 1;
      return { stream: "an answer" };
    },
  ]);
  const budget = createBudget({ limits: { tokens: 25_000 }, priceOf });
  const model = budget.limit(createOpenaiModel({ baseUrl: server.baseUrl }));
  await Promise.all(Array.from({ length: 16 }, (_, index) => model.complete(ask(`file ${index}`))));
  expect(most).toBeGreaterThan(1);
  expect(budget.spent.calls).toBe(16);
});

test("with little budget left, reservations follow the length of earlier answers", async () => {
  const { behaviour } = together(8);
  await using server = await openaiServer([{ stream: "x" }, { stream: "x" }, { stream: "x" }, behaviour]);
  const budget = createBudget({ limits: { tokens: 20_000 }, priceOf });
  const model = budget.limit(createOpenaiModel({ baseUrl: server.baseUrl }));
  for (let index = 0; index < 3; index++) await model.complete(ask(`first ${index}`));
  await Promise.all(Array.from({ length: 8 }, (_, index) => model.complete(ask(`file ${index}`))));
  const told = server.requests.map(({ body }) => body.max_completion_tokens);
  expect(told.slice(0, 4)).toEqual([8192, 8192, 8192, 8192]);
  expect(told.at(-1)).toBe(1024);
});

/** A server whose answers have this length, and that obeys the limit in the request. */
const saying =
  (tokens: number): Behaviour =>
  ({ body }) => {
    const told: number = body.max_completion_tokens;
    const said = Math.min(tokens, told);
    return {
      stream: " word".repeat(said),
      finish: said < tokens ? "length" : "stop",
      usage: { prompt_tokens: 11, completion_tokens: said },
    };
  };

test("an answer cut off by its first limit is requested once more with the whole budget, and both count", async () => {
  await using server = await openaiServer([saying(10_000)]);
  const budget = createBudget({ limits: { tokens: 100_000 }, priceOf });
  const model = budget.limit(createOpenaiModel({ baseUrl: server.baseUrl }));
  const heard: string[] = [];
  const { text } = await model.complete(ask("long"), { onText: (delta) => heard.push(delta) });
  expect(text).toHaveLength(50_000);
  // Listeners are told to start over.
  expect(heard.slice(heard.lastIndexOf("") + 1).join("")).toBe(text);
  expect(budget.spent).toMatchObject({ calls: 2, outputTokens: 18_192 });
  // The next call does not start over.
  await model.complete(ask("long, too"));
  expect(server.requests.map(({ body }) => body.max_completion_tokens)).toEqual([8192, 32_768, 32_768]);
});

test("an answer cut off by its first limit waits for the calls in progress before it is requested again", async () => {
  const first = Promise.withResolvers<void>();
  await using server = await openaiServer([
    async () => {
      await first.promise;
      return { stream: "the first" };
    },
    saying(12_000),
  ]);
  const budget = createBudget({ limits: { tokens: 40_000 }, priceOf });
  const model = budget.limit(createOpenaiModel({ baseUrl: server.baseUrl }));
  const one = model.complete(ask("one"));
  await server.request(0);
  const two = model.complete(ask("two"));
  await server.request(1);
  while (budget.spent.calls === 0) await Bun.sleep(1);
  expect(server.requests).toHaveLength(2);
  first.resolve();
  await one;
  expect((await two).text).toHaveLength(60_000);
  expect(server.received(2).body.max_completion_tokens).toBeGreaterThan(20_000);
});

test("an answer cut off by the server's own limit is not requested again", async () => {
  const usage = { prompt_tokens: 11, completion_tokens: 2000 };
  await using server = await openaiServer([{ stream: " word".repeat(2000), finish: "length", usage }]);
  const budget = createBudget({ limits: { tokens: 100_000 }, priceOf });
  const model = budget.limit(createOpenaiModel({ baseUrl: server.baseUrl }));
  await expect(model.complete(ask("long"))).rejects.toMatchObject({ kind: "truncated" });
  expect(server.requests).toHaveLength(1);
});

test("hidden reasoning in an unusable answer is counted", async () => {
  const usage = { prompt_tokens: 11, completion_tokens: 8000 };
  await using server = await openaiServer([{ stream: "", finish: "stop", usage }]);
  const budget = createBudget({ limits: { tokens: 100_000 }, priceOf });
  const model = budget.limit(createOpenaiModel({ baseUrl: server.baseUrl }));
  await expect(model.complete(ask("think"))).rejects.toMatchObject({ kind: "empty" });
  expect(budget.spent.outputTokens).toBe(8000);
});

test.each([
  ["one token for everything", { prompt_tokens: 1, completion_tokens: 1 }],
  ["half of it", { prompt_tokens: 504, completion_tokens: 500 }],
])("a server that reports %s is not trusted", async (_what, usage) => {
  await using server = await openaiServer([{ stream: " word".repeat(1000), usage }]);
  const budget = createBudget({ limits: { tokens: 100_000 }, priceOf });
  await budget.limit(createOpenaiModel({ baseUrl: server.baseUrl })).complete(ask(" word".repeat(1000)));
  expect(budget.spent.outputTokens).toBe(count(" word".repeat(1000)));
  expect(budget.spent.inputTokens).toBe(count(" word".repeat(1000)) + 8);
});

test("a server that reports slightly less than counted, because its tokenizer differs, is trusted", async () => {
  const usage = { prompt_tokens: 900, completion_tokens: 800 };
  await using server = await openaiServer([{ stream: " word".repeat(1000), usage }]);
  const budget = createBudget({ limits: { tokens: 100_000 }, priceOf });
  await budget.limit(createOpenaiModel({ baseUrl: server.baseUrl })).complete(ask(" word".repeat(1000)));
  expect(budget.spent).toMatchObject({ inputTokens: 900, outputTokens: 800 });
});

/**
 * A model with random behaviour: it answers at some length, reports no usage or too little, ignores its limit until it
 * is stopped, breaks off and is asked again. `used` is what it really cost.
 */
function moody(random: Random): { readonly model: LanguageModel; readonly used: { tokens: number; usd: number } } {
  const used = { tokens: 0, usd: 0 };
  const pay = (input: number, output: number) => {
    used.tokens += input + output;
    used.usd += (input * 10 + output * 50) / 1_000_000;
  };
  const model: LanguageModel = {
    async complete(request, options = {}) {
      let asked = request;
      for (;;) {
        const told = asked.maxTokens ?? Number.POSITIVE_INFINITY;
        const input = Math.floor(count(asked.messages[0]?.content ?? "") * (0.8 + random.next() * 0.45));
        const mood = random.pick(["honest", "honest", "silent", "endless", "low", "breaks", "wordy"] as const);
        const length = random.below(random.chance(0.1) ? 12_000 : 1500);
        const words = mood === "endless" ? 40_000 : Math.min(length, told);
        let text = "";
        for (let said = 0; said < words; said += 7) {
          if (options.signal?.aborted) break;
          const delta = " word".repeat(Math.min(7, words - said));
          text += delta;
          options.onText?.(delta);
          if (said % 70 === 0) await Bun.sleep(0);
        }
        const output = count(text);
        pay(input, output);
        if (options.signal?.aborted) throw new LlmError("cancelled", "cancelled");
        if (mood === "breaks" && random.chance(0.7)) {
          asked = (await options.repeat?.(asked, true)) ?? asked;
          options.onText?.("");
          continue;
        }
        const usage: ChatUsage = { inputTokens: input, outputTokens: output };
        if (length > told) throw new LlmError("truncated", "cut", random.chance(0.5) ? { usage } : {});
        if (output === 0) throw new LlmError("empty", "empty", { usage });
        const low = { inputTokens: Math.ceil(input / 9), outputTokens: 1 };
        return { text, model: "m", ...(mood !== "silent" && { usage: mood === "low" ? low : usage }) };
      }
    },
  };
  return { model, used };
}

describe("random servers never make spending exceed a limit", () => {
  for (let seed = 1; seed <= 40; seed++) {
    test(`seed ${seed}`, async () => {
      const random = new Random(seed);
      const limits: BudgetLimits = random.chance(0.5)
        ? { tokens: 5000 + random.below(80_000) }
        : { usd: 0.05 + random.next() * 2, ...(random.chance(0.3) && { tokens: 40_000 }) };
      const budget = createBudget({ limits, priceOf });
      const { model, used } = moody(random);
      const limited = budget.limit(model);
      const within = () => {
        const { inputTokens, outputTokens, usd, reserved } = budget.spent;
        expect(inputTokens + outputTokens + reserved.tokens).toBeLessThanOrEqual(limits.tokens ?? 1e9);
        expect(usd + reserved.usd).toBeLessThanOrEqual((limits.usd ?? 1e9) + 1e-9);
        expect(used.tokens).toBeLessThanOrEqual(limits.tokens ?? 1e9);
        expect(used.usd).toBeLessThanOrEqual((limits.usd ?? 1e9) + 1e-9);
      };
      const calls = Array.from({ length: 40 }, async () => {
        const own = random.chance(0.3) ? { maxTokens: 1 + random.below(4000) } : {};
        const request = { ...ask(" word".repeat(random.below(900))), ...own };
        const stop = new AbortController();
        if (random.chance(0.1)) setTimeout(() => stop.abort(), random.below(20));
        await Bun.sleep(random.below(30));
        await limited.complete(request, { signal: stop.signal, onText: within }).catch((error: unknown) => {
          if (!(error instanceof LlmError)) throw error;
        });
        within();
      });
      await Promise.all(calls);
      within();
      expect(budget.spent.reserved).toEqual({ calls: 0, tokens: 0, usd: 0 });
    });
  }
});
