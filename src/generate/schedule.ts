/** The order of generating many files: dependencies first, and among the files that are ready, the longest chain first. */
import { createGraph, type Dependent, type GraphNode } from "./depends.ts";

export class Schedule<T extends Dependent> {
  readonly #nodes: readonly GraphNode<T>[];
  /** The number of unfinished dependencies of each file that waits. */
  readonly #missing = new Map<GraphNode<T>, number>();
  readonly #ready = new Heap<{ readonly node: GraphNode<T>; readonly place: number }>(
    (a, b) => a.node.rank > b.node.rank || (a.node.rank === b.node.rank && a.place < b.place),
  );
  readonly #places: ReadonlyMap<GraphNode<T>, number>;
  /** The number of waiting files of each rank, and the highest rank that may have one. */
  readonly #waiting: number[] = [];
  #highest = 0;

  constructor(files: readonly T[]) {
    this.#nodes = createGraph(files);
    this.#places = new Map(this.#nodes.map((node, place) => [node, place]));
    for (const node of this.#nodes) {
      if (node.needs.length === 0) {
        this.#makeReady(node);
        continue;
      }
      this.#missing.set(node, node.needs.length);
      this.#waiting[node.rank] = (this.#waiting[node.rank] ?? 0) + 1;
      this.#highest = Math.max(this.#highest, node.rank);
    }
  }

  /** Takes the next file. Undefined if each file that is left waits for another. */
  take(): GraphNode<T> | undefined {
    return this.#ready.take()?.node;
  }

  /** Whether a file that waits is as urgent as the next one, so that it needs a free slot as soon as it is ready. */
  get hasUrgent(): boolean {
    while (this.#highest > 0 && (this.#waiting[this.#highest] ?? 0) === 0) this.#highest -= 1;
    const next = this.#ready.first;
    return next !== undefined && next.node.rank <= this.#highest;
  }

  /** The file has content, so files that waited for it may be ready. */
  finish(node: GraphNode<T>): void {
    for (const user of node.users) {
      const missing = this.#missing.get(user);
      if (missing === undefined) continue;
      if (missing > 1) this.#missing.set(user, missing - 1);
      else {
        this.#stopWaiting(user);
        this.#makeReady(user);
      }
    }
  }

  /** The file failed. Returns all files that cannot be generated without it. They are not returned by `take`. */
  fail(node: GraphNode<T>): readonly T[] {
    const lost: T[] = [];
    const left = [...node.users];
    for (let one = left.pop(); one !== undefined; one = left.pop()) {
      if (!this.#missing.has(one)) continue;
      this.#stopWaiting(one);
      lost.push(one.file);
      left.push(...one.users);
    }
    return lost;
  }

  #stopWaiting(node: GraphNode<T>): void {
    this.#missing.delete(node);
    this.#waiting[node.rank] = (this.#waiting[node.rank] ?? 0) - 1;
  }

  #makeReady(node: GraphNode<T>): void {
    this.#ready.add({ node, place: this.#places.get(node) ?? 0 });
  }
}

/** A binary heap. */
class Heap<T> {
  readonly #items: T[] = [];
  readonly #isBefore: (a: T, b: T) => boolean;

  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  get first(): T | undefined {
    return this.#items[0];
  }

  add(item: T): void {
    let at = this.#items.push(item) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!this.#swapIfBefore(at, above)) return;
      at = above;
    }
  }

  take(): T | undefined {
    const first = this.#items[0];
    const last = this.#items.pop();
    if (last === undefined || this.#items.length === 0) return first;
    this.#items[0] = last;
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const [one, other] = [this.#items[left], this.#items[right]];
      if (one === undefined) return first;
      const below = other !== undefined && this.#isBefore(other, one) ? right : left;
      if (!this.#swapIfBefore(below, at)) return first;
      at = below;
    }
  }

  /** Swaps two items if the first one belongs before the second. */
  #swapIfBefore(index: number, above: number): boolean {
    const [item, other] = [this.#items[index], this.#items[above]];
    if (item === undefined || other === undefined || !this.#isBefore(item, other)) return false;
    this.#items[index] = other;
    this.#items[above] = item;
    return true;
  }
}
