import { afterAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { keepFailedAnswer } from "../../../src/app/layout/failed-answer.ts";
import { LlmError } from "../../../src/llm/llm.ts";
import { Sandbox } from "../../support/program.ts";

const sandbox = new Sandbox();
afterAll(() => sandbox[Symbol.dispose]());

function messageOf(error: unknown): string {
  return error instanceof LlmError ? error.message : String(error);
}

test("the last answer of a failed layout is kept in a file that the error names", () => {
  const folder = join(sandbox.path, "state");
  const error = keepFailedAnswer(
    new LlmError("unusable", "no tree", { answer: "I would rather not\u001b[31m" }),
    folder,
  );
  expect(error).toMatchObject({ kind: "unusable" });
  const [, file = ""] = /^no tree\nThe last answer is in (\/.*)$/.exec(messageOf(error)) ?? [];
  expect(readFileSync(file, "utf8")).toBe("I would rather not\u001b[31m");
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("only the latest answers are kept", () => {
  const folder = sandbox.directory("many");
  for (let index = 0; index < 12; index += 1)
    writeFileSync(join(folder, `layout-answer-20200101-${10 + index}.txt`), "");
  writeFileSync(join(folder, "llmfs.log"), "");
  keepFailedAnswer(new LlmError("unusable", "no tree", { answer: "the latest" }), folder);
  const left = readdirSync(folder).sort();
  expect(left).toHaveLength(11);
  expect(left.slice(0, 2)).toEqual(["layout-answer-20200101-13.txt", "layout-answer-20200101-14.txt"]);
});

test("an error that has no answer stays as it is, and a folder that cannot be written is reported", () => {
  const error = new LlmError("timeout", "too late");
  expect(keepFailedAnswer(error, "/nowhere")).toBe(error);
  writeFileSync(sandbox.at("file"), "");
  const kept = keepFailedAnswer(
    new LlmError("unusable", "no tree", { answer: "x" }),
    join(sandbox.at("file"), "llmfs"),
  );
  expect(messageOf(kept)).toContain("The last answer could not be kept: ");
});
