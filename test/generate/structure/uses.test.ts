/** What files of a layout are written from: how a model may name it, what is reported, and what is left out. */
import { describe, expect, test } from "bun:test";
import { DEFAULT_LIMITS, type ProposalPlace, readProposal } from "../../../src/generate/structure/proposal.ts";
import type { ProposedEntry } from "../../../src/generate/structure/proposed-entry.ts";
import { settleUses } from "../../../src/generate/structure/uses.ts";

type Uses = Readonly<Record<string, unknown>>;

const file = ([path, uses]: [string, unknown]) => ({ path, description: "d", uses });

function read(uses: Uses, place: ProposalPlace = {}, more: object = {}) {
  return readProposal(JSON.stringify({ files: Object.entries(uses).map(file), ...more }), DEFAULT_LIMITS, place);
}

function problems(uses: Uses, place?: ProposalPlace, more?: object): readonly string[] {
  const result = read(uses, place, more);
  return "problems" in result ? result.problems : [];
}

/** The uses of every file that has some, as the tree gets them from a final answer, and what was left out. */
function settled(uses: Uses, more?: object) {
  const result = read(uses, { final: true }, more);
  if ("problems" in result) throw new Error(result.problems.join("\n"));
  const { entries, leftOut } = settleUses(result.entries, new Map(), () => true);
  return { uses: usesOf(entries), leftOut };
}

function usesOf(entries: readonly ProposedEntry[]): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    entries.flatMap((entry) => (entry.type === "file" && entry.uses ? [[entry.path, entry.uses]] : [])),
  );
}

/** The uses that an answer names, if it is accepted. */
function accepted(uses: Uses, place?: ProposalPlace, more?: object) {
  const result = read(uses, place, more);
  if ("problems" in result) throw new Error(result.problems.join("\n"));
  return usesOf(result.entries);
}

describe("a use may be named", () => {
  const expected = { "/tests/t.py": ["/src/a.py"] };
  test.each([
    ["as every path", ["src/a.py"]],
    ["with a leading slash", ["/src/a.py"]],
    ["with a leading dot", ["./src/a.py"]],
    ["relative to the file", ["../src/a.py"]],
    ["twice", ["src/a.py", "../src/a.py"]],
    ["without a list", "src/a.py"],
    ["as an object with a path", [{ path: "src/a.py" }]],
    ["through a symlink", ["code/a.py"]],
    ["by a symlink", ["main.py"]],
    ["by its directory", ["src/"]],
    ["by a symlink to its directory", ["code"]],
  ])("a use may be named %s", (_, named) => {
    const symlinks = [
      { path: "code", target: "src" },
      { path: "main.py", target: "code/../src/a.py" },
    ];
    expect(accepted({ "src/a.py": [], "tests/t.py": named }, {}, { symlinks })).toEqual(expected);
  });

  test("a use may be named relative to the file if no path from the root is meant", () => {
    expect(accepted({ "src/a.c": ["a.h"], "src/a.h": [] })).toEqual({ "/src/a.c": ["/src/a.h"] });
    expect(accepted({ "src/a.c": ["a.h"], "src/a.h": [], "a.h": [] })).toEqual({ "/src/a.c": ["/a.h"] });
  });

  test("null, an empty string and an empty list are not uses", () => {
    expect(accepted({ a: null, b: "", c: [], d: [""] })).toEqual({});
  });
});

test("a directory stands for the files directly in it, except the file that uses it, if they are few", () => {
  const few = Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`src/${index}.py`, []]));
  const all = Object.keys(few).map((path) => `/${path}`);
  const below = { "src/deep/x.py": [] };
  expect(accepted({ ...few, ...below, "README.md": ["src"] })["/README.md"]).toEqual(all.toSorted());
  expect(accepted({ ...few, ...below, "src/README.md": ["."] })["/src/README.md"]).toEqual(all.toSorted());
  expect(problems({ ...few, "src/16.py": [], "README.md": ["src"] })).toEqual([
    '"README.md" uses the directory "src", which has 17 files; name the few it needs',
  ]);
  expect(problems({ "src/deep/x.py": [], "README.md": ["src"] })).toEqual([
    '"README.md" uses the directory "src", which has no files directly in it',
  ]);
});

describe("reported to the model:", () => {
  test.each([
    ["a file that does not exist", { a: ["b"] }, '"a" uses "b", which is not in the tree'],
    ["a path that leaves the tree", { "s/a": ["../../etc/passwd"] }, '"s/a" uses "../../etc/passwd", which is not'],
    ["the control directory", { a: [".llmfs/status.json"] }, '"a" uses ".llmfs/status.json", which is not in the tree'],
    ["control characters", { a: ["b\u001b[31m\n"] }, 'uses "b\\u001b[31m\\n", which is not in the tree'],
    ["itself", { a: ["a"] }, '"a" uses itself'],
    ["something that is not a path", { a: [1] }, '"uses" of "a" is not a list of paths'],
    ["a map", { a: { b: true } }, '"uses" of "a" is not a list of paths'],
    ["a symlink that dangles", { a: ["l"] }, '"a" uses "l", which is not in the tree'],
    [
      "a circle, spelled out",
      { "a.py": ["b.py"], "b.py": ["c.py"], "c.py": ["a.py"], "d.py": ["a.py"] },
      'files use each other in a circle, so that none of them can be written first: "a.py" → "b.py" → "c.py" → "a.py"; ' +
        "leave out one of these uses",
    ],
    ["a circle through a directory", { "s/a": ["t"], "t/b": ["s/a"] }, '"s/a" → "t/b" → "s/a"'],
    ["too many", { a: Array.from({ length: 33 }, (_, index) => `b${index}`) }, '"a" uses 33 files; name the few'],
  ])("a use is reported to the model: %s", (_, uses, message) => {
    const found = problems(uses, {}, { symlinks: [{ path: "l", target: "nowhere" }] });
    expect(found.join("\n")).toContain(message);
    expect(found.join("")).not.toMatch(/\p{Cc}/u);
  });

  test("a cycle of thousands of files is reported only in part", () => {
    const ring = Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`f${at}`, [`f${(at + 1) % 5000}`]]));
    const [problem = ""] = problems(ring);
    expect(problem).toContain("more …");
    expect(problem.length).toBeLessThan(400);
  });
});

test("in a final answer, uses that cannot be followed are left out and named", () => {
  const { uses, leftOut } = settled({
    a: ["b", "../../etc/passwd", ".llmfs/status.json", "a", "nowhere"],
    b: ["a"],
    c: 1,
    d: ["b"],
  });
  // More files use b than a, so a stays the one that is written from the other.
  expect(uses).toEqual({ "/a": ["/b"], "/d": ["/b"] });
  expect(leftOut).toEqual([
    '"b" does not use "a", because that would be a circle',
    '"a" uses "../../etc/passwd", which is not in the tree',
    '"a" uses ".llmfs/status.json", which is not in the tree',
    '"a" uses itself',
    '"a" uses "nowhere", which is not in the tree',
  ]);
});

test("in a final answer, a file keeps its first 32 uses", () => {
  const others = Array.from({ length: 50 }, (_, index) => `b${index}`);
  const { uses, leftOut } = settled({ a: others, ...Object.fromEntries(others.map((path) => [path, []])) });
  expect(uses["/a"]).toEqual(others.slice(0, 32).map((path) => `/${path}`));
  expect(leftOut).toEqual(['"a" uses more than 32 files; only the first count']);
});

test("a chain of 10,000 files is reported, and cut in a final answer", () => {
  const name = (index: number) => `f${String(index).padStart(5, "0")}`;
  const chain = Object.fromEntries(
    Array.from({ length: 9999 }, (_, index) => [name(index), index === 0 ? [] : [name(index - 1)]]),
  );
  expect(problems(chain)[0]).toContain('"f01000" uses "f00999", which is the last of a chain of 1000 files');
  const { uses, leftOut } = settled(chain);
  expect(Object.keys(uses)).toHaveLength(9999 - 10);
  expect(leftOut).toHaveLength(9);
});

test("files that are excluded from requests cannot be used", () => {
  const entries: ProposedEntry[] = [
    { type: "file", path: "/.env", description: "" },
    { type: "file", path: "/a", description: "", uses: ["/.env"] },
  ];
  const { entries: left, leftOut } = settleUses(entries, new Map(), (path) => path !== "/.env");
  expect([usesOf(left), leftOut]).toEqual([{}, ['"a" uses ".env", which is kept out of requests']]);
});

describe("files that another request lays out", () => {
  const unfinished = [{ path: "lib", brief: "the library", files: 3 }];
  const known = new Map([
    ["/main.c", { type: "file" as const, path: "/main.c", uses: ["/lib/a.h"] }],
    ["/lib", { type: "directory" as const, path: "/lib" }],
    ["/test", { type: "directory" as const, path: "/test" }],
  ]);
  const part = { within: "/lib", known, elsewhere: ["/test"] };

  test("files of an unfinished directory may be used before they exist", () => {
    expect(accepted({ "main.c": ["lib/a.h", "lib"] }, {}, { unfinished })).toEqual({ "/main.c": ["/lib/a.h", "/lib"] });
  });

  test("files of two unfinished directories may use each other's files, and those that exist", () => {
    const uses = { "lib/b.c": ["lib/b.h", "b.h", "test/x.c", "main.c"], "lib/b.h": [] };
    expect(accepted(uses, part)).toEqual({ "/lib/b.c": ["/lib/b.h", "/test/x.c", "/main.c"] });
    expect(problems({ "lib/b.c": ["other/x.c"] }, part)).toEqual([
      '"lib/b.c" uses "other/x.c", which is not in the tree',
    ]);
  });

  test("files of an unfinished directory may not use their users", () => {
    expect(problems({ "lib/a.h": ["main.c"] }, part)[0]).toContain('"main.c" → "lib/a.h" → "main.c"');
  });
});

describe("hostile uses are checked quickly:", () => {
  const many = (count: number, uses: (index: number) => readonly string[]) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`f${index}`, uses(index)]));
  const links = Array.from({ length: 2000 }, (_, index) => ({
    path: `l${index}`,
    target: `${"./".repeat(1000)}l${index + 1}`,
  }));
  const cases: readonly (readonly [string, Uses, object])[] = [
    ["300,000 of one file", { a: Array.from({ length: 300_000 }, (_, index) => `b${index}`) }, {}],
    ["10,000 of one file that exist", { a: Array.from({ length: 10_000 }, () => "b"), b: [] }, {}],
    ["a chain of 9,000", many(9000, (index) => (index > 0 ? [`f${index - 1}`] : [])), {}],
    [
      "each of 3,000 files uses 32",
      many(3000, (index) => Array.from({ length: 32 }, (_, at) => `f${(index * 7 + at * 13) % 3000}`)),
      {},
    ],
    ["a directory from 5,000 files", many(5000, () => ["."]), {}],
    ["deep paths", many(2000, () => [`${"d/".repeat(500)}x`, `${"../".repeat(500)}x`]), {}],
    ["chains of symlinks", many(2000, (index) => [`l${index}/x`]), { symlinks: links }],
  ];
  test.each(cases)("hostile uses are checked quickly: %s", (_, uses, more) => {
    const before = process.cpuUsage();
    problems(uses, {}, more);
    const result = read(uses, { final: true }, more);
    if ("entries" in result) settleUses(result.entries, new Map(), () => true);
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(4000);
  });
});
