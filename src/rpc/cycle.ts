/** Finds files that wait for each other in a cycle, which would never end, and describes the cycle. */
import { FsError } from "../errno.ts";

/**
 * The shortest path from one node to another, both included; undefined if there is none. `next` returns the successors of
 * a node. Each node is visited once.
 */
export function findWay<T>(from: T, to: T, next: (at: T) => Iterable<T>): readonly T[] | undefined {
  /** The predecessor of each node that was found. */
  const before = new Map<T, T | undefined>([[from, undefined]]);
  // The loop also visits entries that are added while it runs.
  for (const [at] of before) {
    if (at === to) {
      const way: T[] = [];
      for (let one: T | undefined = at; one !== undefined; one = before.get(one)) way.unshift(one);
      return way;
    }
    for (const one of next(at)) if (!before.has(one)) before.set(one, at);
  }
  return undefined;
}

/** The error for the last of these files, which is about to wait for the first. */
export function waitsForItself(names: readonly string[]): FsError {
  const circle = [names.at(-1) ?? "", ...names].join(" → ");
  return new FsError("EDEADLK", `files depend on each other: ${circle}`);
}
