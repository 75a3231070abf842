/** Unit tests (build/unit-tests.ts) run on any machine, from a checkout that nothing was built in. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EXHAUSTIVE, EXTERNAL, importsOf, unitTests } from "../../build/unit-tests.ts";

const ROOT = join(import.meta.dir, "../..");
const UNIT_TESTS = unitTests();

test("the modules and files that the unit-test rule names exist", () => {
  expect([...EXTERNAL, ...EXHAUSTIVE].filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
});

test("no unit test mounts, or starts llmfs", () => {
  const starts = /dist\/llmfs|\b(?:startFilesystem|mountFuse|describeMounted|libc\.mount)\(/;
  const sources = new Set(UNIT_TESTS.flatMap((file) => [...importsOf(file)]));
  sources.delete("test/build/unit-tests.test.ts");
  expect([...sources].filter((file) => starts.test(readFileSync(join(ROOT, file), "utf8")))).toEqual([]);
});

test("most folders of test contain unit tests", () => {
  const folders = new Set(UNIT_TESTS.map((file) => file.split("/")[1]));
  for (const folder of ["tree", "fs", "fuse", "generate", "generators", "llm", "recording", "snapshot"]) {
    expect(folders).toContain(folder);
  }
});
