import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readRequestLimit } from "../../src/fuse/request-limit.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-limit-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

/** The limit with these sysctls. */
function limit(usual: string, most: string) {
  writeFileSync(join(folder, "default_request_timeout"), usual);
  writeFileSync(join(folder, "max_request_timeout"), most);
  return readRequestLimit(folder);
}

test("without the sysctls, as on older kernels, requests may wait forever", () => {
  expect(readRequestLimit(folder)).toEqual({ askS: 0, answerWithinMs: undefined });
  expect(limit("0\n", "0\n")).toEqual({ askS: 0, answerWithinMs: undefined });
});

test("a default limit without a maximum is replaced with the longest possible time", () => {
  expect(limit("20\n", "0\n")).toEqual({ askS: 65535, answerWithinMs: 65535 * 800 });
});

test("a maximum limit is respected, and no limit is shorter than the kernel allows", () => {
  expect(limit("0\n", "100\n")).toEqual({ askS: 65535, answerWithinMs: 80_000 });
  expect(limit("20\n", "100\n")).toEqual({ askS: 65535, answerWithinMs: 80_000 });
  expect(limit("0\n", "1\n")).toEqual({ askS: 65535, answerWithinMs: 12_000 });
});
