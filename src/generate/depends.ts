/** `user.llmfs.depends`: the files that a file depends on, and the resulting order. */
import { posix } from "node:path";

/** A file to generate, and what it depends on. */
export interface Dependent {
  readonly path: string;
  /** The value of `user.llmfs.depends`. */
  readonly depends?: string;
}

/** Returns absolute paths. `lines` has one path per line, relative to the file's directory or absolute within the mount. */
export function parseDependencies(path: string, lines: string | undefined): readonly string[] {
  const named = (lines ?? "").split("\n").map((line) => line.trim());
  return [...new Set(named.filter((line) => line !== "").map((line) => posix.resolve(posix.dirname(path), line)))];
}

/** Sorts files after their dependencies, and otherwise keeps their order. Files in a cycle keep their position. */
export function sortByDependencies<T extends Dependent>(files: readonly T[]): readonly T[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const placed = new Set<T>();
  const ordered: T[] = [];
  for (const first of files) {
    const trail: { readonly file: T; readonly left: string[] }[] = [];
    const enter = (file: T) => {
      placed.add(file);
      trail.push({ file, left: parseDependencies(file.path, file.depends).toReversed() });
    };
    if (!placed.has(first)) enter(first);
    for (let top = trail.at(-1); top !== undefined; top = trail.at(-1)) {
      const next = top.left.pop();
      const file = next === undefined ? undefined : byPath.get(next);
      if (next === undefined) {
        ordered.push(top.file);
        trail.pop();
      } else if (file !== undefined && !placed.has(file)) enter(file);
    }
  }
  return ordered;
}

/** A file of a graph. */
export interface GraphNode<T> {
  readonly file: T;
  /** The files of the graph that it depends on, without the one edge of each cycle that leads backwards. */
  readonly needs: readonly GraphNode<T>[];
  /** The files of the graph that depend on it. */
  readonly users: readonly GraphNode<T>[];
  /** The length in files of the longest chain that begins with this file and continues with its users. */
  readonly rank: number;
  /** The length in files of the longest chain that ends with this file and begins with what it depends on. */
  readonly depth: number;
}

/** Returns the nodes in an order in which the files can be generated. Dependencies that are not among `files` are ignored. */
export function createGraph<T extends Dependent>(files: readonly T[]): readonly GraphNode<T>[] {
  interface Node extends GraphNode<T> {
    needs: Node[];
    users: Node[];
    rank: number;
    depth: number;
  }
  const byPath = new Map<string, Node>();
  const nodes = sortByDependencies(files).map((file) => {
    const node: Node = { file, needs: [], users: [], rank: 1, depth: 1 };
    for (const path of parseDependencies(file.path, file.depends)) {
      // A dependency that is placed later is part of a cycle.
      const needed = byPath.get(path);
      if (needed === undefined) continue;
      node.needs.push(needed);
      needed.users.push(node);
      node.depth = Math.max(node.depth, needed.depth + 1);
    }
    byPath.set(file.path, node);
    return node;
  });
  for (const node of nodes.toReversed()) {
    for (const needed of node.needs) needed.rank = Math.max(needed.rank, node.rank + 1);
  }
  return nodes;
}

/** The longest chain, the file that depends on nothing first. Of several, the first in the order of the nodes. */
export function longestChain<T>(nodes: readonly GraphNode<T>[]): readonly T[] {
  const chain: T[] = [];
  const deepest = nodes.reduce((most, { depth }) => Math.max(most, depth), 0);
  let at = nodes.find(({ depth }) => depth === deepest);
  while (at !== undefined) {
    chain.unshift(at.file);
    const { depth, needs }: GraphNode<T> = at;
    at = needs.find((one) => one.depth === depth - 1);
  }
  return chain;
}
