import { beforeAll, describe, expect, test } from "bun:test";
import { type BudgetOptions, createBudget } from "../../../src/generate/spending/budget.ts";
import { loadTokenCounter } from "../../../src/generate/spending/tokens.ts";
import { type ChatRequest, type LanguageModel, LlmError, type LlmErrorKind } from "../../../src/llm/llm.ts";
import { createOpenaiModel } from "../../../src/llm/openai.ts";
import type { PriceOf } from "../../../src/llm/prices.ts";
import { createRecordedModel } from "../../../src/recording/recorded-model.ts";
import { createMemoryStore } from "../../../src/recording/stores/memory.ts";
import { type Behaviour, openaiServer } from "../../support/openai-server.ts";
import { scriptedModel } from "../../support/scripted-model.ts";
import { freePort } from "../../support/servers.ts";

// Loading takes a while; afterwards nothing here waits for more than the next turn.
beforeAll(() => loadTokenCounter());

/** Ten dollars for a million tokens sent, fifty for a million received; the price of "free" is unknown. */
const priceOf: PriceOf = (model) => (model === "free" ? undefined : { input: 10, output: 50 });
const ask = (content = "Hi", model = "m"): ChatRequest => ({ model, messages: [{ role: "user", content }] });

function budget(options: Partial<BudgetOptions> = {}) {
  return createBudget({ priceOf, ...options });
}

/** A model whose calls are answered by the test, each with its usage. */
function manual() {
  const open: { finish(inputTokens: number, outputTokens: number): void; request: ChatRequest }[] = [];
  const model: LanguageModel = {
    complete: (request, options) =>
      new Promise((resolve, reject) => {
        const finish = (inputTokens: number, outputTokens: number) =>
          resolve({ text: "x", model: "m", usage: { inputTokens, outputTokens } });
        open.push({ finish, request });
        options?.signal?.addEventListener("abort", () => reject(new LlmError("cancelled", "cancelled")));
      }),
  };
  return { model, open };
}

async function failure(promise: Promise<unknown>): Promise<LlmError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof LlmError) return error;
  throw new Error(`not an LlmError: ${String(error)}`);
}

/** Lets everything continue that can. */
const turns = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
  await Bun.sleep(0);
};

/** A server with a longer answer that obeys the limit in the request. */
const short: Behaviour = ({ body }) => ({
  stream: "half",
  finish: "length",
  usage: { prompt_tokens: 11, completion_tokens: body.max_completion_tokens ?? 100 },
});

describe("a limit", () => {
  test("a limit of calls refuses the next call before it is sent, and the error names the limit", async () => {
    const model = scriptedModel("x");
    const limited = budget({ limits: { calls: 2 } }).limit(model);
    await limited.complete(ask());
    await limited.complete(ask());
    const error = await failure(limited.complete(ask()));
    expect(error.kind).toBe("quota");
    expect(error.message).toContain("--max-calls 2 is used up: 2 calls were made");
    expect(model.requests).toHaveLength(2);
  });

  test("a limit of tokens counts the input and output tokens that the server reports", async () => {
    const all = budget({ limits: { tokens: 2300 } });
    const { model, open } = manual();
    const limited = all.limit(model);
    const first = limited.complete(ask());
    await turns();
    expect(all.spent.reserved.tokens).toBe(2300);
    open[0]?.finish(11, 1400);
    await first;
    expect(all.spent).toMatchObject({
      calls: 1,
      inputTokens: 11,
      outputTokens: 1400,
      reserved: { calls: 0, tokens: 0, usd: 0 },
    });
    const second = limited.complete(ask());
    await turns();
    open[1]?.finish(20, 480);
    await second;
    const error = await failure(limited.complete(ask()));
    expect(error.message).toMatch(
      /--max-tokens 2300 leaves too little: 1911 were used, and the next call sends about \d+ tokens and needs 512 for the answer/,
    );
    expect(open).toHaveLength(2);
  });

  test("a limit in dollars uses the price of the model", async () => {
    const all = budget({ limits: { usd: 0.1 } });
    const { model, open } = manual();
    const first = all.limit(model).complete(ask());
    await turns();
    open[0]?.finish(20, 1200);
    expect((await first).usd).toBeCloseTo(0.0602, 10);
    expect(all.spent.usd).toBeCloseTo(0.0602, 10);
    const second = all.limit(model).complete(ask());
    await turns();
    open[1]?.finish(10, 500);
    await second;
    expect((await failure(all.limit(model).complete(ask()))).message).toMatch(
      /--max-usd 0\.1 leaves too little: \$0\.0853 were used, and .* needs 512 for the answer, up to \$0\.0321 in total/,
    );
  });

  test("the remaining budget is sent to the server as the maximum length of the answer", async () => {
    await using server = await openaiServer([{ stream: "x" }]);
    const limited = budget({ limits: { tokens: 5000 } }).limit(createOpenaiModel({ baseUrl: server.baseUrl }));
    await limited.complete(ask());
    const told = server.received(0).body.max_completion_tokens;
    // A fifth is reserved because the server may count differently.
    expect(told).toBeGreaterThan(3950);
    expect(told).toBeLessThan(4000);
  });

  test("without a limit no maximum length is sent, and usage is still counted", async () => {
    const model = scriptedModel("x");
    const all = budget();
    await all.limit(model).complete(ask());
    expect(model.requests).toEqual([ask()]);
    expect(all.spent).toMatchObject({ calls: 1, inputTokens: 11, outputTokens: 7 });
  });

  test("an answer cut off by the budget gives the budget as the reason", async () => {
    await using server = await openaiServer([short]);
    const limited = budget({ limits: { tokens: 5000 } }).limit(createOpenaiModel({ baseUrl: server.baseUrl }));
    const error = await failure(limited.complete(ask()));
    expect(error.kind).toBe("quota");
    expect(error.message).toMatch(/the budget left \d+ tokens for the answer/);
  });

  test("an answer too long for the default maximum is refused with the option that allows it", async () => {
    await using server = await openaiServer([short]);
    const limited = budget({ limits: { tokens: 100_000 } }).limit(createOpenaiModel({ baseUrl: server.baseUrl }));
    const error = await failure(limited.complete(ask()));
    expect(error.kind).toBe("truncated");
    expect(error.message).toContain("with --max-tokens or --max-usd, an answer");
    expect(error.message).toContain("at most 32768 tokens");
    expect(error.message).toContain("user.llmfs.max-tokens");
    const own = await failure(limited.complete({ ...ask(), maxTokens: 40_000 }));
    expect(own.message).not.toContain("--max-tokens or");
    expect(server.requests.map(({ body }) => body.max_completion_tokens)).toEqual([8192, 32_768, 40_000]);
    const unbounded = await failure(
      budget()
        .limit(createOpenaiModel({ baseUrl: server.baseUrl }))
        .complete(ask()),
    );
    expect(unbounded.message).not.toContain("--max-tokens or");
  });
});

describe("parallel calls", () => {
  test("parallel calls cannot overshoot a limit: they wait for each other's reservations", async () => {
    const all = budget({ limits: { tokens: 10_000 }, longestAnswer: 3000 });
    const { model, open } = manual();
    const limited = all.limit(model);
    const answers = Promise.allSettled(Array.from({ length: 20 }, () => limited.complete(ask())));
    let most = 0;
    for (let done = 0; done < open.length || done === 0; done++) {
      await turns();
      most = Math.max(most, open.length - done);
      const { reserved, inputTokens, outputTokens } = all.spent;
      expect(inputTokens + outputTokens + reserved.tokens).toBeLessThanOrEqual(10_000);
      open[done]?.finish(10, 1200);
      await turns();
    }
    const settled = await answers;
    const fulfilled = settled.filter(({ status }) => status === "fulfilled").length;
    expect(most).toBe(2);
    expect(all.spent.inputTokens + all.spent.outputTokens).toBe(fulfilled * 1210);
    expect(fulfilled).toBe(8);
    expect(all.spent.reserved).toEqual({ calls: 0, tokens: 0, usd: 0 });
  });

  test("parallel calls do not exceed a limit of calls", async () => {
    const model = scriptedModel(async () => {
      await Bun.sleep(1);
      return "x";
    });
    const limited = budget({ limits: { calls: 5 } }).limit(model);
    const settled = await Promise.allSettled(Array.from({ length: 50 }, () => limited.complete(ask())));
    expect(model.requests).toHaveLength(5);
    expect(settled.filter(({ status }) => status === "rejected")).toHaveLength(45);
  });

  test("a call that waits for a reservation can be cancelled", async () => {
    const { model, open } = manual();
    const limited = budget({ limits: { tokens: 3000 }, longestAnswer: 2500 }).limit(model);
    const first = limited.complete(ask());
    await turns();
    const abort = new AbortController();
    const second = failure(limited.complete(ask(), { signal: abort.signal }));
    await turns();
    abort.abort();
    expect((await second).kind).toBe("cancelled");
    open[0]?.finish(1, 1);
    await first;
    expect(open).toHaveLength(1);
  });
});

describe("a failed call", () => {
  /** Whether it counts as a call, and whether the input is charged although nothing was received. */
  const charged: Record<string, readonly [call: number, tokens: boolean]> = {
    unconfigured: [0, false],
    "no-connection": [0, false],
    "refused-key": [1, false],
    "rate-limited": [1, false],
    "bad-request": [1, false],
    timeout: [1, true],
    server: [1, true],
    unusable: [1, true],
    refusal: [1, true],
    empty: [1, true],
    cancelled: [1, true],
  };
  for (const [kind, [calls, tokens]] of Object.entries(charged) as [LlmErrorKind, readonly [number, boolean]][]) {
    test(`a failure of kind ${kind} is ${calls === 1 ? "a call" : "no call"} ${tokens ? "that is charged" : "and free"}`, async () => {
      for (const words of ["", "some words came in"]) {
        const all = budget({ limits: { tokens: 100_000 } });
        const model: LanguageModel = {
          async complete(_request, options) {
            if (words !== "") options?.onText?.(words);
            throw new LlmError(kind, "it failed");
          },
        };
        await failure(all.limit(model).complete(ask()));
        expect(all.spent.calls).toBe(calls);
        expect(all.spent.inputTokens > 0).toBe(tokens || words !== "");
        expect(all.spent.outputTokens > 0).toBe(words !== "");
        expect(all.spent.reserved).toEqual({ calls: 0, tokens: 0, usd: 0 });
      }
    });
  }

  test("a failure in the middle of a stream is a call, and the tokens received are counted", async () => {
    await using server = await openaiServer([{ stream: "some words", after: "cut" }, { stream: "x" }]);
    const all = budget();
    const model = createOpenaiModel({ baseUrl: server.baseUrl, retries: { baseMs: 1 } });
    await all.limit(model).complete(ask(), { onText: server.heard });
    expect(all.spent.calls).toBe(2);
    expect(all.spent.inputTokens).toBeGreaterThan(11);
    expect(all.spent.outputTokens).toBeGreaterThan(7);
  });

  test("a failure to connect is not a call", async () => {
    const all = budget({ limits: { calls: 3 } });
    const model = createOpenaiModel({ baseUrl: `http://127.0.0.1:${freePort()}/v1`, retries: { baseMs: 1 } });
    expect((await failure(all.limit(model).complete(ask()))).kind).toBe("no-connection");
    expect(all.spent).toMatchObject({ calls: 0, inputTokens: 0, reserved: { calls: 0 } });
  });

  test("a call cancelled before anything was sent is not a call, and free", async () => {
    const all = budget({ limits: { calls: 1, tokens: 100_000 } });
    const model: LanguageModel = {
      complete: () => Promise.reject(new LlmError("cancelled", "cancelled", { sent: false })),
    };
    await failure(all.limit(model).complete(ask()));
    expect(all.spent).toMatchObject({ calls: 0, inputTokens: 0, outputTokens: 0, reserved: { calls: 0, tokens: 0 } });
    await all.limit(scriptedModel("x")).complete(ask());
    expect(all.spent.calls).toBe(1);
  });
});

describe("retries", () => {
  const faults: Readonly<Record<string, Behaviour>> = {
    "an overloaded server": { status: 503 },
    "a server that limits the rate": { status: 429 },
    "a key that is refused": { status: 401 },
    "a stream that is cut": { stream: "some words", after: "cut" },
    "a stream that ends in the middle": { stream: "some words", finish: null, done: false },
    "a connection that is dropped": { drop: true },
    "a parameter that is not understood": { status: 400, body: { error: { message: "stream_options is unknown" } } },
  };
  for (const [name, behaviour] of Object.entries(faults)) {
    test(`each retry counts: three calls are three requests, with ${name}`, async () => {
      await using server = await openaiServer([behaviour]);
      const all = budget({ limits: { calls: 3 } });
      const limited = all.limit(createOpenaiModel({ baseUrl: server.baseUrl, retries: { baseMs: 1, maxMs: 2 } }));
      const errors = await Promise.all(
        Array.from({ length: 20 }, () => failure(limited.complete(ask(), { onText: server.heard }))),
      );
      expect(server.requests).toHaveLength(3);
      expect(errors.filter(({ kind }) => kind === "quota").length).toBeGreaterThanOrEqual(17);
      expect(all.spent).toMatchObject({ calls: 3, reserved: { calls: 0, tokens: 0, usd: 0 } });
    });
  }

  test("a retry makes a new reservation, possibly for a shorter answer", async () => {
    await using server = await openaiServer([{ stream: "word ".repeat(400), after: "cut" }, { stream: "x" }]);
    const all = budget({ limits: { tokens: 5000 } });
    const limited = all.limit(createOpenaiModel({ baseUrl: server.baseUrl, retries: { baseMs: 1 } }));
    await limited.complete(ask(), { onText: server.heard });
    const [first, second] = [0, 1].map((index) => server.received(index).body.max_completion_tokens);
    expect(second).toBeLessThan(first - 320);
    expect(all.spent.reserved.tokens).toBe(0);
  });

  test("a retry that the budget does not cover is not sent, and the earlier failure is reported", async () => {
    await using server = await openaiServer([{ status: 500, body: { error: { message: "out of order" } } }]);
    const limited = budget({ limits: { calls: 1 } }).limit(
      createOpenaiModel({ baseUrl: server.baseUrl, retries: { baseMs: 1 } }),
    );
    expect((await failure(limited.complete(ask()))).message).toMatch(
      /--max-calls 1 is used up: 1 call was made.*retrying because .* answered 500.*out of order/,
    );
    expect(server.requests).toHaveLength(1);
  });
});

test("tokens are counted locally if the server reports no usage", async () => {
  const all = budget();
  const model: LanguageModel = { complete: async () => ({ text: "three little words", model: "m" }) };
  await all.limit(model).complete(ask("one two three"));
  expect(all.spent.outputTokens).toBe(3);
  expect(all.spent.inputTokens).toBeGreaterThan(3);
});

test("a server that reports too little usage is not trusted: the token limit still holds", async () => {
  for (const count of [0, -1_000_000]) {
    const usage = { prompt_tokens: count, completion_tokens: count };
    await using server = await openaiServer([{ stream: "three little words", usage }]);
    const all = budget({ limits: { tokens: 1500 } });
    const model = all.limit(createOpenaiModel({ baseUrl: server.baseUrl }));
    let asked = 0;
    while (all.spent.inputTokens < 400) {
      await model.complete(ask("one ".repeat(100)));
      asked += 1;
    }
    expect(asked).toBe(4);
    expect(all.spent.outputTokens).toBe(12);
  }
});

test("a server that ignores max_tokens is reported once, and its tokens count", async () => {
  const warnings: string[] = [];
  const all = budget({ limits: { tokens: 100_000 }, longestAnswer: 600, warn: (line) => warnings.push(line) });
  const { model, open } = manual();
  const limited = all.limit(model);
  for (const index of [0, 1]) {
    const call = limited.complete(ask());
    await turns();
    open[index]?.finish(10, 40_000);
    await call;
  }
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain("m returned 40000 tokens although the limit was 600");
  expect(all.spent.outputTokens).toBe(80_000);
  expect((await failure(limited.complete(ask("x ".repeat(20_000))))).kind).toBe("quota");
});

test("an answer that goes on past the remaining budget is cut off, and its tokens count", async () => {
  await using server = await openaiServer([{ stream: "many little words ".repeat(2000), after: "hang" }]);
  const all = budget({ limits: { usd: 0.05 } });
  const call = failure(all.limit(createOpenaiModel({ baseUrl: server.baseUrl })).complete(ask()));
  const request = await server.request(0);
  const error = await call;
  await request.disconnected;
  expect(error.kind).toBe("quota");
  expect(error.message).toMatch(/^m exceeded the 79\d tokens that the budget left for its answer, which was cut off/);
  expect(all.spent.outputTokens).toBeGreaterThan(898);
  expect(all.spent.reserved).toEqual({ calls: 0, tokens: 0, usd: 0 });
});

test("an answer slightly over its limit, because the server counts tokens differently, is accepted", async () => {
  await using server = await openaiServer([{ stream: "word ".repeat(870) }]);
  const all = budget({ limits: { usd: 0.05 } });
  const { text } = await all.limit(createOpenaiModel({ baseUrl: server.baseUrl })).complete(ask());
  expect(text).toHaveLength(4350);
  expect(server.received(0).body.max_completion_tokens).toBeLessThan(800);
});

test("an unknown price is reported once; tokens are still counted, dollars are not", async () => {
  const warnings: string[] = [];
  const all = budget({ limits: { usd: 0.000001, tokens: 10_000 }, warn: (line) => warnings.push(line) });
  const limited = all.limit(scriptedModel("x"));
  const answer = await limited.complete(ask("Hi", "free"));
  await limited.complete(ask("Hi", "free"));
  expect(answer).not.toHaveProperty("usd");
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain("--price free=INPUT/OUTPUT");
  expect(all.spent).toMatchObject({ calls: 2, unpricedCalls: 2, usd: 0, inputTokens: 22 });
  expect((await failure(limited.complete(ask()))).message).toContain("--max-usd");
});

test("recordings still work when the budget is exhausted, and keys do not depend on the remaining budget", async () => {
  const store = createMemoryStore("memory");
  const run = (tokens: number) => {
    const all = budget({ limits: { tokens } });
    return { all, model: createRecordedModel(all.limit(scriptedModel("x")), store, { mode: "auto" }) };
  };
  const rich = await run(100_000).model.complete(ask());
  const poor = run(1);
  expect(await poor.model.complete(ask())).toMatchObject({ text: "x", key: rich.key, recorded: true });
  expect(poor.all.spent.calls).toBe(0);
  expect((await failure(poor.model.complete(ask("Ho")))).kind).toBe("quota");
});
