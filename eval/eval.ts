/**
 * Evaluates a model: six prompts of different kinds, each with a check of its own, with and without the files' uses.
 *
 *     npm run eval -- --base-url http://127.0.0.1:11434/v1 --model NAME
 *
 * docs/evaluation.md says how to read the table. Code that the model writes is run on this machine.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { CASES } from "./cases.ts";
import { formatProblems, formatSums, formatTable } from "./report.ts";
import { type EvalResult, runCase } from "./run-case.ts";

const USAGE = `npm run eval -- --model NAME [--base-url URL] [--only NAME,…] [--repairs N] [--json FILE] [--keep DIR] [-- FLAGS]

  --model NAME     the model to evaluate
  --base-url URL   an OpenAI-compatible server; default: OPENAI_BASE_URL, or OpenAI with OPENAI_API_KEY
  --only NAME,…    only these cases: ${CASES.map(({ name }) => name).join(", ")}
  --repairs N      rounds of repair after a check that failed; default: 3
  --json FILE      write the results to FILE
  --keep DIR       keep layouts and recordings in DIR
  -- FLAGS         further flags for each mount, such as --max-usd 1 or --price NAME=0.1/0.4`;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: {
      model: { type: "string" },
      "base-url": { type: "string" },
      only: { type: "string" },
      repairs: { type: "string", default: "3" },
      json: { type: "string" },
      keep: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
  const { model, only } = values;
  const names = only?.split(",") ?? CASES.map(({ name }) => name);
  const unknown = names.find((name) => !CASES.some((one) => one.name === name));
  const binary = resolve(import.meta.dir, "../dist/llmfs");
  if (values.help) return say(USAGE, 0);
  if (model === undefined) return say(`--model is missing\n\n${USAGE}`, 2);
  if (unknown !== undefined) return say(`unknown case: ${unknown}\n\n${USAGE}`, 2);
  if (!existsSync(binary)) return say("dist/llmfs is missing; run npm run build first", 2);
  const scratch = values.keep === undefined ? mkdtempSync(join(tmpdir(), "llmfs-eval-")) : resolve(values.keep);
  const modelFlags = [
    ...["--model", model],
    ...(values["base-url"] === undefined ? [] : ["--base-url", values["base-url"]]),
    ...positionals,
  ];
  const results: EvalResult[] = [];
  try {
    for (const one of CASES) {
      if (!names.includes(one.name)) continue;
      const lacking = one.needs.find((program) => program !== "bun" && Bun.which(program) === null);
      if (lacking !== undefined) {
        console.error(`${one.name} is left out: its check needs ${lacking}`);
        continue;
      }
      const options = { llmfs: [binary], modelFlags, repairs: Number(values.repairs), scratch, say: console.error };
      results.push(...(await runCase(one, options)));
    }
  } finally {
    if (values.keep === undefined) rmSync(scratch, { recursive: true, force: true });
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ model, results }, null, 2)}\n`);
  console.log(`${formatTable(results)}\n\n${formatSums(results)}`);
  const problems = formatProblems(results);
  if (problems !== "") console.log(`\n${problems}`);
  return results.length > 0 && results.every(({ passed }) => passed) ? 0 : 1;
}

function say(text: string, status: number): number {
  console.error(text);
  return status;
}
