import { expect, test } from "bun:test";
import { findEntries } from "../../src/app/place.ts";
import type { DetailedEntry } from "../../src/rpc/tree-port.ts";

const entry = (path: string, type: DetailedEntry["type"] = "file"): DetailedEntry => ({ path, type, mode: "0644" });
const ALL = [entry("/a", "directory"), entry("/a/b", "directory"), entry("/a/b/c"), entry("/a/d"), entry("/ab")];
const paths = (entries: readonly DetailedEntry[] | undefined) => entries?.map(({ path }) => path);

test("a listing of a directory shows its entries, and with `recursive` those below", () => {
  expect(paths(findEntries(ALL, "/a")?.list(false))).toEqual(["/a/b", "/a/d"]);
  expect(paths(findEntries(ALL, "/a")?.list(true))).toEqual(["/a/b", "/a/b/c", "/a/d"]);
  expect(paths(findEntries(ALL, "/")?.list(false))).toEqual(["/a", "/ab"]);
  expect(findEntries(ALL, "/")?.list(true)).toEqual(ALL);
});

test("a listing of a file shows the file", () => {
  expect(paths(findEntries(ALL, "/a/d")?.list(false))).toEqual(["/a/d"]);
});

test("a path without an entry is not found, but the root of an empty tree is", () => {
  expect(findEntries(ALL, "/a/")).toBeUndefined();
  expect(findEntries(ALL, "/none")).toBeUndefined();
  expect(findEntries([], "/")?.list(true)).toEqual([]);
});
