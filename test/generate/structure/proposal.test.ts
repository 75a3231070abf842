import { describe, expect, test } from "bun:test";
import {
  DEFAULT_LIMITS,
  readProposal,
  STRUCTURE_SCHEMA,
  type StructureLimits,
} from "../../../src/generate/structure/proposal.ts";

interface Lists {
  readonly directories?: unknown;
  readonly files?: unknown;
  readonly symlinks?: unknown;
  readonly unfinished?: unknown;
}

const answer = (lists: Lists) => JSON.stringify({ directories: [], files: [], symlinks: [], unfinished: [], ...lists });
const file = (path: string, description = "d") => ({ path, description });

function read(lists: Lists | string, limits: Partial<StructureLimits> = {}, within?: string) {
  return readProposal(typeof lists === "string" ? lists : answer(lists), { ...DEFAULT_LIMITS, ...limits }, within);
}

function problems(lists: Lists | string, limits?: Partial<StructureLimits>, within?: string): readonly string[] {
  const result = read(lists, limits, within);
  return "problems" in result ? result.problems : [];
}

function entries(lists: Lists | string, limits?: Partial<StructureLimits>) {
  const result = read(lists, limits);
  if ("problems" in result) throw new Error(result.problems.join("\n"));
  return result.entries;
}

test("a valid answer becomes entries, including implied directories, parents first", () => {
  const tree = entries({
    directories: [
      { path: "src", description: "the code", prompt: "C11" },
      { path: "empty/", description: "", prompt: "" },
    ],
    files: [file("src/lib/b.c"), file("src-notes.txt"), file("README.md", "what  it\nis")],
    symlinks: [{ path: "latest", target: "src/lib" }],
  });
  expect(tree).toEqual([
    { type: "file", path: "/README.md", description: "what it is" },
    { type: "directory", path: "/empty" },
    { type: "symlink", path: "/latest", target: "src/lib" },
    { type: "directory", path: "/src", description: "the code", prompt: "C11" },
    { type: "directory", path: "/src/lib" },
    { type: "file", path: "/src/lib/b.c", description: "d" },
    { type: "file", path: "/src-notes.txt", description: "d" },
  ]);
});

test("names with a special meaning in JavaScript are ordinary file names", () => {
  const tree = entries(
    '{"files":[{"path":"__proto__/constructor","description":"x"},{"path":"toString","description":"y"}]}',
  );
  expect(tree.map(({ path }) => path)).toEqual(["/__proto__", "/__proto__/constructor", "/toString"]);
  expect(Object.getPrototypeOf({})).toBe(Object.prototype);
});

test("missing lists count as empty, because some servers do not enforce the schema", () => {
  expect(entries('{"files":[{"path":"a"}]}')).toEqual([{ type: "file", path: "/a", description: "" }]);
});

describe("an invalid answer is rejected with a reason:", () => {
  const long = "n".repeat(256);
  const cases: [string, Lists | string, RegExp][] = [
    ["no JSON", "I would rather talk about the weather", /not JSON/],
    ["half a JSON", '{"files":[{"path":"a', /not JSON/],
    ["a list", "[]", /not JSON|not a JSON object/],
    ["a list that is not an array", { files: "a.txt" }, /"files" is not a list/],
    ["an empty tree", {}, /empty/],
    ["an item that is no object", { files: ["a.txt", null, 3] }, /a file has no path/],
    ["a path outside", { files: [file("../../etc/passwd")] }, /"\.\.\/\.\.\/etc\/passwd": "\." and "\.\."/],
    ["a path through outside", { files: [file("a/../../b")] }, /"\.\."/],
    ["a dot", { files: [file("./a")] }, /"\."/],
    ["an absolute path", { files: [file("/etc/passwd")] }, /relative to the root/],
    ["an empty path", { files: [file("")] }, /the path is empty/],
    ["an empty name", { files: [file("a//b")] }, /a name in it is empty/],
    ["a file with a slash at its end", { files: [file("a/")] }, /a name in it is empty/],
    ["NUL", { files: [file("a\0b")] }, /control character U\+0000/],
    ["a newline", { files: [file("a\nb")] }, /control character U\+000A/],
    ["half a surrogate", { files: [file("a\ud800")] }, /UTF-8/],
    ["a name of 256 bytes", { files: [file(`a/${long}`)] }, /longer than 255 bytes/],
    ["a name of 86 characters, each of 3 bytes", { files: [file("日".repeat(86))] }, /longer than 255 bytes/],
    ["a path of 4,096 bytes", { files: [file(`${"a/".repeat(2047)}b`)] }, /longer than 4095 bytes/],
    ["65 levels", { files: [file(`${"d/".repeat(64)}f`)] }, /65 levels deep; at most 64/],
    ["the reserved name", { files: [file(".llmfs/status.json")] }, /reserved/],
    ["a duplicate", { files: [file("a"), file("a")] }, /"a" occurs more than once/],
    ["a file that is a directory", { files: [file("a")], directories: [{ path: "a" }] }, /both a directory and a file/],
    ["a file that holds a file", { files: [file("a"), file("a/b")] }, /"a" is a file, so "a\/b" cannot be in it/],
    [
      "a symlink that holds a file",
      { files: [file("a/b")], symlinks: [{ path: "a", target: "c" }] },
      /"a" is a symlink/,
    ],
    [
      "a symlink that is a file",
      { files: [file("a")], symlinks: [{ path: "a", target: "b" }] },
      /both a file and a symlink/,
    ],
    ["an absolute target", { symlinks: [{ path: "a", target: "/etc/passwd" }] }, /is absolute/],
    ["a target that leaves", { symlinks: [{ path: "d/a", target: "../../x" }] }, /leaves the tree/],
    ["a symlink to itself", { symlinks: [{ path: "a", target: "a" }] }, /circle/],
    [
      "symlinks in a circle",
      {
        symlinks: [
          { path: "a", target: "d/b" },
          { path: "d/b", target: "../a" },
        ],
      },
      /circle/,
    ],
    ["no target", { symlinks: [{ path: "a", target: "" }] }, /no target/],
    ["a target with NUL", { symlinks: [{ path: "a", target: "b\0" }] }, /cannot be one/],
    [
      "a file below an unfinished directory",
      { files: [file("a/b")], unfinished: [{ path: "a", brief: "", files: 3 }] },
      /unfinished/,
    ],
  ];
  for (const [what, lists, message] of cases) {
    test(what, () => {
      const found = problems(lists);
      expect(found.join("\n")).toMatch(message);
    });
  }
});

test("an answer exactly at the limits is accepted", () => {
  expect(entries({ files: [file("日".repeat(85)), file("n".repeat(255)), file(`${"d/".repeat(63)}f`)] })).toHaveLength(
    66,
  );
  expect(entries({ files: [file("x/.llmfs")] })).toHaveLength(2);
});

test("a symlink that leaves the tree only through another symlink is rejected", () => {
  const symlinks = [
    { path: "a/b/c/x", target: "../../../s" },
    { path: "a/b/c/y", target: "x/../../.." },
  ];
  const found = problems({ symlinks, files: [file("s/f")] });
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(/"a\/b\/c\/y".*leaves the tree/);
});

test("a symlink may dangle, and may use .. inside the tree", () => {
  expect(
    entries({
      symlinks: [
        { path: "a/b", target: "../c/./d" },
        { path: "e", target: "a/../nothing" },
      ],
    }),
  ).toHaveLength(3);
});

test("100,000 files are rejected quickly, with one message", () => {
  const files = Array.from({ length: 100_000 }, (_, i) => file(`f${i}`));
  const text = answer({ files });
  const before = performance.now();
  expect(problems(text)).toEqual(["it has 100000 entries; at most 10000 are allowed"]);
  expect(performance.now() - before).toBeLessThan(5000);
});

test("implied directories count toward the limit", () => {
  expect(problems({ files: [file("a/b/c/d")] }, { entries: 3 })[0]).toContain("4 entries");
});

test("all problems are reported together, up to a limit, with names made printable", () => {
  const files = Array.from({ length: 50 }, (_, i) => file(`/${i}\u001b[31m${"x".repeat(200)}`));
  const found = problems({ files });
  expect(found).toHaveLength(21);
  expect(found[20]).toBe("and 30 more of the kind");
  for (const line of found) {
    expect(line.length).toBeLessThan(300);
    expect(line).not.toContain("\u001b");
  }
});

test("a later round stays below its directory, and may not contain the directory itself", () => {
  expect(problems({ files: [file("src/a")] }, {}, "/docs")[0]).toContain("not below docs/");
  const round = read({ files: [file("deep/docs/x/a")] }, {}, "/deep/docs");
  expect("entries" in round && round.entries.map(({ path }) => path)).toEqual(["/deep/docs/x", "/deep/docs/x/a"]);
});

test("the schema uses only OpenAI's strict subset", () => {
  // biome-ignore lint/suspicious/noExplicitAny: a JSON schema, walked freely
  const check = (schema: any): void => {
    if (schema.type === "object") {
      expect(schema.additionalProperties).toBe(false);
      expect(schema.required.toSorted()).toEqual(Object.keys(schema.properties).toSorted());
      for (const property of Object.values(schema.properties)) check(property);
    } else if (schema.type === "array") check(schema.items);
    else expect(["string", "integer"]).toContain(schema.type);
  };
  expect(STRUCTURE_SCHEMA.name).toMatch(/^[\w-]{1,64}$/);
  check(STRUCTURE_SCHEMA.schema);
});
