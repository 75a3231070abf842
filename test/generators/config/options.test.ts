/** Options of rules: invalid ones are refused when the configuration is read, instead of failing every file later. */
import { expect, test } from "bun:test";
import { readCount, readDuration } from "../../../src/generators/config/options.ts";

test("a time limit is positive and no longer than a timer supports", () => {
  expect(readDuration({ timeout: "1ms" }, "timeout")).toBe(1);
  expect(readDuration({ timeout: "24d" }, "timeout")).toBe(24 * 86_400_000);
  expect(readDuration({}, "timeout")).toBeUndefined();
  // For databases a statement timeout of 0 means none; for timers a timeout that is too long means none.
  for (const timeout of ["0s", "0ms", "0.1ms", "25d", "30", "soon"]) {
    expect(() => readDuration({ timeout }, "timeout")).toThrow('the option "timeout" is "');
  }
});

test("a count may have a minimum", () => {
  expect(readCount({ maxBytes: 1 }, "maxBytes", 5, 1)).toBe(1);
  expect(readCount({}, "maxBytes", 5, 1)).toBe(5);
  for (const maxBytes of [0, -1, 1.5, Number.NaN, 1e300, "10"]) {
    expect(() => readCount({ maxBytes }, "maxBytes", 5, 1)).toThrow("must be a whole number, 1 or more");
  }
});
