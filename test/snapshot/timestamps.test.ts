import { expect, test } from "bun:test";
import { formatTime, parseTime } from "../../src/snapshot/timestamps.ts";

test.each<[string, number, number]>([
  ["0", 0, 0],
  ["1735689600.25", 1_735_689_600, 250_000_000],
  ["1.000000001", 1, 1],
  ["0.999999999", 0, 999_999_999],
  ["-1", -1, 0],
  ["-0.5", -1, 500_000_000],
  ["-1.25", -2, 750_000_000],
  ["-0.000000001", -1, 999_999_999],
  ["9007199254740990", 9_007_199_254_740_990, 0],
])("%s is read as a time and written as the same text", (text, seconds, nanoseconds) => {
  expect(parseTime(text)).toEqual({ seconds, nanoseconds });
  expect(formatTime(seconds, nanoseconds)).toBe(text);
});

test("a timestamp's decimals beyond nine are cut off, and missing ones are zeros", () => {
  expect(parseTime("1.1234567899")).toEqual({ seconds: 1, nanoseconds: 123_456_789 });
  expect(parseTime("1.5")).toEqual({ seconds: 1, nanoseconds: 500_000_000 });
});

test.each(["", " 1", "1.", ".5", "+1", "1e9", "0x1", "inf", "NaN", "--1", "99999999999999999"])(
  "%p is not a timestamp",
  (text) => {
    expect(parseTime(text)).toBeUndefined();
  },
);
