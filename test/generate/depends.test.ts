import { expect, test } from "bun:test";
import { createGraph, longestChain, parseDependencies, sortByDependencies } from "../../src/generate/depends.ts";

test("dependencies are listed one path per line, relative to the file or absolute", () => {
  expect(parseDependencies("/src/sub/a.py", " ../base.py\n\n/README.md\n../base.py\n")).toEqual([
    "/src/base.py",
    "/README.md",
  ]);
  expect(parseDependencies("/a", undefined)).toEqual([]);
});

test("files are sorted after their dependencies and otherwise keep their order; a cycle does no harm", () => {
  const order = (files: Readonly<Record<string, string>>) =>
    sortByDependencies(Object.entries(files).map(([path, depends]) => ({ path, depends }))).map(({ path }) => path);
  expect(order({ "/a": "c", "/b": "", "/c": "d\nmissing", "/d": "" })).toEqual(["/d", "/c", "/a", "/b"]);
  expect(order({ "/a": "b", "/b": "a", "/c": "a" })).toEqual(["/b", "/a", "/c"]);
});

test("a chain of a hundred thousand files does not overflow the stack", () => {
  const files = Array.from({ length: 100_000 }, (_, index) => ({ path: `/${index}`, depends: `${index + 1}` }));
  expect(sortByDependencies(files)[0]?.path).toBe("/99999");
});

test("a graph has the depth of each file, the chain behind it, and the longest chain", () => {
  const files = { "/a": "", "/b": "a", "/c": "b\na", "/d": "a", "/e": "missing", "/x": "y", "/y": "x" };
  const graph = createGraph(Object.entries(files).map(([path, depends]) => ({ path, depends })));
  expect(Object.fromEntries(graph.map(({ file, depth, rank }) => [file.path, [depth, rank]]))).toEqual({
    "/a": [1, 3],
    "/b": [2, 2],
    "/c": [3, 1],
    "/d": [2, 1],
    "/e": [1, 1],
    "/y": [1, 2],
    "/x": [2, 1],
  });
  expect(longestChain(graph).map(({ path }) => path)).toEqual(["/a", "/b", "/c"]);
  expect(longestChain([])).toEqual([]);
});
