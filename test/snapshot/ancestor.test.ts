import { describe, expect, test } from "bun:test";
import { loadSnapshot } from "../../src/snapshot/read/load.ts";
import type { Tree } from "../../src/tree/tree.ts";
import { at, describeTree, fileAt, load, newTree, save, textAt, xattr } from "./trees.ts";

const EXAMPLE = `{ "data": {
    "/":        { "type": "directory", "children": { "harbor": "/harbor", "LATEST": "/LATEST" }, "attrs": { "st_mode": "16877" } },
    "/harbor":  { "type": "directory", "children": { "tides.csv": "/harbor/tides.csv", "keep.txt": "/harbor/keep.txt" }, "attrs": { "st_mode": "16877", "st_uid": "1000", "st_gid": "1000" } },
    "/harbor/tides.csv": { "type": "file", "content": null, "attrs": { "st_mode": "33188" }, "xattrs": { "touchfs.generate_content": "true" } },
    "/harbor/keep.txt":  { "type": "file", "content": "berth 7 closed\\n", "attrs": { "st_mode": "33188", "st_mtime": "1735689600.25" } },
    "/LATEST":  { "type": "symlink", "content": "harbor/tides.csv", "attrs": { "st_mode": "41471" } } } }`;

function read(text: string): { tree: Tree; warnings: string[] } {
  const tree = newTree();
  const warnings: string[] = [];
  expect(loadSnapshot(tree, Buffer.from(text), { warn: (message) => warnings.push(message) })).toBe("ancestor");
  tree.checkInvariants();
  return { tree, warnings };
}

/** A tree with the given nodes and a root. */
function nodes(map: Record<string, unknown>): { tree: Tree; warnings: string[] } {
  return read(JSON.stringify({ "/": { type: "directory" }, ...map }));
}

const file = (more: object = {}) => ({ type: "file", content: "x", ...more });

describe("the ancestor's example", () => {
  test("the ancestor's example loads without a warning", () => {
    const { tree, warnings } = read(EXAMPLE);
    expect(warnings).toEqual([]);
    expect([...tree.walk()].map(({ path }) => path)).toEqual([
      "/",
      "/LATEST",
      "/harbor",
      "/harbor/keep.txt",
      "/harbor/tides.csv",
    ]);
    expect(at(tree, "/harbor")).toMatchObject({ mode: 0o040755, uid: 1000, gid: 1000 });
    expect(textAt(tree, "/harbor/keep.txt")).toBe("berth 7 closed\n");
    expect(fileAt(tree, "/harbor/keep.txt").state).toBe("static");
    expect(fileAt(tree, "/harbor/keep.txt").times()).toMatchObject({ mtime: 1735689600, mtimeNsec: 250000000 });
    expect(fileAt(tree, "/harbor/tides.csv").state).toBe("pending");
    expect(at(tree, "/LATEST")).toMatchObject({ kind: "symlink", target: "harbor/tides.csv" });
  });

  test("the ancestor's example gives the same tree without the wrapping object", () => {
    const { data } = JSON.parse(EXAMPLE) as { data: object };
    expect(describeTree(read(JSON.stringify(data)).tree)).toEqual(describeTree(read(EXAMPLE).tree));
  });

  test("the ancestor's example gives the same tree in any order of the nodes", () => {
    const { data } = JSON.parse(EXAMPLE) as { data: object };
    const backwards = Object.fromEntries(Object.entries(data).reverse());
    expect(describeTree(read(JSON.stringify({ data: backwards })).tree)).toEqual(describeTree(read(EXAMPLE).tree));
  });

  test("the ancestor's example can be saved in our own format", () => {
    const { tree } = read(EXAMPLE);
    expect(describeTree(load(save(tree)))).toEqual(describeTree(tree));
  });
});

describe("pending files in the ancestor's format", () => {
  const state = (node: object) => fileAt(nodes({ "/a": { type: "file", ...node } }).tree, "/a").state;

  test("null or missing content is pending, marked or not", () => {
    expect(state({ content: null })).toBe("pending");
    expect(state({})).toBe("pending");
  });

  test("an empty file without a mark stays empty", () => {
    expect(state({ content: "" })).toBe("static");
    expect(state({ content: "", xattrs: { "touchfs.context": "x", "user.note": "true" } })).toBe("static");
  });

  test.each([
    "generator",
    "needs_generation",
    "touched",
    "generate_content",
    "user.generate_content",
    "touchfs.generate_content",
  ])("an empty file marked %s is pending, and the mark is removed", (mark) => {
    for (const value of ["true", 'b"true"', "b'true'", "default"]) {
      const { tree } = nodes({ "/a": file({ content: "", xattrs: { [mark]: value } }) });
      expect(fileAt(tree, "/a").state).toBe("pending");
      expect([...(at(tree, "/a").xattrs?.keys() ?? [])]).toEqual(["user.llmfs.generator"]);
    }
    expect(state({ content: "", xattrs: { [mark]: "false" } })).toBe("static");
  });

  test("a file with content keeps it, marked or not", () => {
    const { tree } = nodes({ "/a": file({ xattrs: { generate_content: "true" } }) });
    expect(fileAt(tree, "/a").state).toBe("static");
    expect(textAt(tree, "/a")).toBe("x");
  });

  test("the mark names the generator, and the default is llm", () => {
    const generator = (value: string) =>
      xattr(
        at(nodes({ "/a": file({ content: null, xattrs: { generator: value } }) }).tree, "/a"),
        "user.llmfs.generator",
      );
    expect(generator("default")).toBe("llm");
    expect(generator('b"default"')).toBe("llm");
    expect(generator("readme")).toBe("readme");
  });

  test("a file with content from a generator is ready and keeps the generator's name", () => {
    const { tree } = nodes({ "/a": file({ xattrs: { generator: "default" } }) });
    expect(fileAt(tree, "/a").state).toBe("ready");
    expect(xattr(at(tree, "/a"), "user.llmfs.generator")).toBe("llm");
  });
});

describe("attributes in the ancestor's format", () => {
  test("attributes are decimal text, and times may be floats", () => {
    const attrs = { st_mode: "33261", st_uid: "5", st_gid: "6", st_atime: "1", st_mtime: "1.5", st_ctime: "1.7e9" };
    const { tree, warnings } = nodes({ "/a": file({ attrs: { ...attrs, st_nlink: "9", st_size: "9" } }) });
    expect(warnings).toEqual([]);
    expect(fileAt(tree, "/a")).toMatchObject({ mode: 0o100755, uid: 5, gid: 6, nlink: 1, size: 1 });
    expect(fileAt(tree, "/a").times()).toMatchObject({
      atime: 1,
      mtime: 1,
      mtimeNsec: 500_000_000,
      ctime: 1_700_000_000,
    });
  });

  test("creating entries does not change a directory's stored attributes", () => {
    const { tree } = nodes({
      "/d": { type: "directory", attrs: { st_mtime: "77", st_mode: "17901", st_gid: "9" } },
      "/d/a": file(),
    });
    expect(at(tree, "/d").mode).toBe(0o042755);
    expect(at(tree, "/d").times().mtime).toBe(77);
    expect(at(tree, "/d/a").gid).toBe(1000);
  });

  test("missing attributes get defaults, and the requested owner", () => {
    const tree = newTree();
    loadSnapshot(
      tree,
      Buffer.from('{"/": {"type": "directory"}, "/d": {"type": "directory"}, "/d/a": {"type": "file"}}'),
      {
        owner: { uid: 3, gid: 4 },
      },
    );
    expect(at(tree, "/d")).toMatchObject({ mode: 0o040755, uid: 3, gid: 4 });
    expect(at(tree, "/d/a")).toMatchObject({ mode: 0o100644, uid: 3, gid: 4 });
  });

  test("a mode of another type causes a warning, and the node's type is used", () => {
    const { tree, warnings } = nodes({ "/a": file({ attrs: { st_mode: "16877" } }) });
    expect(fileAt(tree, "/a").mode).toBe(0o100755);
    expect(warnings).toEqual(['the st_mode of "/a" does not match its "type"; the "type" was used']);
  });
});

describe("xattrs", () => {
  test("xattrs with data are kept, in one of Linux's namespaces", () => {
    const { tree } = nodes({
      "/a": file({ xattrs: { "touchfs.context": "c", "touchfs.generator": "g", "user.x": "é" } }),
    });
    expect(xattr(at(tree, "/a"), "user.touchfs.context")).toBe("c");
    expect(xattr(at(tree, "/a"), "user.touchfs.generator")).toBe("g");
    expect(xattr(at(tree, "/a"), "user.x")).toBe("é");
  });
});

describe("unsupported parts are ignored with one warning for each kind", () => {
  test("overlay paths and other fields are ignored with a warning", () => {
    const { warnings } = nodes({ "/a": file({ overlay_path: "/x" }), "/b": file({ overlay_path: "/y", odd: 1 }) });
    expect(warnings).toEqual([
      'the field "overlay_path" was ignored (2 times, first at "/a")',
      'the field "odd" was ignored (at "/b")',
    ]);
  });

  test("a description at the top is ignored with a warning", () => {
    const { tree, warnings } = read(
      '{"description": "a tree", "data": {"/": {"type": "directory"}, "/a": {"type": "file"}}}',
    );
    expect(warnings).toEqual(['the key "description" was ignored (at "/")']);
    expect(fileAt(tree, "/a").state).toBe("pending");
  });

  test("the ancestor's own files, and ours, are ignored with a warning", () => {
    const { tree, warnings } = nodes({
      "/": { type: "directory", children: { ".touchfs": "/.touchfs", a: "/a" } },
      "/.touchfs": { type: "directory" },
      "/.touchfs/log": file(),
      "/.llmfs/x": file(),
      "/a": file(),
      "/.touchfsx": file(),
    });
    expect([...tree.root.entries()].map(({ name }) => name)).toEqual([".touchfsx", "a"]);
    expect(warnings).toContain('everything below /.touchfs was ignored (2 times, first at "/.touchfs")');
    expect(warnings).toContain('everything below /.llmfs was ignored (at "/.llmfs/x")');
  });

  test("children that contradict the paths are ignored with a warning", () => {
    const { tree, warnings } = nodes({
      "/": { type: "directory", children: { a: "/a", gone: "/gone", moved: "/a" } },
      "/a": file(),
      "/unlisted": file(),
    });
    expect([...tree.root.entries()].map(({ name }) => name)).toEqual(["a", "unlisted"]);
    expect(warnings).toEqual(['the children of "/" do not match the paths: "gone" and 2 more; the paths were used']);
  });

  test("directories without a node are created with a warning", () => {
    const { tree, warnings } = nodes({ "/a/b/c": file() });
    expect(textAt(tree, "/a/b/c")).toBe("x");
    expect(warnings).toEqual([
      '"/a" has no entry; it was created as a directory',
      '"/a/b" has no entry; it was created as a directory',
    ]);
  });
});

describe(".prompt and .model", () => {
  test(".prompt and .model become xattrs of their directory", () => {
    const { tree, warnings } = nodes({
      "/.prompt": file({ content: "Be brief.\n" }),
      "/d": { type: "directory", children: { ".model": "/d/.model" } },
      "/d/.model": file({ content: "gpt-4o-mini\n" }),
    });
    expect(xattr(tree.root, "user.llmfs.prompt")).toBe("Be brief.");
    expect(xattr(at(tree, "/d"), "user.llmfs.model")).toBe("gpt-4o-mini");
    expect(tree.root.get(".prompt")).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  test("empty .prompt and .model files stay files", () => {
    const { tree, warnings } = nodes({ "/.prompt": file({ content: null }), "/.model": file({ content: " \n" }) });
    expect(fileAt(tree, "/.prompt").state).toBe("pending");
    expect(textAt(tree, "/.model")).toBe(" \n");
    expect(warnings).toHaveLength(1);
  });
});

describe("the list form", () => {
  test("the list form becomes a tree of pending files with implied directories", () => {
    const { tree, warnings } = read('{"files": ["src/a.ts", "/src/lib/b.ts", "README.md"]}');
    expect([...tree.walk()].map(({ path }) => path)).toEqual([
      "/",
      "/README.md",
      "/src",
      "/src/a.ts",
      "/src/lib",
      "/src/lib/b.ts",
    ]);
    expect(fileAt(tree, "/src/a.ts").state).toBe("pending");
    expect(xattr(at(tree, "/src/a.ts"), "user.llmfs.generator")).toBe("llm");
    expect(warnings).toEqual([]);
  });

  test.each<[string, string]>([
    ["../x", 'has a component ".."'],
    ["a//b", "has an empty component"],
    ["src", "this path occurs twice"],
    ["src/x", 'its parent "/src" is not a directory'],
    [".llmfs/x", "is reserved for llmfs"],
    ["x".repeat(5000), "is longer than 4095 bytes"],
  ])("with %s is refused", (name, message) => {
    expect(() => read(JSON.stringify({ files: ["src", name] }))).toThrow(message);
  });

  test("a list with elements that are not names is refused", () => {
    expect(() => read('{"files": [1]}')).toThrow("a name in the list is a number, not a string");
    expect(() => read('{"files": {"a": 1}}')).toThrow('"files" is an object, not an array');
  });
});

describe("an invalid node is refused, and the error names it", () => {
  test.each<[string, unknown, string]>([
    ["/a", null, 'entry "/a": its node is not an object'],
    ["/a", {}, 'has no "type"; types are file, directory, symlink'],
    ["/a", { type: "fifo" }, 'has the type "fifo"'],
    ["/a", { type: 1 }, 'has no "type"'],
    ["/a", { type: "file", content: 1 }, 'its "content" is not text'],
    ["/a", { type: "file", content: { a: 1 } }, 'its "content" is not text'],
    ["/a", { type: "symlink", content: null }, "a symlink needs a target"],
    ["/a", { type: "symlink", content: "" }, "a symlink needs a target"],
    ["/a", { type: "file", attrs: [] }, 'its "attrs" are not an object'],
    ["/a", { type: "file", attrs: { st_mode: "0644x" } }, 'its st_mode is "0644x", not a whole number'],
    ["/a", { type: "file", attrs: { st_uid: "-1" } }, "its st_uid is"],
    ["/a", { type: "file", attrs: { st_mtime: "inf" } }, 'its st_mtime is "inf", not seconds since 1970'],
    ["/a", { type: "file", xattrs: [] }, 'its "xattrs" are not an object'],
    ["/a", { type: "file", xattrs: { a: 1 } }, 'the xattr "a" is not text'],
    ["/a", { type: "directory", children: [] }, 'its "children" are not an object'],
    ["/a/../b", file(), 'has a component ".."'],
    ["/a/", file(), "has an empty component"],
    ["a", file(), "which"],
  ])("%s (case %#)", (path, node, message) => {
    if (path === "a") return expect(nodes({ a: node }).warnings).toEqual(['the key "a" was ignored (at "/")']);
    expect(() => nodes({ [path]: node })).toThrow(message);
  });

  test("a file in a file is refused", () => {
    expect(() => nodes({ "/a": file(), "/a/b": file() })).toThrow('its parent "/a" is not a directory');
  });

  test("a path that occurs twice, in the map or in map and list, is refused", () => {
    expect(() => read('{"/a": {"type": "file"}, "/a": {"type": "file"}}')).toThrow("occurs twice");
    expect(() => read('{"data": {"/a": {"type": "file"}}, "files": ["a"]}')).toThrow("this path occurs twice");
  });

  test("the error for an invalid node gives its line", () => {
    expect(() => read('{"/": {"type": "directory"},\n"/b": {"type": "file"},\n"/a": {"type": "x"}}')).toThrow("line 3");
  });
});

test("names that were not UTF-8 get their bytes back from Python's notation", () => {
  const { tree } = read('{"/": {"type": "directory"}, "/caf\\udce9": {"type": "file", "content": "x"}}');
  expect([...tree.root.entries()].map(({ name }) => name)).toEqual(["caf\xe9"]);
});

test("a file named __proto__ is a file like any other", () => {
  const { tree } = read('{"/__proto__": {"type": "file", "content": "x", "__proto__": {"type": "directory"}}}');
  expect(textAt(tree, "/__proto__")).toBe("x");
});
