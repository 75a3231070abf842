/** How the command lines of documents are found and executed, and what the author of a wrong one sees. */
import { expect, test } from "bun:test";
import { execute } from "./execute.ts";
import { readDocument } from "./markdown.ts";
import { commandsOf } from "./spans.ts";

const page = (text: string) => readDocument("page.md", text);

test("lines of shell examples are found with their numbers, also if they continue or the block is indented", () => {
  const text =
    "A page.\n\n```sh\n# a comment\nfor i in 1 2; do\n  echo $i\ndone\ncat <<X   # here\ntext\nX\na \\\n  b\n```\n\n- item\n\n  ```sh\n  c\n  ```\n";
  expect(page(text).items).toEqual([
    { document: "page.md", line: 5, text: "for i in 1 2; do\n  echo $i\ndone" },
    { document: "page.md", line: 8, text: "cat <<X   # here\ntext\nX" },
    { document: "page.md", line: 11, text: "a \\\n  b" },
    { document: "page.md", line: 18, text: "c" },
  ]);
});

test("a session has lines with what they print, and a block with a file's name is that file", () => {
  const { items } = page("```console\n$ echo a\na\n$ true\n```\n```yaml\n# llmfs.config.yaml\nmode: off\n```\n");
  expect(items).toEqual([
    { document: "page.md", line: 2, text: "echo a", output: ["a"] },
    { document: "page.md", line: 4, text: "true", output: [] },
    { document: "page.md", line: 7, name: "llmfs.config.yaml", text: "# llmfs.config.yaml\nmode: off\n" },
  ]);
});

test("a command line in a block of another kind is noticed", () => {
  expect(page("```\nllmfs list\n```\n```text\n$ llmfs list\n```\n").misplaced.map(({ line }) => line)).toEqual([2, 5]);
});

test("a command in a sentence is found once for each alternative, with the arguments that it leaves out", async () => {
  const { spans } = page(
    "Use `llmfs\nwarm`, | `llmfs tree DIR\\|tree.json [--depth N]` | or `cat FILE`, not `cp -a` or `tree`.\n",
  );
  expect((await commandsOf(spans)).map(({ line, text }) => `${line} ${text}`)).toEqual([
    "1 llmfs warm DIR",
    "2 llmfs tree DIR",
    "2 llmfs tree tree.json",
    "2 llmfs tree DIR --depth N",
    "2 llmfs tree tree.json --depth N",
    "2 cat FILE",
  ]);
});

test("a line that fails or prints something else is reported with document and line, and the others still run", async () => {
  const text =
    "```console\n$ cd /; X=1\n$ pwd; echo $X\n/\n1\n$ false\n$ llmfs lits\n$ echo b\na\n$ echo 12 of 3\n… of 3\n$ seq 2\n1\n```\n";
  const problems = await execute(page(text).items, { words: { NAME: "x" } });
  expect(problems).toEqual([
    "page.md:6: exits with status 1: false\n",
    expect.stringMatching(
      /^page\.md:7: exits with status 2: llmfs lits\nllmfs: unknown command lits; did you mean list\?/,
    ),
    "page.md:8: prints something else than the document shows: echo b\nshown:   a\nprinted: b",
    "page.md:12: prints something else than the document shows: seq 2\nprinted in addition: 2",
    'the scene has "NAME", which is in no line',
  ]);
});

test("a line that does not end is reported, and so are those after it", async () => {
  const problems = await execute(page("```sh\ntail -f /dev/null\ntrue\n```\n").items, {}, 500);
  expect(problems).toEqual([
    "page.md:2: does not end: tail -f /dev/null\n",
    "page.md:3: not executed, since an earlier line did not end: true",
  ]);
});

test("a line that never ends is interrupted when it has printed what the document shows", async () => {
  const { items } = page(
    '```console\n$ echo \'{"at": 1, "path": "/a"}\'; tail -f /dev/null\n{"at": 2, "path": "/a"}\n```\n',
  );
  expect(await execute(items, { follows: ["echo"], varying: ["at"] })).toEqual([]);
  expect(await execute(items, { follows: ["echo"] })).toEqual([
    expect.stringContaining("page.md:2: prints something else"),
  ]);
});
