/** Counting tokens: nearly exact for text, never slow, and skipped if it is not needed. */
import { beforeAll, describe, expect, test } from "bun:test";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import {
  countTokens as counted,
  fits,
  loadTokenCounter,
  RunningCount,
  type TokenCounter,
} from "../../../src/generate/spending/tokens.ts";
import { expectLinear, mixture, RUNS } from "../../support/growth.ts";
import { Random } from "../../support/random.ts";

let count: TokenCounter;
beforeAll(async () => {
  count = await loadTokenCounter();
});

test.each([
  ["prose", "The quick brown fox jumps over the lazy dog. ".repeat(100)],
  ["code", "export function add(a: number, b: number): number {\n  return a + b;\n}\n\n".repeat(50)],
  ["Japanese", "潮の満ち引きは月の引力によって起こる。\n".repeat(50)],
  ["blank lines", "a\n\n\n\nb\n".repeat(50)],
])("%s is counted at its number of tokens, or up to three percent above", (_what, text) => {
  const exact = countTokens(text);
  expect(count(text)).toBeGreaterThanOrEqual(exact);
  expect(count(text)).toBeLessThanOrEqual(exact * 1.03);
});

test("control tokens, lone surrogates and NUL are counted as ordinary text", () => {
  expect(count("<|endoftext|>")).toBeGreaterThan(1);
  expect(count("a\ud83db")).toBeGreaterThan(0);
  expect(count("\0\0")).toBeGreaterThan(0);
  expect(count("")).toBe(0);
});

describe("counting takes time linear in the text:", () => {
  for (const [name, input] of Object.entries(RUNS)) {
    test(name, () => expectLinear(input, count));
  }

  test("random mixtures are counted in linear time", async () => {
    const fragments = ["a", "\n", " ", "\r\n", "潮", "😀", "\ud800", "'s", "1", "!", "/", "\t", "Ab", "<|endoftext|>"];
    for (let seed = 1; seed <= 5; seed++) await expectLinear(mixture(seed, fragments), count);
  });
});

test("runs of blank lines as they occur in files are counted exactly", () => {
  for (const lines of [1, 2, 5, 40, 100]) {
    const text = `end\n${"\n".repeat(lines)}begin\n`;
    expect(count(text)).toBeGreaterThanOrEqual(countTokens(text));
    expect(count(text)).toBeLessThanOrEqual(countTokens(text) + 1);
  }
});

test("timers run during a long count, and it stops when it is cancelled", async () => {
  const random = new Random(1);
  const text = Array.from({ length: 500_000 }, () => String.fromCharCode(33 + random.below(90))).join("");
  const stop = new AbortController();
  let ticks = 0;
  const timer = setInterval(() => {
    ticks += 1;
    if (ticks === 3) stop.abort(new Error("nobody"));
  }, 1);
  await expect(counted(text, { signal: stop.signal })).rejects.toThrow("nobody");
  clearInterval(timer);
  expect(ticks).toBeGreaterThanOrEqual(3);
});

test("counting with a limit stops at the limit", async () => {
  const text = "word ".repeat(200_000);
  const most = await counted(text, { most: 100 });
  expect(most).toBeGreaterThan(100);
  expect(most).toBeLessThan(200);
  expect(await counted(text, { most: 1_000_000 })).toBe(count(text));
});

test("a text over a megabyte is counted in samples, and the rest is estimated", async () => {
  const text = "A line of prose that says nothing in particular.\n".repeat(100_000);
  const exact = count(text);
  const estimated = await counted(text);
  expect(Math.abs(estimated - exact) / exact).toBeLessThan(0.03);
});

test("a growing text is counted as if it were counted whole", () => {
  const random = new Random(7);
  const whole = mixture(3, ["a", "\n", " ", "Ab", "潮", "\n\n\n", "return x;", "😀"])(20_000);
  const running = new RunningCount(count);
  for (let at = 0; at < whole.length; ) {
    const end = Math.min(whole.length, at + 1 + random.below(300));
    running.add(whole.slice(at, end));
    at = end;
  }
  expect(Math.abs(running.tokens - count(whole))).toBeLessThan(10);
  const atOnce = new RunningCount(count);
  atOnce.add("word ".repeat(10_000));
  expect(atOnce.tokens).toBeGreaterThan(9_900);
});

test("a text fits if it has no more tokens than the budget", async () => {
  const text = "one two three four";
  expect(await fits(text, 4)).toBe(true);
  expect(await fits(text, 3)).toBe(false);
  expect(await fits("é", 2)).toBe(true);
  expect(await fits("", 0)).toBe(true);
});
