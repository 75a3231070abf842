/** The space of a removed file can be used before the kernel has forgotten the file, and is taken back if it keeps it. */
import { expect, test } from "bun:test";
import { UnnamedInodes } from "../../../src/fs/coherence/unnamed-inodes.ts";
import { heapPages } from "../../../src/tree/content/heap-store.ts";
import { PAGE } from "../../../src/tree/content/store.ts";
import type { RegularFile } from "../../../src/tree/file.ts";
import { fixedClock } from "../../../src/tree/inode.ts";
import { Space } from "../../../src/tree/space.ts";
import { Tree } from "../../../src/tree/tree.ts";

const LIMIT = 64;

/** A tree on stores whose pages the kernel counts and limits. */
function limited() {
  const kernel = { used: 0, limit: LIMIT };
  const quota = {
    usedPages: () => kernel.used,
    limit(pages: number) {
      if (pages < kernel.used) return false;
      kernel.limit = pages;
      return true;
    },
  };
  const space = new Space({ bytes: LIMIT * PAGE, stores: { open: heapPages.open, quota } });
  const tree = new Tree({ clock: fixedClock(1), space });
  const unnamed = new UnnamedInodes(space);
  tree.onNameChange = (directory, name, before) => unnamed.onNameChange(directory, name, before);
  tree.onDispose = (inode) => unnamed.onDispose(inode);
  /** Creates a file of this many pages that the kernel knows. */
  const file = (name: string, pages: number): RegularFile => {
    const made = tree.createFile(tree.root, name, 0o644, { uid: 0, gid: 0 });
    made.write(0, new Uint8Array(pages * PAGE).fill(1));
    made.lookups = 1;
    tree.hold(made);
    return made;
  };
  return { kernel, space, tree, unnamed, file };
}

test("what the kernel may write includes the space of a removed file at once", () => {
  const { kernel, space, tree, file } = limited();
  const removed = file("a", 20);
  space.trim();
  expect([kernel.limit, space.usedPages]).toEqual([LIMIT - 20, 20]);
  tree.unlink(tree.root, "a");
  expect([kernel.limit, space.usedPages]).toEqual([LIMIT, 0]);
  tree.drop(removed);
  space.trim();
  expect([kernel.limit, space.usedPages]).toEqual([LIMIT, 0]);
});

test("the same holds for a file that is replaced by rename(2)", () => {
  const { kernel, tree, file } = limited();
  file("a", 20);
  file("b", 1);
  tree.rename(tree.root, "b", tree.root, "a");
  expect(kernel.limit).toBeGreaterThanOrEqual(LIMIT - 20);
});

test("the space of a removed file that a program has open is not lent", () => {
  const { kernel, space, tree, file } = limited();
  tree.hold(file("a", 20));
  space.trim();
  tree.unlink(tree.root, "a");
  expect([kernel.limit, space.usedPages]).toEqual([LIMIT - 20, 20]);
});

test("space is taken back when a program opens the removed file, or when the kernel keeps it", () => {
  const { kernel, space, tree, unnamed, file } = limited();
  const opened = file("a", 20);
  const kept = file("b", 10);
  space.trim();
  tree.unlink(tree.root, "a");
  tree.unlink(tree.root, "b");
  expect(kernel.limit).toBe(LIMIT);
  unnamed.onOpen(opened);
  expect(kernel.limit).toBe(LIMIT - 20);
  unnamed.onPause();
  expect(kernel.limit).toBe(LIMIT - 30);
  tree.drop(kept);
  tree.drop(opened);
  space.trim();
  expect(kernel.limit).toBe(LIMIT);
});

test("whoever keeps removed files gets their space once more, and nothing more until that is free", () => {
  const { kernel, space, tree, unnamed, file } = limited();
  const kept = [file("a", 30), file("b", 30)];
  tree.unlink(tree.root, "a");
  tree.unlink(tree.root, "b");
  kernel.used = 50;
  unnamed.onPause();
  expect(space.freePages).toBe(0);
  expect(() => file("c", 5)).toThrow("ENOSPC");
  kernel.used = 2;
  unnamed.onPause();
  expect([kernel.limit, space.usedPages]).toEqual([LIMIT - 60, 62]);
  for (const file of kept) tree.drop(file);
  expect(space.usedPages).toBe(2);
});
