import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../../src/app/errors.ts";
import { checkCommand } from "../../../src/cli/preflight/runnable-command.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-test-"));
  writeFileSync(join(folder, "program"), "#!/bin/sh\n");
  chmodSync(join(folder, "program"), 0o755);
  writeFileSync(join(folder, "data"), "text");
});
afterAll(() => rmSync(folder, { recursive: true }));

function refusal(name: string, path = folder): string {
  try {
    checkCommand([name, "-x"], path);
    return "";
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return `${error.exit}: ${error.message.replaceAll(folder, "FOLDER")}`;
  }
}

test("a program in PATH and an absolute path are accepted", () => {
  expect([refusal("program"), refusal(join(folder, "program"))]).toEqual(["", ""]);
});

test("what only the tree can tell is not judged: a relative path, and a relative part of PATH", () => {
  expect([
    refusal("./none"),
    refusal("bin/none"),
    refusal("none", `${folder}:bin`),
    refusal("none", `${folder}:`),
  ]).toEqual([...["", "", "", ""]]);
});

test.each([
  ["", "notFound: the command is empty; name a program behind --"],
  ["none", "notFound: none: there is no such program in PATH; for a program in the tree, write: -- ./none"],
  ["data", "notFound: data: there is no such program in PATH; for a program in the tree, write: -- ./data"],
  [
    "make test",
    "notFound: make test: there is no such program in PATH; for a line of shell, write: -- sh -c 'make test'",
  ],
  ["FOLDER/none", "notFound: FOLDER/none: there is no such program"],
  ["FOLDER", "notExecutable: FOLDER is a directory, not a program"],
  ["FOLDER/data", "notExecutable: FOLDER/data is not executable; make it so with: chmod +x FOLDER/data"],
])("%s is refused", (name, message) => {
  expect(refusal(name.replace("FOLDER", folder))).toBe(message);
});
