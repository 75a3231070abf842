/** What a person sees of making contents ahead. */
import { expect, test } from "bun:test";
import { bar, type Warming, warmingText } from "../../src/cli/warming.ts";

const state: Warming = {
  total: 10_000,
  done: 1200,
  failed: [],
  calls: 1200,
  inputTokens: 1_234_567,
  outputTokens: 432_000,
  usd: 12.345,
  seconds: 60,
};

test("the bar tells rate, time left, tokens and cost, in one line of a terminal", () => {
  expect(bar(state, 77)).toBe("█░░░░░░░░░░░░░░░ 1200/10000 · 20/s · 8 min left · 1.2M+432k tokens · $12.35");
  const failed = Array.from({ length: 1100 }, (_, index) => ({ path: `/${index}`, error: "EIO" }));
  expect(bar({ ...state, failed }, 77)).toBe(
    "░░░░ 2300/10000 · 38/s · 4 min left · 1.2M+432k tokens · $12.35 · 1100 failed",
  );
  expect(bar({ ...state, failed }, 76)).toStartWith("2300/10000 · ");
  expect(bar({ ...state, done: 9990 }, 77)).toContain("· 1 s left ·");
  expect(bar({ ...state, done: 10 }, 77)).toContain("· 16.6 h left ·");
});

test("the lines at the end tell what was done, what is left, and every failure once", () => {
  const failed = [{ path: "/a", error: "EIO: /a: no such model" }];
  expect(warmingText({ ...state, total: 1, done: 0, calls: 1, usd: 0, failed, seconds: 2 }, "kept")).toEqual([
    "0 of 1 file generated in 2.0 s; 1 call, 1234567 + 432000 tokens; 1 failed; stopped; 0 are left, and what is done is kept",
    "failed: /a: EIO: no such model",
  ]);
  expect(warmingText({ ...state, total: 0 })).toEqual(["nothing to generate: every file has its content"]);
});
