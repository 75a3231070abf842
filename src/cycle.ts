/** Files that wait for each other in a circle, which nobody would ever end: finding it, and naming it. */
import { FsError } from "./errno.ts";

/**
 * A shortest way from one to another, both ends included, where `next` says what one leads to; undefined if there is
 * none. Each is looked at once, however many ways lead there.
 */
export function findWay<T>(from: T, to: T, next: (at: T) => Iterable<T>): readonly T[] | undefined {
  /** By each that was found, the one that led there. */
  const before = new Map<T, T | undefined>([[from, undefined]]);
  // What is added while the map is walked is walked as well.
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

/** For the last of these names, which is about to wait for the first. */
export function waitsForItself(names: readonly string[]): FsError {
  const circle = [names.at(-1) ?? "", ...names].join(" → ");
  return new FsError("EDEADLK", `files depend on each other: ${circle}`);
}
