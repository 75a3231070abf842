/** `npm run eval` against a model with a script: what it prints, and that each check can be passed and failed. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CASES } from "../../eval/cases.ts";
import type { EvalResult } from "../../eval/run-case.ts";
import { answerEvaluation } from "../support/eval-model.ts";
import { describeMounted } from "../support/mounted.ts";
import { openaiServer } from "../support/openai-server.ts";
import { finished, Sandbox } from "../support/program.ts";

setDefaultTimeout(300_000);

const ROOT = join(import.meta.dir, "../..");

async function evaluate(sandbox: Sandbox, ...args: string[]) {
  await using server = await openaiServer();
  server.script((request) => answerEvaluation(request));
  const child = Bun.spawn({
    cmd: [process.execPath, "eval/eval.ts", "--base-url", server.baseUrl, "--model", "scripted", ...args],
    cwd: ROOT,
    env: sandbox.environment(),
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end();
  return await finished(child);
}

describeMounted("the evaluation", () => {
  test("the evaluation runs all cases, and those with uses pass at once", async () => {
    using sandbox = new Sandbox();
    const done = await evaluate(sandbox, "--json", sandbox.at("results.json"), "--", "--price", "scripted=1/2");
    const { results }: { results: EvalResult[] } = JSON.parse(readFileSync(sandbox.at("results.json"), "utf8"));
    expect(results.filter(({ passed }) => !passed)).toEqual([]);
    expect(results.filter(({ uses }) => uses).map(({ name, rounds }) => [name, rounds])).toEqual(
      CASES.map(({ name }) => [name, 0]),
    );
    const repaired = results.filter(({ uses, rounds }) => !uses && rounds > 0).map(({ name }) => name);
    expect(repaired).toEqual(expect.arrayContaining(["c-tool", "python-library", "typescript-service", "data-set"]));
    expect(done.status).toBe(0);
    expect(done.stdout).toContain(`with uses: ${CASES.length} of ${CASES.length} passed at once`);
    expect(done.stdout).toMatch(/\| c-tool +\| with +\| 5 +\| 6 +\| 66 +\| 42 +\| \$0\.0002 \| 0 +\| at once \|/);
  });

  test("the evaluation reports what went wrong, and exits with status 1", async () => {
    using sandbox = new Sandbox();
    const done = await evaluate(sandbox, "--only", "data-set", "--repairs", "0");
    expect(done.status).toBe(1);
    expect(done.stdout).toContain("without uses: 0 of 1 passed at once, 0 in the end");
    expect(done.stdout).toContain("data/lighthouses.csv has no column height");
    expect((await evaluate(sandbox, "--only", "no-such-case")).status).toBe(2);
  });
});
