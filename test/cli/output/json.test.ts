import { expect, test } from "bun:test";
import { NO_PROGRESS } from "../../../src/app/progress.ts";
import { formatJson } from "../../../src/cli/output/terminal.ts";
import { runWarming } from "../../../src/cli/output/warm-progress.ts";

test("JSON has sums without the error of binary fractions, and whole numbers unchanged", () => {
  expect(formatJson({ usd: 0.1 + 0.2, least: 0.0000004, count: 9007199254740991, list: [0.5] }, 0)).toBe(
    '{"usd":0.3,"least":4e-7,"count":9007199254740991,"list":[0.5]}',
  );
});

test("the seconds of a result are whole milliseconds", async () => {
  const { seconds } = await runWarming({
    files: [{ path: "/a" }],
    concurrency: 1,
    make: async () => {},
    signal: new AbortController().signal,
    progress: NO_PROGRESS,
    usage: () => undefined,
    stop: async () => {},
  });
  expect(String(seconds)).toMatch(/^\d+(\.\d{1,3})?$/);
});
