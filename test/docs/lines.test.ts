/** Every command line of the documents is executed, with the compiled binary, and prints what the document shows. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describeMounted } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { DEADLINE_MS, execute } from "./execute.ts";
import { DOCUMENTS, ROOT, readDocument, where } from "./markdown.ts";
import { ELSEWHERE, SCENES } from "./scenes.ts";

setDefaultTimeout(DEADLINE_MS + 20_000);

const documents = DOCUMENTS.map((path) => [path, readDocument(path)] as const);

test.each(documents)("every command line of %s is in a block of the kind sh or console", (_, { misplaced }) => {
  expect(misplaced.map((one) => `${where(one)}: ${one.text}`)).toEqual([]);
});

test("every document with command lines has a scene, or another test that executes them", () => {
  const withLines = documents.filter(([, { items }]) => items.some((item) => !("name" in item)));
  expect(Object.keys({ ...SCENES, ...ELSEWHERE }).sort()).toEqual(withLines.map(([path]) => path));
  for (const [path, file] of Object.entries(ELSEWHERE)) expect(readFileSync(join(ROOT, file), "utf8")).toContain(path);
});

const LACKING = programs("bash", "gcc", "make", "pytest", "sqlite3");

describeMounted("the command lines of", () => {
  for (const [path, { items }] of documents) {
    const scene = SCENES[path];
    if (scene === undefined) continue;
    testWith(scene.lacking ?? LACKING)(path, async () => expect(await execute(items, scene)).toEqual([]));
  }
});
