import { expect, test } from "bun:test";
import { parsePolicy, policyText } from "../../src/attributes.ts";
import { formatDuration, formatTimeSpan, parseDuration } from "../../src/text/duration.ts";

test.each([
  ["500ms", 500],
  ["1.5s", 1500],
  ["90s", 90_000],
  ["5m", 300_000],
  ["2h", 7_200_000],
  ["36h", 129_600_000],
  ["3d", 259_200_000],
])("%s is read, and written the same way", (text, ms) => {
  expect([parseDuration(text), formatDuration(ms)]).toEqual([ms, text]);
});

test("the largest unit is used of which a duration is a whole number", () => {
  expect(["300s", "60m", "1.5h", "24h", "2w", "0s"].map((text) => formatDuration(parseDuration(text) ?? -1))).toEqual([
    ...["5m", "1h", "90m", "1d", "14d", "0ms"],
  ]);
});

test("a duration has one number and one unit", () => {
  expect(["", "5", "m", "5 m", "-5m", "5min", "1h30m", "5M", "1e3s"].map(parseDuration)).toEqual(
    Array(9).fill(undefined),
  );
});

test("a time in a sentence has a space", () => {
  expect([40, 1500, 90_000, 300_000, 100_500, 7_200_000].map(formatTimeSpan)).toEqual([
    ...["0.04 s", "1.5 s", "90 s", "5 min", "100.5 s", "2 h"],
  ]);
});

test("user.llmfs.refresh takes the times that a rule takes", () => {
  expect(["300s", "5m", "5m stale", "1d"].map((text) => parsePolicy(text))).toEqual([
    { ms: 300_000, stale: false },
    { ms: 300_000, stale: false },
    { ms: 300_000, stale: true },
    { ms: 86_400_000, stale: false },
  ]);
  expect(["once", "5", "5m  stale", "stale"].map((text) => parsePolicy(text))).toEqual(Array(4).fill(undefined));
  expect(policyText({ ms: 300_000, stale: true })).toBe("5m stale");
});
