/** Reading text from outside takes linear time, whatever it contains. */
import { describe, expect, test } from "bun:test";
import { contentSections, fence, printable } from "../../src/generate/context/prompts.ts";
import { referencesIn } from "../../src/generate/context/references.ts";
import { declarationsOf } from "../../src/generate/declarations/declarations.ts";
import { namedFiles } from "../../src/generate/named-files.ts";
import { DEFAULT_LIMITS, readProposal } from "../../src/generate/structure/proposal.ts";
import type { ProposedEntry } from "../../src/generate/structure/proposed-entry.ts";
import { StructureProgressTracker } from "../../src/generate/structure/structure-progress.ts";
import { checkSymlinks } from "../../src/generate/structure/symlinks.ts";
import { extractJson, readFileAnswer, readFileText } from "../../src/generators/builtin/clean-answer.ts";
import { parseCsv, parseCsvRows } from "../../src/generators/formats/csv.ts";
import { OfflineTree } from "../../src/offline/offline-tree.ts";
import { describeDifference } from "../../src/recording/explain-miss.ts";
import { readRecording } from "../../src/recording/record.ts";
import { fileName } from "../../src/recording/stores/folder.ts";
import { structureToSnapshot } from "../../src/snapshot/structure.ts";
import { expectLinear, type Input, mixture, RUNS, repeated } from "../support/growth.ts";

const FRAGMENTS: Readonly<Record<string, readonly string[]>> = {
  references: [
    ...[
      "import ",
      "from ",
      "from .",
      "require(",
      "require ",
      "include",
      "use ",
      "mod ",
      "a::",
      "a.",
      "../",
      "./",
      ".",
      "/",
    ],
    ...["@/", "~", "](", "[[", "url(", "src =", '"', "'", "`", " ", "\t", "\n", "a", "é", "\\", "#", "(", "# include"],
  ],
  answers: [
    ...[
      "<think>",
      "</think>",
      "<thinking>",
      "[THINK]",
      "[/THINK]",
      "<reasoning>",
      "```",
      "````",
      "~~~",
      "`",
      "\n",
      "\r\n",
    ],
    ...[" ", "\t", "```python\n", "```\n", "{", "}", "<|im_end|>", "</s>", "# a", "a", "<|channel|>final<|message|>"],
  ],
  proposals: [
    '{"files":[',
    '{"path":"a"},',
    '"path":',
    '"',
    "\\",
    "{",
    "[",
    "]",
    "}",
    ",",
    "a",
    "/",
    "..",
    " ",
    "\n",
    "1e9",
    "null",
  ],
  tables: ["a", ",", '"', '""', "\n", "\r\n", '"a"', " ", ";", "\t"],
};

/** Runs of characters, each fragment repeated, and mixtures of them. */
function inputs(kind: string): Readonly<Record<string, Input>> {
  const fragments = FRAGMENTS[kind] ?? [];
  const pairs = fragments.flatMap((one) =>
    fragments.slice(0, 8).map((two) => [`${one} then ${two}`, repeated(two, one)] as const),
  );
  return {
    ...RUNS,
    ...Object.fromEntries(fragments.map((one) => [one, repeated(one)])),
    ...Object.fromEntries(pairs),
    ...Object.fromEntries([1, 2, 3, 4].map((seed) => [`mixture ${seed}`, mixture(seed, fragments)])),
  };
}

const WORK: Readonly<Record<string, readonly [kind: string, work: (text: string) => unknown]>> = {
  "references in Python": ["references", (text) => referencesIn("/a/b.py", text)],
  "references in Rust": ["references", (text) => referencesIn("/a/b.rs", text)],
  "references in Go": ["references", (text) => referencesIn("/a/b.go", text)],
  "references in prose": ["references", (text) => referencesIn("/a/b.md", text)],
  "a source file in an answer": ["answers", (text) => readFileText(text, "a.py")],
  "a Markdown file in an answer": ["answers", (text) => readFileText(text, "a.md")],
  "a web page in an answer": ["answers", (text) => readFileAnswer(text, "a.html")],
  "JSON in an answer": ["answers", extractJson],
  "text between fences": ["answers", fence],
  "a name in a prompt": ["answers", printable],
  "parts of a prompt": [
    "answers",
    (text) => contentSections({ path: "a", description: text, prompts: [text], outline: text, related: [] }),
  ],
  "a layout": ["proposals", (text) => readProposal(text, DEFAULT_LIMITS)],
  "a table": ["tables", (text) => quietly(() => parseCsvRows(text))],
  "a table as objects": ["tables", (text) => quietly(() => parseCsv(text))],
  "a recording": ["answers", (text) => quietly(() => readRecording(`llmfs recording 1\n${text}\n\nanswer\n${text}`))],
  "the name of a recording": ["references", (text) => fileName(text, "0".repeat(64))],
  "the difference of two requests": ["answers", (text) => describeDifference(asked(text), asked(`${text}x`))],
};

const asked = (content: string) => ({ model: "m", messages: [{ role: "user" as const, content }] });

function quietly(work: () => unknown): void {
  try {
    work();
  } catch {
    // Unreadable text is rejected; only the time that takes matters here.
  }
}

test.each(Object.entries(WORK))("%s", async (_name, [kind, work]) => {
  for (const input of Object.values(inputs(kind))) await expectLinear(input, work, 16_384);
});

describe("very long lines are searched in linear time:", () => {
  const line = (text: string) => `${text.slice(0, 1999)}\n`;
  test.each([
    ["from and blanks", `from${" ".repeat(2000)}`],
    ["from and dots", `from ${".".repeat(2000)}`],
    ["require and blanks", `x require${" ".repeat(2000)}`],
    ["dots before a letter", `${".".repeat(1990)}a`],
    ["slashes and dots in words", "./a".repeat(700)],
  ])("%s", (_name, text) => expectLinear(repeated(line(text)), (all) => referencesIn("/a.py", all)));
});

test("a path in a streamed layout is found in time linear in the answer", async () => {
  const inputs = { quotes: '"', "an unfinished path": '"path":"a', "many paths": '{"path":"a/b"},', words: "word " };
  for (const unit of Object.values(inputs)) {
    await expectLinear(repeated(unit), (text) => {
      const listen = new StructureProgressTracker(undefined).begin();
      for (let at = 0; at < text.length; at += 4) listen(text.slice(at, at + 4));
    });
  }
});

test("a layout with too many entries is refused before they are examined", () => {
  for (const list of ["directories", "files", "symlinks", "unfinished"]) {
    const answer = `{"${list}":[${"{},".repeat(1_000_000)}{}]}`;
    const before = process.cpuUsage();
    expect(readProposal(answer, DEFAULT_LIMITS)).toMatchObject({
      problems: [expect.stringContaining("1000001 entries")],
    });
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(1500);
  }
  expect(readProposal(" ".repeat(5_000_000), DEFAULT_LIMITS)).toMatchObject({
    problems: [expect.stringContaining("longer than")],
  });
});

describe("symlinks that lead through each other are checked quickly:", () => {
  const link = (path: string, target: string) => [path, target] as const;
  const many = (make: (index: number) => readonly [string, string]) =>
    Array.from({ length: 10_000 }, (_, index) => make(index));
  test.each([
    ["long targets", many((index) => link(`/l${index}`, "x/../".repeat(800)))],
    ["deep targets", many((index) => link(`/l${index}`, "x/".repeat(2000)))],
    ["chains", many((index) => link(`/l${index}`, `l${index + 1}`))],
    ["chains of long targets", many((index) => link(`/l${index}`, `${"./".repeat(1000)}l${index + 1}`))],
    [
      "one that everybody goes through",
      [link("/d", "x/../".repeat(800)), ...many((index) => link(`/l${index}`, "d/d/d"))],
    ],
  ])("%s", (_name, links) => {
    const before = process.cpuUsage();
    checkSymlinks(new Map(links));
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(2000);
  });

  test("ordinary symlinks are all checked", () => {
    const links = many((index) => link(`/releases/v${index}/current`, "../../files/a.txt"));
    expect(checkSymlinks(new Map(links))).toEqual([]);
    expect(checkSymlinks(new Map([...links, link("/out", "releases/v1/../../../etc")]))).toHaveLength(1);
  });
});

test("requests for a large layout are found in time linear in its size", async () => {
  const structure = (count: number) => ({
    entries: Array.from(
      { length: count },
      (_, index): ProposedEntry => ({ type: "file", path: `/d${index % 100}/f${index}`, description: "x" }),
    ),
    model: "m",
    usage: { inputTokens: 0, outputTokens: 0 },
    requests: 1,
  });
  const [input, work] = [
    (length: number) => " ".repeat(length / 8),
    (text: string) => {
      const draft = new OfflineTree({ text: Buffer.from(structureToSnapshot(structure(text.length).entries)) });
      for (const { path } of draft.files) draft.request(path);
    },
  ];
  await expectLinear(input, work);
});

test("a table whose rows lack most of their columns is refused, and one that lacks a few is accepted", () => {
  expect(() => parseCsv(`${"a,".repeat(50_000)}\n${"x\n".repeat(50_000)}`)).toThrow("not a table");
  expect(parseCsv("a,b,c\n1\n2,3\n\n")).toEqual([
    { a: "1", b: "", c: "" },
    { a: "2", b: "3", c: "" },
    { a: "", b: "", c: "" },
  ]);
});

test("files that a prompt names are found in linear time, even after many marks", () =>
  expectLinear(repeated(".", "a"), (text) => namedFiles([`${text}x`], "/a/b.md", () => false)));

test("a program for which the parser would need minutes is not reduced to its declarations", async () => {
  for (const [path, unit] of [
    ["/a.py", "\\\n"],
    ["/a.sh", "<<E\n"],
    ["/a.cpp", "a<"],
    ["/b.py", `${"/*".repeat(400)}\n`],
  ] as const) {
    const before = process.cpuUsage();
    expect(await declarationsOf(path, unit.repeat(60_000 / unit.length))).toBeUndefined();
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(5000);
  }
});

test("a recording's name is truncated between characters", () => {
  const name = fileName(`/${"é".repeat(300)}`, "0".repeat(64));
  expect(name).toBe(`${"é".repeat(75)}.${"0".repeat(16)}.txt`);
  expect(fileName(`/a${"潮".repeat(300)}`, "0".repeat(64)).startsWith(`a${"潮".repeat(49)}.`)).toBe(true);
});
