/** Comparing two trees. What people see of it is in test/cli/diff.test.ts. */
import { describe, expect, test } from "bun:test";
import { type ComparedTree, compareTrees, LARGEST_WHOLE } from "../../src/offline/compare.ts";
import { OfflineTree } from "../../src/offline/offline-tree.ts";

/** A tree with one file of these pieces: see docs/snapshot.md. */
function treeOf(...pieces: readonly (string | { readonly hole: number })[]): ComparedTree {
  const file = { path: "/f", type: "file", base64: pieces.map((one) => (typeof one === "string" ? btoa(one) : one)) };
  const text = Buffer.from(JSON.stringify({ llmfs: 1, entries: [file] }));
  return { tree: new OfflineTree({ text }, { warn: () => {} }), path: "/" };
}

describe("contents that are too large to be in memory", () => {
  const hole = { hole: 2 ** 36 };

  test("are the same if their data and sizes are", () => {
    expect(compareTrees(treeOf("a", hole, "end"), treeOf("a", hole, "end"))).toEqual([]);
  });

  test("differ at the end, at the beginning, in a hole, or in size", () => {
    const changed = [
      treeOf("a", hole, "END"),
      treeOf("b", hole, "end"),
      treeOf("a", { hole: 2 ** 35 }, "x", { hole: 2 ** 35 - 1 }, "end"),
      treeOf("a", hole, "end", { hole: 1 }),
    ];
    for (const other of changed) {
      const [difference, ...others] = compareTrees(treeOf("a", hole, "end"), other);
      expect(difference).toMatchObject({ path: "f", change: "changed", aspects: ["content"] });
      expect(difference?.before).toEqual({ type: "file", mode: "0644", size: 2 ** 36 + 4 });
      expect(others).toEqual([]);
    }
  });
});

test("the result has contents of up to LARGEST_WHOLE bytes", () => {
  const sides = [LARGEST_WHOLE, LARGEST_WHOLE + 1].map(
    (size) => compareTrees(treeOf("a"), treeOf({ hole: size })).at(0)?.after,
  );
  expect(sides.map((side) => side?.size)).toEqual([LARGEST_WHOLE, LARGEST_WHOLE + 1]);
  expect(sides.map((side) => side?.content?.length)).toEqual([LARGEST_WHOLE, undefined]);
});
