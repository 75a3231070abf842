import { expect, test } from "bun:test";
import { renderOutline } from "../../../src/generate/context/outline.ts";
import type { TreeEntry } from "../../../src/rpc/tree-port.ts";
import { comparePaths } from "../../../src/text/tree-paths.ts";

/** A tree with one large directory and many small ones, in an order that depends on the seed only. */
function tree(count: number, seed: number, onRead: () => void = () => {}): readonly TreeEntry[] {
  const paths = Array.from({ length: count }, (_, index) =>
    index % 2 === 0 ? `/large/é${index}` : `/d${index % 97}/e.${index % 13}/f${index}`,
  );
  const folders = new Set(
    paths.flatMap((path) => [path.slice(0, path.indexOf("/", 1)), path.slice(0, path.lastIndexOf("/"))]),
  );
  const entries = [
    ...[...folders].map((path) => ({ path, type: "directory" as const })),
    ...paths.map((path) => ({ path, type: "file" as const, description: `about ${path}` })),
  ];
  const key = ({ path }: { path: string }) => Bun.hash.wyhash(path, BigInt(seed));
  const mixed = entries.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  return mixed.map((entry) => ({
    ...entry,
    get path() {
      onRead();
      return entry.path;
    },
  }));
}

/** The complete outline, written in the simplest way. */
function drawSimply(entries: readonly TreeEntry[]): string {
  const sorted = [...entries].sort((a, b) => comparePaths(a.path, b.path));
  const lines = sorted.map(({ path, type, description }) => {
    const names = path.split("/").slice(1);
    const words = description === undefined ? "" : ` — ${description}`;
    return `${"  ".repeat(names.length - 1)}${names.at(-1)}${type === "directory" ? "/" : ""}${words}`;
  });
  return lines.join("\n");
}

test("an outline is in the order of the tree, whatever the order of its entries", async () => {
  for (const seed of [1, 2, 3]) {
    const entries = tree(3000, seed);
    expect(await renderOutline(entries, "/d1/e.1/f1", 1_000_000)).toBe(drawSimply(entries));
  }
});

test("an outline that does not fit is the same, whatever the order of its entries", async () => {
  const [one, other] = await Promise.all([1, 2].map((seed) => renderOutline(tree(3000, seed), "/d1/e.1/f1", 2000)));
  expect(one).toBe(other ?? "");
  expect(one).toContain("more)");
});

test("a large outline is drawn in slices, between which everything else runs", async () => {
  // A clock of its own, so that a slice ends after a number of steps and not after a time.
  const real = performance.now;
  let now = 0;
  performance.now = () => {
    now += 1;
    return now;
  };
  let reads = 0;
  let most = 0;
  let turns = 0;
  let over = false;
  const watch = () => {
    most = Math.max(most, reads);
    reads = 0;
    turns += 1;
    if (!over) setImmediate(watch);
  };
  const entries = tree(5000, 1, () => {
    reads += 1;
  });
  reads = 0;
  try {
    setImmediate(watch);
    await renderOutline(entries, "/", 1_000_000);
  } finally {
    over = true;
    performance.now = real;
  }
  expect(most).toBeLessThan(50);
  expect(turns).toBeGreaterThan(1000);
});
