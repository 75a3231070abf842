/**
 * The tree as text for a model, one line per entry. If it does not fit, entries near the file come first.
 *
 * A tree of 50,000 entries takes a few hundred milliseconds, so the work is done in slices.
 */
import type { TreeEntry } from "../../rpc/tree-port.ts";
import { Pace } from "../../text/pace.ts";
import { sortInSlices } from "../../text/sort-in-slices.ts";
import { compareBytes, distance, folderOf } from "../../text/tree-paths.ts";
import { countTokens, fits, loadTokenCounter, type TokenCounter } from "../spending/tokens.ts";
import { printable } from "./prompts.ts";

interface OutlineNode {
  readonly name: string;
  entry: TreeEntry | undefined;
  readonly depth: number;
  readonly children: Map<string, OutlineNode>;
  /** Its cached line. */
  plain?: string;
  described?: string;
}

/**
 * Renders at most about `budget` tokens. Names come first, the nearest first. The rest of the budget is used for
 * descriptions in the same order. Depends only on paths, types, descriptions and symlink targets, not on states or sizes.
 */
export async function renderOutline(entries: readonly TreeEntry[], focus: string, budget: number): Promise<string> {
  let drawing = drawings.get(entries);
  if (drawing === undefined) {
    drawing = draw(entries);
    drawings.set(entries, drawing);
  }
  return (await drawing).drawFrom(folderOf(focus), budget);
}

/** Cached, because the same list is rendered for many files. */
const drawings = new WeakMap<readonly TreeEntry[], Promise<Drawing>>();

async function draw(entries: readonly TreeEntry[]): Promise<Drawing> {
  const pace = new Pace();
  const root = await plant(entries, pace);
  return new Drawing(root, await drawAll(root, pace));
}

/** A list of entries and its renderings for each directory. */
class Drawing {
  readonly #root: OutlineNode;
  readonly #everything: string;
  /** Defined only if the whole tree does not fit. */
  #parts: Promise<Parts> | undefined;
  #whole: Promise<boolean> | undefined;
  #budget = 0;
  readonly #views = new Map<string, Promise<string>>();

  constructor(root: OutlineNode, everything: string) {
    this.#root = root;
    this.#everything = everything;
  }

  async drawFrom(home: string, budget: number): Promise<string> {
    if (budget !== this.#budget) {
      this.#budget = budget;
      this.#whole = fits(this.#everything, budget);
      this.#views.clear();
    }
    if (await this.#whole) return this.#everything;
    this.#parts ??= partsOf(this.#root);
    const known = this.#views.get(home) ?? this.#parts.then((parts) => drawView(this.#root, parts, home, budget));
    this.#views.set(home, known);
    return known;
  }
}

/** The data from which lines are selected. */
interface Parts {
  readonly count: TokenCounter;
  /** Every node, in byte order of the paths. */
  readonly nodes: readonly OutlineNode[];
  readonly byPath: ReadonlyMap<string, OutlineNode>;
  /** The directories and their entries, in the order of `nodes`, and the index of the directory of each node. */
  readonly folders: readonly { readonly path: string; readonly nodes: readonly OutlineNode[] }[];
  readonly folderOf: Int32Array;
  readonly costs: ReadonlyMap<OutlineNode, number>;
  /** The cached cost of descriptions. */
  readonly descriptions: Map<OutlineNode, number>;
  readonly parents: ReadonlyMap<OutlineNode, OutlineNode>;
  /** The position of each node in the complete outline. */
  readonly places: ReadonlyMap<OutlineNode, number>;
  /** The cost of a line for omitted entries at this depth. */
  readonly countLeftOut: (depth: number) => number;
  readonly all: number;
}

async function partsOf(root: OutlineNode): Promise<Parts> {
  const count = await loadTokenCounter();
  const pace = new Pace();
  const drawn: { readonly node: OutlineNode; readonly path: string }[] = [];
  const byPath = new Map<string, OutlineNode>();
  const places = new Map<OutlineNode, number>();
  const parents = new Map<OutlineNode, OutlineNode>();
  for (const child of root.children.values()) parents.set(child, root);
  for (const one of walk(root)) {
    byPath.set(one.path, one.node);
    places.set(one.node, drawn.push(one) - 1);
    for (const child of one.node.children.values()) parents.set(child, one.node);
    if (pace.due) await pace.pause();
  }
  const sorted = await sortInSlices(drawn, (a, b) => compareBytes(a.path, b.path), pace);
  const nodes: OutlineNode[] = [];
  const numbers = new Map<string, number>();
  const folders: { readonly path: string; readonly nodes: OutlineNode[] }[] = [];
  const folderNumbers = new Int32Array(sorted.length);
  for (const { node, path } of sorted) {
    const folder = folderOf(path);
    const number = numbers.get(folder) ?? folders.push({ path: folder, nodes: [] }) - 1;
    numbers.set(folder, number);
    folders[number]?.nodes.push(node);
    folderNumbers[nodes.push(node) - 1] = number;
    if (pace.due) await pace.pause();
  }
  const costs = await costsOf(nodes, count);
  const leftOutCosts: number[] = [];
  return {
    count,
    nodes,
    byPath,
    folders,
    folderOf: folderNumbers,
    costs,
    descriptions: new Map(),
    parents,
    places,
    countLeftOut(depth) {
      const known = leftOutCosts[depth] ?? count(`${formatLeftOut(depth, 1000)}\n`);
      leftOutCosts[depth] = known;
      return known;
    },
    all: [...costs.values()].reduce((sum, cost) => sum + cost, 0),
  };
}

/** The cost of each line without a description. Paths and symlink targets have at most 4095 bytes. */
async function costsOf(nodes: readonly OutlineNode[], count: TokenCounter): Promise<ReadonlyMap<OutlineNode, number>> {
  const costs = new Map<OutlineNode, number>();
  const pace = new Pace();
  for (const node of nodes) {
    costs.set(node, count(`${lineOf(node, false)}\n`));
    if (pace.due) await pace.pause();
  }
  return costs;
}

async function drawView(root: OutlineNode, parts: Parts, home: string, budget: number): Promise<string> {
  const { descriptions, all } = parts;
  const purse = new Purse(all <= budget ? budget : Math.floor(budget * 0.75));
  const named = selectNearest(root, parts, walkNearest(home, parts), purse);
  purse.left += budget - purse.given;
  const described = new Set<OutlineNode>();
  for (const node of named) {
    const cost = descriptions.get(node) ?? (await countDescription(node, parts, purse.left));
    if (!purse.pay(cost)) break;
    descriptions.set(node, cost);
    described.add(node);
  }
  return drawSome(root, named, described, parts);
}

/** The cost of a description. If it is above `most`, the result is any number above that. */
async function countDescription(node: OutlineNode, { count }: Parts, most: number): Promise<number> {
  const plain = count(lineOf(node, false));
  return (await countTokens(lineOf(node, true), { most: most + plain })) - plain;
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

/** Selects names within the budget. A directory reserves its line for omitted entries until it is complete. */
function selectNearest(
  root: OutlineNode,
  { costs, parents, countLeftOut }: Parts,
  nodes: Iterable<OutlineNode>,
  purse: Purse,
): ReadonlySet<OutlineNode> {
  const missing = new Map<OutlineNode, number>();
  const named = new Set<OutlineNode>();
  purse.pay(countLeftOut(0));
  for (const node of nodes) {
    const parent = parents.get(node) ?? root;
    const leftOfParent = (missing.get(parent) ?? parent.children.size) - 1;
    const refund = leftOfParent === 0 ? countLeftOut(parent.depth + 1) : 0;
    const cost = (costs.get(node) ?? 0) + (node.children.size > 0 ? countLeftOut(node.depth + 1) : 0);
    if (!purse.pay(cost - refund)) break;
    missing.set(parent, leftOfParent);
    named.add(node);
  }
  return named;
}

async function plant(entries: readonly TreeEntry[], pace: Pace): Promise<OutlineNode> {
  const root = createNode("", -1);
  for (const entry of entries) {
    if (pace.due) await pace.pause();
    const { path, type } = entry;
    if (type === "other" || path === "/") continue;
    let node = root;
    for (const name of path.split("/").slice(1)) {
      const child = node.children.get(name) ?? createNode(name, node.depth + 1);
      node.children.set(name, child);
      node = child;
    }
    node.entry ??= entry;
  }
  await sortChildren(root, pace);
  for (const { node } of walk(root)) await sortChildren(node, pace);
  return root;
}

function createNode(name: string, depth: number): OutlineNode {
  return { name, entry: undefined, depth, children: new Map() };
}

/** In byte order of the names, which is the order of `comparePaths`. */
async function sortChildren({ children }: OutlineNode, pace: Pace): Promise<void> {
  if (pace.due) await pace.pause();
  if (children.size < 2) return;
  const sorted = await sortInSlices([...children.values()], (a, b) => compareBytes(a.name, b.name), pace);
  children.clear();
  for (const child of sorted) children.set(child.name, child);
}

function* walk(node: OutlineNode, path = ""): Generator<{ readonly node: OutlineNode; readonly path: string }> {
  for (const child of node.children.values()) {
    const below = `${path}/${child.name}`;
    yield { node: child, path: below };
    yield* walk(child, below);
  }
}

/** Yields directories before their entries, so that any prefix of the sequence is a tree. */
function* walkNearest(
  home: string,
  { nodes, byPath, folders, folderOf: folderNumbers }: Parts,
): Generator<OutlineNode> {
  // A parent directory of the file is as near as the file itself.
  const leading = new Set<OutlineNode>();
  for (const path of ancestorsOf(home)) {
    const node = byPath.get(path);
    if (node === undefined) continue;
    leading.add(node);
    yield node;
  }
  const far = folders.map(({ path }) => distance(home, path));
  // Usually only the nearest entries fit, so the others are sorted only when needed.
  for (const rank of [...new Set(far)].sort((a, b) => a - b)) {
    const only = far.indexOf(rank) === far.lastIndexOf(rank) ? folders[far.indexOf(rank)] : undefined;
    const among = only?.nodes ?? nodes;
    for (const [at, node] of among.entries()) {
      if (only === undefined && far[folderNumbers[at] ?? 0] !== rank) continue;
      if (!leading.has(node)) yield node;
    }
  }
}

/** The path of directories from a child of the root down to this directory. */
function ancestorsOf(home: string): readonly string[] {
  const ways: string[] = [];
  for (let at = home; at !== "/"; at = folderOf(at)) ways.unshift(at);
  return ways;
}

async function drawAll(root: OutlineNode, pace: Pace): Promise<string> {
  const lines: string[] = [];
  for (const { node } of walk(root)) {
    lines.push(lineOf(node, true));
    if (pace.due) await pace.pause();
  }
  return lines.join("\n");
}

/** Visits only the named entries, because the tree may be a hundred times larger. */
function drawSome(
  root: OutlineNode,
  named: ReadonlySet<OutlineNode>,
  described: ReadonlySet<OutlineNode>,
  parts: Parts,
): string {
  const { parents, places } = parts;
  const left = new Map<OutlineNode, number>([[root, root.children.size]]);
  for (const node of named) left.set(node, node.children.size);
  for (const node of named) {
    const parent = parents.get(node) ?? root;
    left.set(parent, (left.get(parent) ?? 0) - 1);
  }
  const lines: string[] = [];
  /** The open directories, the innermost last. */
  const open = [root];
  const closeTo = (depth: number) => {
    for (let last = open.at(-1); last !== undefined && last.depth >= depth; last = open.at(-1)) {
      const missing = left.get(last) ?? 0;
      if (missing > 0) lines.push(formatLeftOut(last.depth + 1, missing));
      open.pop();
    }
  };
  for (const node of [...named].sort((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0))) {
    closeTo(node.depth);
    lines.push(lineOf(node, described.has(node)));
    open.push(node);
  }
  closeTo(root.depth);
  return lines.join("\n");
}

function lineOf(node: OutlineNode, described: boolean): string {
  const known = described ? node.described : node.plain;
  if (known !== undefined) return known;
  const text = formatLine(node, described);
  if (described) node.described = text;
  else node.plain = text;
  return text;
}

function formatLine({ name, entry, depth, children }: OutlineNode, described: boolean): string {
  const directory = entry?.type === "directory" || children.size > 0;
  const target = entry?.type === "symlink" ? ` -> ${printable(entry.target ?? "?")}` : "";
  const words = described && entry?.description ? ` — ${entry.description.replace(/\s+/g, " ").trim()}` : "";
  return `${indent(depth)}${printable(name)}${directory ? "/" : ""}${target}${words}`;
}

function formatLeftOut(depth: number, count: number): string {
  return `${indent(depth)}… (${count} more)`;
}

function indent(depth: number): string {
  return "  ".repeat(depth);
}
