/** The tree as text, for a model: one line an entry, what is near the file in question first when not all fits. */
import type { TreeEntry } from "../generators/generator.ts";
import { fits, tokenCounter } from "./tokens.ts";

interface Node {
  readonly name: string;
  readonly entry: TreeEntry | undefined;
  readonly depth: number;
  readonly children: Map<string, Node>;
}

/**
 * At most about `budget` tokens. Names come first, nearest first; what is left of the budget goes to descriptions, in
 * the same order. Depends on paths, types, descriptions and symlink targets alone: not on states or sizes.
 */
export async function renderOutline(entries: readonly TreeEntry[], focus: string, budget: number): Promise<string> {
  const root = plant(entries);
  const everything = draw(root, undefined, undefined);
  if (await fits(everything, budget)) return everything;
  const count = await tokenCounter();
  const nodes = [...walk(root)].sort(nearestTo(focus)).map(({ node }) => node);
  const costs = new Map(nodes.map((node) => [node, count(`${line(node, false)}\n`)]));
  const all = [...costs.values()].reduce((sum, cost) => sum + cost, 0);
  const purse = new Purse(all <= budget ? budget : Math.floor(budget * 0.75));
  const named = nameNearest(root, nodes, costs, purse, (depth) => count(`${leftOut(depth, 1000)}\n`));
  purse.left += budget - purse.given;
  const described = new Set<Node>();
  for (const node of named) {
    if (!purse.pay(count(line(node, true)) - count(line(node, false)))) break;
    described.add(node);
  }
  return draw(root, named, described);
}

class Purse {
  readonly given: number;
  left: number;

  constructor(given: number) {
    this.given = given;
    this.left = given;
  }

  pay(cost: number): boolean {
    if (cost > this.left) return false;
    this.left -= cost;
    return true;
  }
}

/** Names while they can be paid. A directory pays for its "left out" line too, and gets that back when it is full. */
function nameNearest(
  root: Node,
  nodes: readonly Node[],
  costs: ReadonlyMap<Node, number>,
  purse: Purse,
  leftOutCost: (depth: number) => number,
): ReadonlySet<Node> {
  const parents = new Map<Node, Node>();
  for (const node of [root, ...nodes]) for (const child of node.children.values()) parents.set(child, node);
  const missing = new Map([root, ...nodes].map((node) => [node, node.children.size]));
  const named = new Set<Node>();
  purse.pay(leftOutCost(0));
  for (const node of nodes) {
    const parent = parents.get(node) ?? root;
    const leftOfParent = (missing.get(parent) ?? 0) - 1;
    const refund = leftOfParent === 0 ? leftOutCost(parent.depth + 1) : 0;
    const cost = (costs.get(node) ?? 0) + (node.children.size > 0 ? leftOutCost(node.depth + 1) : 0);
    if (!purse.pay(cost - refund)) break;
    missing.set(parent, leftOfParent);
    named.add(node);
  }
  return named;
}

/** Steps from one path to another, up and down the tree. */
export function distance(from: string, to: string): number {
  const a = from.split("/").filter((name) => name !== "");
  const b = to.split("/").filter((name) => name !== "");
  let shared = 0;
  while (shared < a.length && shared < b.length && a[shared] === b[shared]) shared += 1;
  return a.length + b.length - 2 * shared;
}

export function folderOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}

/** Byte order of UTF-8, which is code point order; UTF-16 puts surrogates before U+E000, so they are moved up. */
export function byteOrder(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const difference = a.charCodeAt(at) - b.charCodeAt(at);
    if (difference !== 0) return rank(a.charCodeAt(at)) - rank(b.charCodeAt(at));
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit;
}

/** A directory before what it holds, and that before its next sibling; names in byte order. */
export function treeOrder(a: string, b: string): number {
  return byteOrder(a.replaceAll("/", "\0"), b.replaceAll("/", "\0"));
}

function plant(entries: readonly TreeEntry[]): Node {
  const root: Node = { name: "", entry: undefined, depth: -1, children: new Map() };
  const sorted = entries.filter(({ type, path }) => type !== "other" && path !== "/");
  for (const entry of sorted.toSorted((a, b) => treeOrder(a.path, b.path))) {
    let node = root;
    const names = entry.path.split("/").slice(1);
    for (const [depth, name] of names.entries()) {
      const last = depth === names.length - 1;
      const child = node.children.get(name) ?? { name, entry: last ? entry : undefined, depth, children: new Map() };
      node.children.set(name, child);
      node = child;
    }
  }
  return root;
}

function* walk(node: Node, path = ""): Generator<{ readonly node: Node; readonly path: string }> {
  for (const child of node.children.values()) {
    const below = `${path}/${child.name}`;
    yield { node: child, path: below };
    yield* walk(child, below);
  }
}

/** An order in which a directory stands before what it holds, so that any beginning of it is a tree. */
function nearestTo(focus: string): (a: { readonly path: string }, b: { readonly path: string }) => number {
  const home = folderOf(focus);
  const steps = new Map<string, number>();
  // A directory that leads to the file is as near as the file itself.
  const rank = (path: string) => {
    const known = steps.get(path);
    if (known !== undefined) return known;
    const value = home === path || home.startsWith(`${path}/`) || path === focus ? -1 : distance(home, folderOf(path));
    steps.set(path, value);
    return value;
  };
  return (a, b) => rank(a.path) - rank(b.path) || byteOrder(a.path, b.path);
}

function draw(root: Node, named: ReadonlySet<Node> | undefined, described: ReadonlySet<Node> | undefined): string {
  const lines: string[] = [];
  const visit = (node: Node) => {
    let left = 0;
    for (const child of node.children.values()) {
      if (named !== undefined && !named.has(child)) {
        left += 1;
        continue;
      }
      lines.push(line(child, described === undefined || described.has(child)));
      visit(child);
    }
    if (left > 0) lines.push(leftOut(node.depth + 1, left));
  };
  visit(root);
  return lines.join("\n");
}

function line({ name, entry, depth, children }: Node, described: boolean): string {
  const directory = entry?.type === "directory" || children.size > 0;
  const target = entry?.type === "symlink" ? ` -> ${entry.target ?? "?"}` : "";
  const words = described && entry?.description ? ` — ${entry.description.replace(/\s+/g, " ").trim()}` : "";
  return `${indent(depth)}${name}${directory ? "/" : ""}${target}${words}`;
}

function leftOut(depth: number, count: number): string {
  return `${indent(depth)}… (${count} more)`;
}

function indent(depth: number): string {
  return "  ".repeat(depth);
}
