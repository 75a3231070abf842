import { describe, expect, test } from "bun:test";
import type { Directory } from "../../../src/tree/directory.ts";
import type { RegularFile } from "../../../src/tree/file.ts";
import { fixedClock } from "../../../src/tree/inode.ts";
import { RENAME_EXCHANGE, Tree } from "../../../src/tree/tree.ts";

const OWNER = { uid: 0, gid: 0 };

interface TestTree {
  readonly tree: Tree;
  readonly root: Directory;
  readonly reader: RegularFile;
}

/** A tree with the files "a" and "b", and "reader", which refers to "a". */
function referring(): TestTree {
  const tree = new Tree({ clock: fixedClock(0) });
  const { root } = tree;
  for (const name of ["a", "b"]) tree.createFile(root, name, 0o644, OWNER);
  const reader = tree.createFile(root, "reader", 0o644, OWNER);
  tree.movedNames.noteReferences(reader, Buffer.from("/a"));
  return { tree, root, reader };
}

function exchange({ tree, root }: TestTree): void {
  const [a, b] = [tree.lookup(root, "a"), tree.lookup(root, "b")];
  tree.rename(root, "a", root, "b", RENAME_EXCHANGE);
  tree.movedNames.noteMove(root, "a", a, true);
  tree.movedNames.noteMove(root, "b", b, true);
}

const current = ({ tree, reader }: TestTree, reference = "/a") =>
  Buffer.from(tree.movedNames.currentPaths(reader, Buffer.from(reference))).toString();

describe("two trees in one process", () => {
  test("a name that only the other tree refers to is not noted", () => {
    const [one, other] = [referring(), referring()];
    other.tree.movedNames.noteReferences(other.reader, Buffer.from("/b"));
    const b = one.tree.lookup(one.root, "b");
    one.tree.rename(one.root, "b", one.root, "c");
    one.tree.movedNames.noteMove(one.root, "b", b, false);
    expect(current(one, "/b")).toBe("/b");
  });

  test("references that are set in one do not make the other forget its exchanges", () => {
    const [one, other] = [referring(), referring()];
    exchange(one);
    expect(current(one)).toBe("/b");
    for (let round = 0; round < 100; round++) {
      other.tree.movedNames.noteReferences(other.reader, Buffer.from("/a"));
      exchange(one);
    }
    expect(current(one)).toBe("/b");
    expect(current(other)).toBe("/a");
  });
});

test("a relative reference follows the move of the file that has it, although nothing else was moved", () => {
  const one = referring();
  const { tree, root, reader } = one;
  const away = tree.mkdir(root, "away", 0o755, OWNER);
  tree.movedNames.noteReferences(reader, Buffer.from("a"));
  tree.rename(root, "reader", away, "reader");
  expect(current(one, "a")).toBe("/a");
});
