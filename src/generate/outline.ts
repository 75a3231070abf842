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
  let drawing = drawings.get(entries);
  if (drawing === undefined) {
    drawing = new Drawing(entries);
    drawings.set(entries, drawing);
  }
  return drawing.seenFrom(folderOf(focus), budget);
}

/** The same list is drawn for many files. */
const drawings = new WeakMap<readonly TreeEntry[], Drawing>();

/** One list of entries, and what it looks like from each directory. */
class Drawing {
  readonly #root: Node;
  readonly #everything: string;
  /** Undefined until it is known not to fit. */
  #parts: Promise<Parts> | undefined;
  #whole: Promise<boolean> | undefined;
  #budget = 0;
  readonly #views = new Map<string, Promise<string>>();

  constructor(entries: readonly TreeEntry[]) {
    this.#root = plant(entries);
    this.#everything = draw(this.#root, undefined, undefined);
  }

  async seenFrom(home: string, budget: number): Promise<string> {
    if (budget !== this.#budget) {
      this.#budget = budget;
      this.#whole = fits(this.#everything, budget);
      this.#views.clear();
    }
    if (await this.#whole) return this.#everything;
    this.#parts ??= partsOf(this.#root);
    const known = this.#views.get(home) ?? this.#parts.then((parts) => view(this.#root, parts, home, budget));
    this.#views.set(home, known);
    return known;
  }
}

/** What the choice of lines is made from. */
interface Parts {
  readonly count: (text: string) => number;
  /** Every node with its path's directory, in byte order of the paths. */
  readonly nodes: readonly { readonly node: Node; readonly path: string }[];
  /** For each of them, the number of its directory in `folders`. */
  readonly folderOf: Int32Array;
  readonly folders: readonly string[];
  readonly costs: ReadonlyMap<Node, number>;
  /** What a description adds, as far as anybody asked. */
  readonly descriptions: Map<Node, number>;
  readonly parents: ReadonlyMap<Node, Node>;
  readonly all: number;
}

async function partsOf(root: Node): Promise<Parts> {
  const count = await tokenCounter();
  const nodes = [...walk(root)].sort((a, b) => byteOrder(a.path, b.path));
  const folders = new Map<string, number>();
  const numbers = nodes.map(({ path }) => {
    const folder = folderOf(path);
    const number = folders.get(folder) ?? folders.size;
    folders.set(folder, number);
    return number;
  });
  const costs = new Map(nodes.map(({ node }) => [node, count(`${line(node, false)}\n`)]));
  const parents = new Map<Node, Node>();
  for (const node of [root, ...nodes.map((one) => one.node)]) {
    for (const child of node.children.values()) parents.set(child, node);
  }
  return {
    count,
    nodes,
    folderOf: Int32Array.from(numbers),
    folders: [...folders.keys()],
    costs,
    descriptions: new Map(),
    parents,
    all: [...costs.values()].reduce((sum, cost) => sum + cost, 0),
  };
}

function view(root: Node, parts: Parts, home: string, budget: number): string {
  const { count, descriptions, all } = parts;
  const purse = new Purse(all <= budget ? budget : Math.floor(budget * 0.75));
  const named = nameNearest(root, parts, nearestTo(home, parts), purse, (depth) => count(`${leftOut(depth, 1000)}\n`));
  purse.left += budget - purse.given;
  const described = new Set<Node>();
  for (const node of named) {
    const cost = descriptions.get(node) ?? count(line(node, true)) - count(line(node, false));
    descriptions.set(node, cost);
    if (!purse.pay(cost)) break;
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
  { costs, parents }: Parts,
  nodes: Iterable<Node>,
  purse: Purse,
  leftOutCost: (depth: number) => number,
): ReadonlySet<Node> {
  const missing = new Map<Node, number>();
  const named = new Set<Node>();
  purse.pay(leftOutCost(0));
  for (const node of nodes) {
    const parent = parents.get(node) ?? root;
    const leftOfParent = (missing.get(parent) ?? parent.children.size) - 1;
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
function* nearestTo(home: string, { nodes, folderOf, folders }: Parts): Generator<Node> {
  const far = folders.map((folder) => distance(home, folder));
  // A directory that leads to the file is as near as the file itself.
  const leading = new Set<Node>();
  for (const { node, path } of nodes) {
    if (home !== path && !home.startsWith(`${path}/`)) continue;
    leading.add(node);
    yield node;
  }
  // Most often only the nearest fit, so the far ones are not looked at before they are asked for.
  for (const rank of [...new Set(far)].sort((a, b) => a - b)) {
    for (let at = 0; at < nodes.length; at += 1) {
      const found = far[folderOf[at] ?? 0] === rank ? nodes[at] : undefined;
      if (found !== undefined && !leading.has(found.node)) yield found.node;
    }
  }
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
