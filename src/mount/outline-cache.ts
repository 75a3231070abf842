/**
 * The tree's layout as the main thread knows it: fetched again when it has changed, at a limited rate.
 *
 * A tree that somebody writes to has another layout with every file that generating looks at. Fetching it stops the
 * filesystem's thread for a while, and everything rendered from it is rendered again. So after each fetch there is a rest, ten
 * times as long as both took; requests in the meantime get the next fetch. Nobody gets an older layout than the
 * one told of before he asked.
 */
import type { TreeEntry } from "../rpc/tree-port.ts";

export interface Fetched {
  readonly version: number;
  /** Absent: as before. */
  readonly entries?: readonly TreeEntry[];
}

export interface OutlineCacheClock {
  now(): number;
  sleep(ms: number): Promise<unknown>;
  /** When this thread has done what it was given to do. */
  idle(): Promise<unknown>;
}

const SYSTEM: OutlineCacheClock = {
  now: () => performance.now(),
  sleep: (ms) => Bun.sleep(ms),
  idle: () => Bun.sleep(0),
};
const REST = 10;
const LONGEST_REST_MS = 2000;

export class OutlineCache {
  readonly #fetch: (known: number) => Promise<Fetched>;
  readonly #clock: OutlineCacheClock;
  #known: Required<Fetched> = { version: -1, entries: [] };
  /** The latest version known to exist. */
  #newest = 0;
  /** On its way; what it brings is `since` or newer. */
  #coming: { readonly since: number; readonly entries: Promise<readonly TreeEntry[]> } | undefined;
  /** To be fetched when the rest is over. */
  #next: Promise<readonly TreeEntry[]> | undefined;
  #restsUntil = Number.NEGATIVE_INFINITY;

  constructor(fetch: (known: number) => Promise<Fetched>, clock = SYSTEM) {
    this.#fetch = fetch;
    this.#clock = clock;
  }

  /** There is a layout with this version, or with a later one. */
  noteVersion(version: number): void {
    this.#newest = Math.max(this.#newest, version);
  }

  async get(): Promise<readonly TreeEntry[]> {
    if (this.#known.version === this.#newest) return this.#known.entries;
    if (this.#coming?.since === this.#newest) return this.#coming.entries;
    if (this.#next !== undefined) return this.#next;
    const rest = this.#restsUntil - this.#clock.now();
    if (rest <= 0) return this.#beginFetch();
    this.#next = this.#clock.sleep(rest).then(() => {
      this.#next = undefined;
      return this.#beginFetch();
    });
    return this.#next;
  }

  #beginFetch(): Promise<readonly TreeEntry[]> {
    const entries = this.#fetchOutline();
    const coming = { since: this.#newest, entries };
    this.#coming = coming;
    const finish = () => {
      if (this.#coming === coming) this.#coming = undefined;
    };
    entries.then(finish, finish);
    return entries;
  }

  async #fetchOutline(): Promise<readonly TreeEntry[]> {
    const begun = this.#clock.now();
    const { version, entries } = await this.#fetch(this.#known.version);
    if (entries !== undefined && version > this.#known.version) {
      this.#known = { version, entries };
      const rest = () => {
        const now = this.#clock.now();
        this.#restsUntil = now + Math.min(LONGEST_REST_MS, (now - begun) * REST);
      };
      rest();
      // Who waited for it draws first, and that is counted, too.
      this.#clock.idle().then(rest);
    }
    this.noteVersion(version);
    return entries ?? this.#known.entries;
  }
}
