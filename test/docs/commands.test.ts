/** Every command line in the documents is one that the program accepts. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { parseArguments } from "../../src/cli/args/parse.ts";
import { COMMANDS } from "../../src/cli/llmfs.ts";

const ROOT = join(import.meta.dir, "../..");
const DOCUMENTS = ["README.md", "SECURITY.md", ...[...new Glob("docs/*.md").scanSync(ROOT)].sort()];
/** These are called by other names, or print help and versions. */
const NO_COMMANDS = ["umount", "help", "--version", "--help", "COMMAND", "DIR", "/dev/fuse"];

/** The words of a line of shell, up to the end of the command. */
function wordsOf(line: string): readonly string[] {
  const words: string[] = [];
  for (const [part] of line.matchAll(/(?:'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\s'"\\])+/g)) {
    if (/^(#|&&|\|\||[|;&>)]|[0-9]?>)/.test(part)) break;
    words.push(part.replace(/;$/, "").replace(/['"]/g, ""));
    if (part.endsWith(";")) break;
  }
  return words;
}

/** The lines of shell examples, with those that continue joined. */
function shellLines(text: string): readonly string[] {
  const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = ""]) => block);
  return blocks.flatMap((block) => block.replace(/\\\n\s*/g, " ").split("\n"));
}

test.each(DOCUMENTS)("every command line of %s is accepted by the program", async (document) => {
  const wrong: string[] = [];
  for (const line of shellLines(readFileSync(join(ROOT, document), "utf8"))) {
    for (const [, rest = ""] of line.matchAll(/(?:^|[;&|(]\s*|\s\$\()(?:\w+=\S+\s+)*llmfs\s+([^\n]*)/g)) {
      const [name = "", ...argv] = wordsOf(rest);
      const entry = COMMANDS.get(name);
      if (entry === undefined) {
        if (!NO_COMMANDS.includes(name) && !/^[A-Z/.~$]/.test(name)) wrong.push(`unknown command: ${line}`);
        continue;
      }
      const command = await entry.load();
      try {
        if (!argv.includes("--help")) parseArguments(argv, command.args, command.rest);
      } catch (error) {
        wrong.push(`${line}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
  expect(wrong).toEqual([]);
});

test("the examples are recognized as commands", () => {
  const text = readFileSync(join(ROOT, "docs/ci.md"), "utf8");
  expect(shellLines(text).filter((line) => line.startsWith("llmfs ")).length).toBeGreaterThan(5);
  expect(wordsOf("run --model 'a b' -- make test   # a comment")).toEqual([
    "run",
    "--model",
    "a b",
    "--",
    "make",
    "test",
  ]);
});
