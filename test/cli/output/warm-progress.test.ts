/** What a user sees while files are generated ahead of time. */
import { expect, test } from "bun:test";
import { formatBar, formatWarming, type Warming } from "../../../src/cli/output/warm-progress.ts";

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

test("the bar shows rate, time left, tokens and cost in one line of a terminal", () => {
  expect(formatBar(state, 77)).toBe("█░░░░░░░░░░░░░░░ 1200/10000 · 20/s · 8 min left · 1.2M+432k tokens · $12.35");
  const failed = Array.from({ length: 1100 }, (_, index) => ({ path: `/${index}`, error: "EIO" }));
  expect(formatBar({ ...state, failed }, 77)).toBe(
    "░░░░ 2300/10000 · 38/s · 4 min left · 1.2M+432k tokens · $12.35 · 1100 failed",
  );
  expect(formatBar({ ...state, failed }, 76)).toStartWith("2300/10000 · ");
  expect(formatBar({ ...state, done: 9990 }, 77)).toContain("· 1 s left ·");
  expect(formatBar({ ...state, done: 10 }, 77)).toContain("· 16.6 h left ·");
});

test("files that failed for the same reason share a line", () => {
  const key = (index: number) => String(index).padStart(16, "0");
  const miss = (index: number) => ({
    path: `/src/f${index}.ts`,
    error:
      `EIO: no recording for /src/f${index}.ts (${key(index)}…) in recordings in /r. The nearest is ` +
      `/src/f${index === 3 ? 1 : index}.ts (${key(index + 50)}…): the model differs: recorded "a", asked "b"`,
  });
  const spent = { path: "/src/f9.ts", error: "EDQUOT: the budget --max-calls 3 is spent" };
  const failed = [miss(0), spent, miss(1), miss(2), miss(3)];
  expect(formatWarming({ ...state, failed }).slice(1)).toEqual([
    "failed: 4 files (/src/f0.ts, /src/f1.ts, /src/f2.ts and 1 more): EIO: no recording for the file in recordings in " +
      '/r. In the nearest the model differs: recorded "a", asked "b"',
    "failed: /src/f9.ts: EDQUOT: the budget --max-calls 3 is spent",
  ]);
});

test("files whose reasons differ in more than their own names do not share a line", () => {
  const failed = ["/a", "/a.txt", "/b", "/c"].map((path) => ({ path, error: `EIO: ${path}: it depends on /a.txt` }));
  expect(formatWarming({ ...state, failed }).slice(1)).toEqual([
    "failed: /a: EIO: it depends on /a.txt",
    "failed: /b: EIO: it depends on /a.txt",
    "failed: /c: EIO: it depends on /a.txt",
    "failed: /a.txt: EIO: it depends on /a.txt",
  ]);
});

test("the final lines show what was done, what is left, and every failure once", () => {
  const failed = [{ path: "/a", error: "EIO: /a: no such model" }];
  expect(formatWarming({ ...state, total: 1, done: 0, calls: 1, usd: 0, failed, seconds: 2 }, "kept")).toEqual([
    "0 of 1 file generated in 2.0 s; 1 call, 1234567 + 432000 tokens; 1 failed; stopped with 0 left; finished files are kept",
    "failed: /a: EIO: no such model",
  ]);
  expect(formatWarming({ ...state, total: 0 })).toEqual(["nothing to generate: every file has content"]);
});
