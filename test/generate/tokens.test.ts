/** Counting tokens: near the truth for text, never slow for anything, and not done where there is no need. */
import { beforeAll, expect, test } from "bun:test";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import { fits, type TokenCounter, tokenCounter } from "../../src/generate/tokens.ts";

let count: TokenCounter;
beforeAll(async () => {
  count = await tokenCounter();
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

test("what looks like a control token is text; half a character and NUL are counted too", () => {
  expect(count("<|endoftext|>")).toBeGreaterThan(1);
  expect(count("a\ud83db")).toBeGreaterThan(0);
  expect(count("\0\0")).toBeGreaterThan(0);
  expect(count("")).toBe(0);
});

test("a run without a blank takes time by its length, not by its square", () => {
  // By the square this would take hours.
  expect(count("a".repeat(4_000_000))).toBeGreaterThan(100_000);
});

test("a text fits if it has no more tokens than the budget", async () => {
  const text = "one two three four";
  expect(await fits(text, 4)).toBe(true);
  expect(await fits(text, 3)).toBe(false);
  expect(await fits("é", 2)).toBe(true);
  expect(await fits("", 0)).toBe(true);
});
