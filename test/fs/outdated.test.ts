import { expect, test } from "bun:test";
import { collectOutdated, UsedFiles, usesOf } from "../../src/fs/outdated.ts";
import type { RegularFile } from "../../src/tree/file.ts";
import { Tree } from "../../src/tree/tree.ts";

/** A tree in which each file was made from others: a path with its content, and the paths that it used. */
function treeOf(files: Readonly<Record<string, readonly string[]>>) {
  let now = 0;
  const tree = new Tree({ clock: () => ({ seconds: ++now, nanoseconds: 0 }) });
  const owner = { uid: 0, gid: 0 };
  const byPath = new Map<string, RegularFile>();
  for (const path of Object.keys(files)) {
    const file = tree.createFile(tree.root, path.slice(1), 0o644, owner);
    file.write(0, Buffer.from(`content of ${path}`));
    byPath.set(path, file);
  }
  for (const [path, uses] of Object.entries(files)) {
    const used = new UsedFiles();
    for (const one of uses) used.note(one, byPath.get(one)?.bytes() ?? new Uint8Array(0));
    const value = used.format();
    const file = byPath.get(path);
    if (file === undefined || value === undefined) continue;
    file.state = "ready";
    file.replaceXattrs(new Map([["user.llmfs.meta.used", Buffer.from(value)]]));
  }
  return {
    tree,
    outdated: () => Object.fromEntries([...collectOutdated(tree).values()].map(({ path, changed }) => [path, changed])),
    file(path: string): RegularFile {
      const file = byPath.get(path);
      if (file === undefined) throw new Error(path);
      return file;
    },
    write(path: string, text: string) {
      const file = this.file(path);
      file.truncate(0);
      file.write(0, Buffer.from(text));
      file.touchMtime(tree.clock);
    },
  };
}

test("a generated file is outdated if a used file has changed, and so are those that were made from it", () => {
  const made = treeOf({ "/a": [], "/b": ["/a"], "/c": ["/b"], "/d": [] });
  expect(made.outdated()).toEqual({});
  made.write("/a", "something else");
  expect(made.outdated()).toEqual({ "/b": ["/a"], "/c": ["/b"] });
  made.write("/a", "content of /a");
  expect(made.outdated()).toEqual({});
});

test("a file that a user wrote is never outdated, and neither is one whose used file has no content yet", () => {
  const made = treeOf({ "/a": [], "/b": ["/a"], "/c": ["/b"] });
  made.write("/a", "something else");
  made.file("/b").state = "static";
  expect(made.outdated()).toEqual({});
  expect(usesOf(made.tree, made.file("/b"))).toEqual([]);
});

test("a used file that was removed counts as changed", () => {
  const made = treeOf({ "/a": [], "/b": ["/a"] });
  made.tree.unlink(made.tree.root, "a");
  expect(made.outdated()).toEqual({ "/b": ["/a"] });
});

test("an attribute that was made up does no harm", () => {
  const made = treeOf({ "/a": [], "/b": ["/a"] });
  for (const value of ["", "nonsense", "0123456789abcdef", "0123456789abcdef ../../etc/passwd\n"]) {
    made.file("/b").replaceXattrs(new Map([["user.llmfs.meta.used", Buffer.from(value)]]));
    expect(made.outdated()).toEqual({});
  }
  // In a cycle.
  made.file("/b").replaceXattrs(new Map([["user.llmfs.meta.used", Buffer.from("0123456789abcdef /b")]]));
  expect(made.outdated()).toEqual({ "/b": ["/b"] });
});
