import { expect, test } from "bun:test";
import type { ChatModel } from "openai/resources/shared";
import { DEFAULT_MODEL, OPENAI_BASE_URL } from "../../src/llm/openai-service.ts";
import { costOf, PRICES_AS_OF, parsePrice, pricesAt } from "../../src/llm/prices.ts";

test("the default model exists and has a price, and the table has a date", () => {
  expect(pricesAt(OPENAI_BASE_URL)(DEFAULT_MODEL)).toEqual({ input: 1, output: 5, asOf: PRICES_AS_OF });
  expect(DEFAULT_MODEL satisfies ChatModel).toBe(DEFAULT_MODEL);
  expect(PRICES_AS_OF).toMatch(/^\d{4}-\d\d-\d\d$/);
});

test("an unknown price is not guessed, neither for similar names nor for other servers", () => {
  expect(pricesAt(OPENAI_BASE_URL)("gpt-5-mini-turbo")).toBeUndefined();
  expect(pricesAt(OPENAI_BASE_URL)("openai/gpt-5-mini")).toBeUndefined();
  expect(pricesAt(OPENAI_BASE_URL)("__proto__")).toBeUndefined();
  expect(pricesAt("http://127.0.0.1:11434/v1")(DEFAULT_MODEL)).toBeUndefined();
  expect(pricesAt("https://api.openai.com.example.org/v1")(DEFAULT_MODEL)).toBeUndefined();
});

test("a dated snapshot costs what its model costs, unless it is listed itself", () => {
  const own = new Map([parsePrice("qwen3=0.2/0.6")]);
  const price = pricesAt(OPENAI_BASE_URL, own);
  expect(price("gpt-4o-2024-08-06")).toEqual({ input: 2.5, output: 10, asOf: PRICES_AS_OF });
  expect(price("gpt-4o-2024-05-13")).toEqual({ input: 5, output: 15, asOf: PRICES_AS_OF });
  expect(price("qwen3-2026-01-31")).toEqual({ input: 0.2, output: 0.6 });
  expect(price("qwen3-20260131")).toBeUndefined();
});

test("the user's own prices take precedence, on any server", () => {
  const own = new Map([parsePrice("qwen3:8b=0.2/0.6"), parsePrice(`${DEFAULT_MODEL}=3/9`)]);
  expect(pricesAt("http://127.0.0.1:11434/v1", own)("qwen3:8b")).toEqual({ input: 0.2, output: 0.6 });
  expect(pricesAt(OPENAI_BASE_URL, own)(DEFAULT_MODEL)).toEqual({ input: 3, output: 9 });
});

test("the error for an invalid price shows the format", () => {
  for (const text of ["", "qwen3", "qwen3=1", "qwen3=a/b", "=1/2", "q w=1/2", "qwen3=1/-2"]) {
    expect(() => parsePrice(text)).toThrow("MODEL=INPUT/OUTPUT");
  }
});

test("cost is per million tokens", () => {
  expect(costOf({ input: 1, output: 5 }, 500_000, 100_000)).toBe(1);
});
