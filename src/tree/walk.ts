/** A walk through a tree. */
import type { Directory } from "./directory.ts";
import type { Inode } from "./inode.ts";
import { join } from "./path.ts";

export interface Walked {
  readonly path: string;
  readonly inode: Inode;
}

/**
 * Yields every inode with its path, each directory before its entries, names in byte order. The root is "/". The
 * entries of a directory are those at the time when the walk reaches it, without those removed in the meantime. Deep
 * trees need no deep stack.
 */
export function* walk(from: Directory, path: string): Generator<Walked> {
  for (const at of walkInSteps(from, path, Number.POSITIVE_INFINITY)) if (at !== undefined) yield at;
}

/**
 * Like `walk`, for a tree that may change between the steps. It also yields undefined each time it has sorted or merged
 * `step` names, so that the caller can pause.
 */
export function* walkInSteps(from: Directory, path: string, step = STEP): Generator<Walked | undefined> {
  if (path === "/") yield { path, inode: from };
  const open = [{ path, directory: from, names: yield* sortInSteps([namesOf(from)], step) }];
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const name = top.names.pop();
    if (name === undefined) {
      open.pop();
      continue;
    }
    const inode = top.directory.get(name)?.inode;
    if (inode === undefined) continue;
    const below = join(top.path, name);
    yield { path: below, inode };
    if (inode.kind === "directory")
      open.push({ path: below, directory: inode, names: yield* sortInSteps([namesOf(inode)], step) });
  }
}

const STEP = 1024;

function namesOf(directory: Directory): Iterable<string> {
  return directory.entries().map(({ name }) => name);
}

/**
 * The names in all of these lists, without duplicates, in reverse order. The lists are read one after the other, and may
 * change between the steps.
 */
export function* sortInSteps(lists: readonly Iterable<string>[], step = STEP): Generator<undefined, string[]> {
  const runs: string[][] = [];
  for (const list of lists) {
    let run: string[] = [];
    for (const name of list) {
      if (run.push(name) < step) continue;
      runs.push(run.sort().reverse());
      run = [];
      yield;
    }
    if (run.length > 0) runs.push(run.sort().reverse());
  }
  // Merges the two shortest runs first, so that each name is merged about log2(runs) times.
  for (let at = 0; at + 1 < runs.length; at += 2) {
    runs.push(yield* merge(runs[at] ?? [], runs[at + 1] ?? [], step));
    runs[at] = runs[at + 1] = [];
  }
  return runs.at(-1) ?? [];
}

/** Merges two runs without duplicates: a name that was removed and added again between two steps is in both. */
function* merge(one: readonly string[], other: readonly string[], step: number): Generator<undefined, string[]> {
  const all: string[] = [];
  for (let [at, there] = [0, 0]; ; ) {
    const [first, second] = [one[at], other[there]];
    const order = first === undefined ? 1 : second === undefined ? -1 : backwards(first, second);
    const next = order > 0 ? second : first;
    if (next === undefined) return all;
    if (order <= 0) at++;
    if (order >= 0) there++;
    if (all.push(next) % step === 0) yield;
  }
}

function backwards(one: string, other: string): number {
  return one < other ? 1 : one > other ? -1 : 0;
}
