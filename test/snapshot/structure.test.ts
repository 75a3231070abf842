import { expect, test } from "bun:test";
import { parseDependencies } from "../../src/generate/depends.ts";
import { structureToSnapshot } from "../../src/snapshot/structure.ts";
import { at, fileAt, load, xattr } from "./trees.ts";

test("a structure is a snapshot of pending files, in the order of the tree", () => {
  const text = structureToSnapshot([
    { path: "src/main.ts", type: "file", description: "starts it", prompt: "Use Bun.\nNo classes.\n" },
    { path: "/LATEST", type: "symlink", target: "src/main.ts" },
    { path: "src", type: "directory", description: "the code" },
  ]);
  expect(text).toBe(`{
  "llmfs": 1,
  "entries": [
    {"path": "/", "type": "directory", "mode": "0755"},
    {"path": "/LATEST", "type": "symlink", "target": "src/main.ts"},
    {"path": "/src", "type": "directory", "mode": "0755", "xattrs": {
      "user.llmfs.description": "the code"
    }},
    {"path": "/src/main.ts", "type": "file", "mode": "0644", "state": "pending", "xattrs": {
      "user.llmfs.description": "starts it",
      "user.llmfs.generator": "llm",
      "user.llmfs.prompt": [
        "Use Bun.\\n",
        "No classes.\\n"
      ]
    }}
  ]
}
`);
});

test("the uses of a file become user.llmfs.depends, and an executable file has the mode of a program", () => {
  const text = structureToSnapshot([
    { path: "/a", type: "file", uses: ["/lib/b", "/ends with a space "] },
    { path: "/lib/b", type: "file", uses: [], executable: true },
  ]);
  const tree = load(text);
  const depends = xattr(at(tree, "/a"), "user.llmfs.depends");
  expect(depends).toBe("/lib/b\n/ends with a space /.");
  expect(parseDependencies("/a", depends)).toEqual(["/lib/b", "/ends with a space "]);
  expect(at(tree, "/lib/b").xattrs?.has("user.llmfs.depends")).toBe(false);
  expect([fileAt(tree, "/a").mode & 0o777, fileAt(tree, "/lib/b").mode & 0o777]).toEqual([0o644, 0o755]);
});

test("a structure belongs to the user who loads it", () => {
  const tree = load(structureToSnapshot([{ path: "é/🎉", type: "file" }]), { owner: { uid: 12, gid: 13 } });
  const path = Buffer.from("/é/🎉").toString("latin1");
  expect(fileAt(tree, path)).toMatchObject({ uid: 12, gid: 13, state: "pending" });
  expect(xattr(at(tree, path), "user.llmfs.generator")).toBe("llm");
});

test("the text of a structure does not depend on the order of the entries", () => {
  const entries = ["a/b", "a-b", "a/b-c", "z", "B"].map((path) => ({ path, type: "file" as const }));
  expect(structureToSnapshot(entries.toReversed())).toBe(structureToSnapshot(entries));
});

test.each<[string, Parameters<typeof structureToSnapshot>[0], string]>([
  [
    "a path that leaves the tree",
    [{ path: "../x", type: "file" }],
    'the layout: entry "/../x": the path "/../x" has a component ".."',
  ],
  [
    "a path twice",
    [
      { path: "a", type: "file" },
      { path: "/a", type: "directory" },
    ],
    "this path occurs twice",
  ],
  [
    "a file in a file",
    [
      { path: "a", type: "file" },
      { path: "a/b", type: "file" },
    ],
    "is not a directory",
  ],
  ["a symlink without target", [{ path: "a", type: "symlink" }], "a symlink needs a target"],
  ["a root that is a file", [{ path: "/", type: "file" }], "the root is not a directory"],
])("%s is refused", (_name, entries, message) => {
  expect(() => structureToSnapshot(entries)).toThrow(message);
});
