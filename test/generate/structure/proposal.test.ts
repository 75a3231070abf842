import { describe, expect, test } from "bun:test";
import {
  DEFAULT_LIMITS,
  type ProposalPlace,
  readProposal,
  type StructureLimits,
} from "../../../src/generate/structure/proposal.ts";
import { createStructureSchema } from "../../../src/generate/structure/schema.ts";

interface Lists {
  readonly directories?: unknown;
  readonly files?: unknown;
  readonly symlinks?: unknown;
  readonly executable?: unknown;
  readonly unfinished?: unknown;
}

const answer = (lists: Lists) => JSON.stringify({ directories: [], files: [], symlinks: [], unfinished: [], ...lists });
const file = (path: string, description = "d") => ({ path, description });

function read(lists: Lists | string, limits: Partial<StructureLimits> = {}, place?: ProposalPlace) {
  return readProposal(typeof lists === "string" ? lists : answer(lists), { ...DEFAULT_LIMITS, ...limits }, place);
}

function problems(lists: Lists | string, limits?: Partial<StructureLimits>, place?: ProposalPlace): readonly string[] {
  const result = read(lists, limits, place);
  return "problems" in result ? result.problems : [];
}

function entries(lists: Lists | string, limits?: Partial<StructureLimits>, place?: ProposalPlace) {
  const result = read(lists, limits, place);
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
    ["an item that is not an object", { files: [null, 3] }, /a file has no path/],
    ["a path outside", { files: [file("../../etc/passwd")] }, /"\.\.\/\.\.\/etc\/passwd": "\." and "\.\."/],
    ["a path through outside", { files: [file("a/../../b")] }, /"\.\."/],
    ["a dot in the middle", { files: [file("a/./b")] }, /"\."/],
    ["a path outside behind a slash", { files: [file("/../etc/passwd")] }, /"\.\."/],
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
      "a cycle of symlinks",
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
      "a directory below an unfinished directory",
      { directories: [{ path: "a/b" }], unfinished: [{ path: "a", brief: "", files: 3 }] },
      /unfinished/,
    ],
    ["an executable that is not a file", { files: [file("a/b")], executable: ["a"] }, /executable "a" is not one of/],
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
  const files = Array.from({ length: 50 }, (_, i) => file(`${i}\u001b[31m${"x".repeat(200)}`));
  const found = problems({ files });
  expect(found).toHaveLength(21);
  expect(found[20]).toBe("and 30 more of the kind");
  for (const line of found) {
    expect(line.length).toBeLessThan(300);
    expect(line).not.toContain("\u001b");
  }
});

describe("a mistake in form with one meaning is corrected instead of sent back:", () => {
  const files = [{ path: "src/a.c", description: "d" }];
  const expected = ["/src", "/src/a.c"];
  test.each([
    ["a leading slash", answer({ files: [file("/src/a.c")] })],
    ["a leading dot and slash", answer({ files: [file("./src/a.c")] })],
    ["a directory with a slash at its end", answer({ directories: [{ path: "./src/" }], files })],
    ["the root as a directory", answer({ directories: [{ path: "." }, { path: "/" }, { path: "./" }], files })],
    ["a path without an object", answer({ files: ["src/a.c"] })],
    ["trailing commas", '{"files": [{"path": "src/a.c", "description": "d",},], "symlinks": [],}'],
    ["comments", '{"files": [ // the source\n{"path": "src/a.c"}] /* that is all */}'],
    ["an object around the whole", JSON.stringify({ tree: { files } })],
    ["a call around the whole", JSON.stringify({ name: "directory_tree", arguments: { files } })],
    ["a list around the whole", JSON.stringify([{ files, symlinks: [] }])],
    ["a list of files", `Here it is:\n${JSON.stringify(files)}`],
    ["a file alone", JSON.stringify(files[0])],
  ])("a layout with %s is corrected", (_, text) => {
    expect(entries(text).map(({ path }) => path)).toEqual(expected);
  });

  test("the beginning of an answer is not taken for the whole", () => {
    const text = JSON.stringify({ directories: [{ path: "src" }], files: [...files, ...files] });
    for (let length = 1; length < text.length; length += 1) {
      expect([length, problems(text.slice(0, length))]).not.toEqual([length, []]);
    }
  });
});

describe("a later round", () => {
  const known = new Map([
    ["/src", { type: "directory" as const, path: "/src" }],
    ["/deep", { type: "directory" as const, path: "/deep" }],
    ["/deep/docs", { type: "directory" as const, path: "/deep/docs" }],
    ["/deep/docs/first", { type: "file" as const, path: "/deep/docs/first" }],
  ]);
  const place = { within: "/deep/docs", known };
  const paths = (lists: Lists) => entries(lists, {}, place).map(({ path }) => path);

  test("a later round stays below its directory, and does not list that directory again", () => {
    expect(problems({ files: [file("src/a")] }, {}, place)[0]).toContain("not below deep/docs/");
    expect(paths({ directories: [{ path: "deep/docs" }], files: [file("deep/docs/x/a")] })).toEqual([
      "/deep/docs/x",
      "/deep/docs/x/a",
    ]);
  });

  test("a later round may leave out its directory in front of paths", () => {
    expect(paths({ files: [file("x/a"), file("docs/b"), file("/deep/docs/c")] })).toEqual([
      "/deep/docs/b",
      "/deep/docs/c",
      "/deep/docs/x",
      "/deep/docs/x/a",
    ]);
  });

  test("a later round leaves files as they are that the answer before has listed, and reports what replaces them", () => {
    const result = read({ files: [file("deep/docs/first"), file("deep/docs/second")] }, {}, place);
    expect(result).toMatchObject({ entries: [{ path: "/deep/docs/second" }], clashes: ["/deep/docs/first"] });
    expect(problems({ files: [file("deep/docs/first/a")] }, {}, place)[0]).toContain("is a file");
    expect(problems({ directories: [{ path: "deep/docs/first" }] }, {}, place)[0]).toContain(
      "already exists, as a file",
    );
  });
});

test("a file may be listed below an unfinished directory, because the schema asks for at least one", () => {
  const tree = entries({ files: [file("data/1.csv")], unfinished: [{ path: "data", brief: "1 to 9", files: 9 }] });
  expect(tree.map(({ path }) => path)).toEqual(["/data", "/data/1.csv"]);
});

test("executable files are listed by path or marked in their own entry", () => {
  const tree = entries({
    files: [file("bin/a"), { ...file("b"), executable: true }, file("c")],
    executable: ["./bin/a"],
  });
  expect(tree.filter((entry) => "executable" in entry).map(({ path }) => path)).toEqual(["/b", "/bin/a"]);
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
  for (const uses of [true, false]) {
    const { name, schema } = createStructureSchema({ uses });
    expect(name).toMatch(/^[\w-]{1,64}$/);
    check(schema);
    expect(schema).toMatchObject({ properties: { files: { minItems: 1 } } });
    // Models write properties in the order of the schema.
    expect(JSON.stringify(schema)).toStartWith('{"type":"object","properties":{"files":');
    expect(JSON.stringify(schema).includes('"uses"')).toBe(uses);
  }
});
