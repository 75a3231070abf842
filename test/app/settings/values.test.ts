import { expect, test } from "bun:test";
import { totalmem } from "node:os";
import { availableMemory } from "../../../src/app/machine/available-memory.ts";
import { parseAmount, parseCount, parseSize, parseTimeLimit } from "../../../src/app/settings/values.ts";

const whole = () => 1000;

test("a size is a number of bytes, has a unit of 1024, or is a share", () => {
  expect(parseSize("--size", "4096B", whole)).toBe(4096);
  expect(parseSize("--size", "1048576", whole)).toBe(2 ** 20);
  expect(parseSize("--size", "4k", whole)).toBe(4096);
  expect(parseSize("--size", "512M", whole)).toBe(512 * 2 ** 20);
  expect(parseSize("--size", "2g", whole)).toBe(2 * 2 ** 30);
  expect(parseSize("--size", "1.5GiB", whole)).toBe(1.5 * 2 ** 30);
  expect(parseSize("--size", "25%", () => 100_000)).toBe(25_000);
});

test("an invalid size is rejected with the flag's name", () => {
  for (const wrong of ["", "M", "12X", "-1", "0", "0%", "0k", "101%", "1e9", "9999999T", "NaN"]) {
    expect(() => parseSize("--size", wrong, whole)).toThrow(`--size ${wrong}: expected a size`);
  }
});

test("a size below 1 MiB without a unit is rejected as a forgotten unit", () => {
  for (const wrong of ["1", "10", "512", "4096", "1048575"]) {
    expect(() => parseSize("--size", wrong, whole)).toThrow(
      `--size ${wrong}: a number without a unit is in bytes; did you mean ${wrong}M?`,
    );
  }
});

test("a size that cannot hold a file is rejected in every notation", () => {
  for (const wrong of ["10B", "0.5k", "4095B", "0.1%"]) {
    expect(() => parseSize("--size", wrong, whole)).toThrow(`--size ${wrong}:`);
    expect(() => parseSize("--size", wrong, whole)).toThrow("cannot hold a single file; the minimum is 4K");
  }
});

test("a time below the minimum is rejected with the minimum", () => {
  expect(parseTimeLimit("--save-every", "1s", 1000)).toBe(1000);
  expect(() => parseTimeLimit("--save-every", "999ms", 1000)).toThrow(
    "--save-every 999ms: too short; the minimum is 1s",
  );
  expect(() => parseTimeLimit("--timeout", "5ms", 100)).toThrow("--timeout 5ms: too short; the minimum is 100ms");
});

test("a time has a unit or is in seconds", () => {
  expect(parseTimeLimit("--timeout", "500ms")).toBe(500);
  expect(parseTimeLimit("--timeout", "90")).toBe(90_000);
  expect(parseTimeLimit("--timeout", "1.5s")).toBe(1500);
  expect(parseTimeLimit("--timeout", "10m")).toBe(600_000);
  expect(parseTimeLimit("--timeout", "1h")).toBe(3_600_000);
  expect(parseTimeLimit("--timeout", "1d")).toBe(86_400_000);
});

test("an invalid time, or one longer than a timer allows, is rejected", () => {
  for (const wrong of ["", "s", "0", "-1s", "10 parsecs", "600h", "25d"]) {
    expect(() => parseTimeLimit("--timeout", wrong)).toThrow(`--timeout ${wrong}: expected a time`);
  }
});

test("a count is a whole number above a minimum", () => {
  expect(parseCount("--inodes", "100000", 1)).toBe(100_000);
  for (const wrong of ["", "0", "-1", "1.5", "many", "99999999999999999999"]) {
    expect(() => parseCount("--inodes", wrong, 1)).toThrow("expected a whole number, 1 or more");
  }
});

test("a count above its maximum is rejected with the maximum", () => {
  expect(parseCount("--concurrency", "256", 1, 256)).toBe(256);
  for (const wrong of ["0", "257", "99999999999999999999"]) {
    expect(() => parseCount("--concurrency", wrong, 1, 256)).toThrow(
      `${wrong}: expected a whole number, from 1 to 256`,
    );
  }
});

test("the memory of which sizes are shares is above zero and at most the machine's", () => {
  expect(availableMemory()).toBeGreaterThan(2 ** 20);
  expect(availableMemory()).toBeLessThanOrEqual(totalmem() + 2 ** 20);
});

test("an amount is in dollars, with or without the sign", () => {
  expect([parseAmount("--max-usd", "5"), parseAmount("--max-usd", "0.25"), parseAmount("--max-usd", "$2")]).toEqual([
    5, 0.25, 2,
  ]);
  for (const wrong of ["", "-1", "five", "1e3", "5 EUR"]) {
    expect(() => parseAmount("--max-usd", wrong)).toThrow("expected an amount in dollars");
  }
});
