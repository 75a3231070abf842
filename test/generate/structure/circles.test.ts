import { expect, test } from "bun:test";
import { findCircles, findUsesToDrop, findUsesTooDeep, type Graph } from "../../../src/generate/structure/circles.ts";
import { Random } from "../../support/random.ts";

/** "a:bc b:a" means that a uses b and c, and b uses a. */
const graph = (text: string): Graph =>
  new Map(text.split(" ").map((node): [string, string[]] => [node.slice(0, 1), [...node.slice(2)]]));

test("the shortest cycle in each group of files is found", () => {
  expect(findCircles(graph("a:bc b:c c: d:a"))).toEqual([]);
  expect(findCircles(graph("a:b b:a c:d d:e e:c f:ace"))).toEqual([
    ["a", "b"],
    ["c", "d", "e"],
  ]);
  expect(findCircles(graph("a:b b:c c:da d:a"))).toEqual([["a", "b", "c"]]);
});

test("a file that uses itself is a cycle", () => {
  expect(findCircles(graph("a:a"))).toEqual([["a"]]);
  expect(findUsesToDrop(graph("a:a"))).toEqual([["a", "a"]]);
});

test("a use of a missing file is ignored", () => {
  expect(findCircles(graph("a:xb b:y"))).toEqual([]);
});

test("a cycle is broken at the use that leads to the file used by the fewest others", () => {
  // A header and its sources: m and s are sources, h is the header.
  expect(findUsesToDrop(graph("h:s m:h s:h"))).toEqual([["h", "s"]]);
  // A program, its README and its test.
  expect(findUsesToDrop(graph("p:r r:p t:p"))).toEqual([["p", "r"]]);
});

test("among equally used files, a cycle is broken at the use that leads to the last path", () => {
  expect(findUsesToDrop(graph("a:b b:a"))).toEqual([["a", "b"]]);
  expect(findUsesToDrop(graph("a:b b:c c:a"))).toEqual([["b", "c"]]);
});

test("a chain that is too long is cut before the file that would be too many, and begins again there", () => {
  expect(findUsesTooDeep(graph("a:b b:c c:d d:"), 4)).toEqual([]);
  expect(findUsesTooDeep(graph("a:b b:c c:d d:"), 3)).toEqual([["a", "b"]]);
  expect(findUsesTooDeep(graph("a:bx b:c c:d d: e:d"), 2)).toEqual([["b", "c"]]);
});

test("in any graph no cycle is left, and only uses within cycles are dropped", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = new Random(seed);
    const nodes = Array.from({ length: 2 + random.below(12) }, (_, index) => String.fromCharCode(97 + index));
    const made: Graph = new Map(nodes.map((node) => [node, nodes.filter(() => random.below(4) === 0)]));
    const dropped = findUsesToDrop(made);
    const rest = new Map(
      [...made].map(([from, uses]) => [from, uses.filter((to) => !dropped.some(([a, b]) => a === from && b === to))]),
    );
    expect(findCircles(rest)).toEqual([]);
    for (const [from, to] of dropped) expect(reaches(made, to, from)).toBe(true);
    expect(findUsesToDrop(made)).toEqual(dropped);
  }
});

function reaches(made: Graph, from: string, to: string): boolean {
  const seen = new Set([from]);
  for (const node of seen) for (const use of made.get(node) ?? []) seen.add(use);
  return seen.has(to);
}

test("cycles among 10,000 files are found quickly", () => {
  const name = (index: number) => `/f${index % 10_000}`;
  const ring: Graph = new Map(Array.from({ length: 10_000 }, (_, index) => [name(index), [name(index + 1)]]));
  const dense: Graph = new Map(
    Array.from({ length: 10_000 }, (_, index) => [
      name(index),
      Array.from({ length: 32 }, (_, step) => name(index + step * 37 + 1)),
    ]),
  );
  const before = process.cpuUsage();
  expect(findCircles(ring)[0]).toHaveLength(10_000);
  expect(findUsesToDrop(ring)).toHaveLength(1);
  expect(findUsesToDrop(dense).length).toBeGreaterThan(0);
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(5000);
});
