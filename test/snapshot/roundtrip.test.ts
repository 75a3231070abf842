import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSnapshot } from "../../src/snapshot/read/load.ts";
import { saveSnapshot } from "../../src/snapshot/write/save.ts";
import { describeTree, load, makeFile, newTree, ODD_NAMES, randomTree, save } from "./trees.ts";

const SEEDS = Array.from({ length: 40 }, (_value, index) => index + 1);

describe("a random tree", () => {
  test.each(SEEDS)("a random tree is unchanged after saving and loading (seed %d)", (seed) => {
    const tree = randomTree(seed);
    tree.checkInvariants();
    expect(describeTree(load(save(tree)))).toEqual(describeTree(tree));
  });

  test.each(SEEDS)("a random tree is saved as the same bytes each time, even after a round trip (seed %d)", (seed) => {
    const tree = randomTree(seed);
    const text = save(tree);
    expect(save(tree)).toBe(text);
    expect(save(load(text))).toBe(text);
  });

  test.each(SEEDS.slice(0, 10))("a random tree keeps its times if requested (seed %d)", (seed) => {
    const tree = randomTree(seed);
    const text = save(tree, { times: true });
    expect(describeTree(load(text), { times: true })).toEqual(describeTree(tree, { times: true }));
    expect(save(load(text), { times: true })).toBe(text);
  });

  test.each(SEEDS.slice(0, 10))("a random tree survives jq, with keys sorted or not (seed %d)", (seed) => {
    const tree = randomTree(seed);
    const text = save(tree);
    // jq parses, and prints in another layout.
    const parsed: unknown = JSON.parse(text);
    expect(describeTree(load(JSON.stringify(parsed)))).toEqual(describeTree(tree));
    expect(describeTree(load(JSON.stringify(sortKeys(parsed), null, 4)))).toEqual(describeTree(tree));
  });

  test.each(SEEDS.slice(0, 5))(
    "the text of a random tree does not depend on the order in which names were created (seed %d)",
    (seed) => {
      const text = save(randomTree(seed));
      const { entries } = JSON.parse(text) as { entries: { path: string; type: string }[] };
      const names = entries.map((entry) => entry.path);
      expect(new Set(names).size).toBe(names.length);
      const other = newTree();
      // All directories first, then the rest backwards; hard links must stay after the entries they refer to.
      const rank = ({ type }: { type: string }) => (type === "directory" ? 0 : type === "link" ? 2 : 1);
      const shuffled = entries
        .map((entry, index) => ({ entry, order: rank(entry) === 0 ? index : -index }))
        .sort((a, b) => rank(a.entry) - rank(b.entry) || a.order - b.order)
        .map(({ entry }) => entry);
      loadSnapshot(other, Buffer.from(JSON.stringify({ llmfs: 1, entries: shuffled })));
      expect(save(other)).toBe(text);
    },
  );
});

test("every odd name survives a round trip, byte for byte", () => {
  const tree = newTree();
  const directory = tree.mkdir(tree.root, "d", 0o755, tree.root);
  for (const name of ODD_NAMES) makeFile(tree, directory, name, name);
  expect(describeTree(load(save(tree)))).toEqual(describeTree(tree));
});

test("a snapshot of several megabytes survives a round trip through a file, with any slice size", () => {
  const folder = mkdtempSync(join(tmpdir(), "llmfs-"));
  try {
    const tree = newTree();
    makeFile(
      tree,
      tree.root,
      "binary",
      Buffer.from(Array.from({ length: 3_000_000 }, (_value, at) => (at * at) & 255)),
    );
    makeFile(tree, tree.root, "text", "a line that is repeated\n".repeat(200_000));
    makeFile(tree, tree.root, "long", "x".repeat(1_000_000));
    const file = join(folder, "tree.json");
    writeFileSync(file, Buffer.concat([...saveSnapshot(tree)]));
    const other = newTree();
    loadSnapshot(other, file);
    expect(describeTree(other)).toEqual(describeTree(tree));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a tree deeper than PATH_MAX survives a round trip", () => {
  const tree = newTree();
  let directory = tree.root;
  for (let depth = 0; depth < 3000; depth++) directory = tree.mkdir(directory, "deep", 0o755, tree.root);
  makeFile(tree, directory, "bottom", "reached\n");
  const other = load(save(tree));
  expect(describeTree(other)).toEqual(describeTree(tree));
});

test("an error names the file that cannot be opened, and the reason", () => {
  expect(() => loadSnapshot(newTree(), "/nowhere/tree.json")).toThrow(
    "/nowhere/tree.json: cannot be opened: no such file or directory (ENOENT)",
  );
  expect(() => loadSnapshot(newTree(), "/tmp")).toThrow("/tmp: is a directory");
  expect(() => loadSnapshot(newTree(), "/dev/null")).toThrow("/dev/null: is not a regular file");
});

test("a pipe without a writer is refused at once", () => {
  const folder = mkdtempSync(join(tmpdir(), "llmfs-fifo-"));
  const fifo = join(folder, "tree.json");
  expect(Bun.spawnSync(["mkfifo", fifo]).success).toBe(true);
  expect(() => loadSnapshot(newTree(), fifo)).toThrow(`${fifo}: is not a regular file`);
  rmSync(folder, { recursive: true });
});

test("a snapshot without entries is refused", () => {
  expect(() => load('{"llmfs": 1}')).toThrow("has no entries");
  expect(load('{"llmfs": 1, "entries": []}').root.size).toBe(0);
});

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sortKeys(member)]),
  );
}

test("the first and the last time, and more attributes than a program can list, survive a round trip", () => {
  const tree = newTree();
  const file = makeFile(tree, tree.root, "file", "x");
  file.setTimes({
    mtime: { seconds: Number.POSITIVE_INFINITY, nanoseconds: 999_999_999 },
    atime: { seconds: -1e30, nanoseconds: 1 },
  });
  for (let count = 0; count < 300; count++) file.putXattr(`user.${count}${"x".repeat(240)}`, new Uint8Array(1));
  const loaded = load(save(tree, { times: true }));
  expect(describeTree(loaded, { times: true })).toEqual(describeTree(tree, { times: true }));
});
