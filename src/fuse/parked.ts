/** Requests that wait for their answer, and what is known about each. */
import type { Header, OpName } from "./ops.ts";

interface ParkedRequest<Row> {
  readonly row: Row;
  readonly nodeid: number;
  /** The thread that sent it; 0 if its process namespace is not ours or below ours. */
  readonly thread: number;
  /** When it was parked, by performance.now(). */
  readonly since: number;
}

/** `Row` is the type of the request's row in the operation table. */
export class ParkedRequests<Row extends { readonly name: OpName }> {
  readonly #byUnique = new Map<number, ParkedRequest<Row>>();
  /** The number of parked lookups in each directory. */
  readonly #lookups = new Map<number, number>();

  get size(): number {
    return this.#byUnique.size;
  }

  add({ unique, nodeid, pid }: Header, row: Row): void {
    this.#byUnique.set(unique, { row, nodeid, thread: pid, since: performance.now() });
    if (row.name === "lookup") this.#lookups.set(nodeid, (this.#lookups.get(nodeid) ?? 0) + 1);
  }

  /** The request that has waited longest: a Map keeps the order in which they were parked. */
  get oldest(): { readonly unique: number; readonly since: number } | undefined {
    for (const [unique, { since }] of this.#byUnique) return { unique, since };
    return undefined;
  }

  get(unique: number): ParkedRequest<Row> | undefined {
    return this.#byUnique.get(unique);
  }

  /** Removes a request that is about to be answered. */
  take(unique: number): Row | undefined {
    const parked = this.#byUnique.get(unique);
    if (parked === undefined) return undefined;
    this.#byUnique.delete(unique);
    const { row, nodeid } = parked;
    if (row.name !== "lookup") return row;
    const left = (this.#lookups.get(nodeid) ?? 0) - 1;
    if (left > 0) this.#lookups.set(nodeid, left);
    else this.#lookups.delete(nodeid);
    return row;
  }

  /** Whether a lookup in this directory is parked. */
  hasLookup(nodeid: number): boolean {
    return this.#lookups.has(nodeid);
  }
}
