/**
 * The tree's outline on the main thread: fetched again when it has changed, at a limited rate.
 *
 * While a program writes to the tree, each generation may find another outline. Fetching it blocks the filesystem
 * thread for a while, and everything rendered from it is rendered again. So each fetch is followed by a pause, ten
 * times as long as both took, and requests in the meantime share the next fetch. A caller never gets an older outline
 * than one that was announced before its call.
 */
import type { TreeEntry } from "../rpc/tree-port.ts";

export interface Fetched {
  readonly version: number;
  /** Absent: unchanged. */
  readonly entries?: readonly TreeEntry[];
}

export interface OutlineCacheClock {
  now(): number;
  sleep(ms: number): Promise<unknown>;
  /** Resolves when this thread has finished its current work. */
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
  /** The fetch in progress; its result is at least as new as `since`. */
  #coming: { readonly since: number; readonly entries: Promise<readonly TreeEntry[]> } | undefined;
  /** The fetch that starts after the pause. */
  #next: Promise<readonly TreeEntry[]> | undefined;
  #restsUntil = Number.NEGATIVE_INFINITY;

  constructor(fetch: (known: number) => Promise<Fetched>, clock = SYSTEM) {
    this.#fetch = fetch;
    this.#clock = clock;
  }

  /** Notes that an outline with this version, or a later one, exists. */
  noteVersion(version: number): void {
    this.#newest = Math.max(this.#newest, version);
  }

  /** What `get` would resolve with, if nothing has to be fetched. */
  get current(): readonly TreeEntry[] | undefined {
    return this.#known.version === this.#newest ? this.#known.entries : undefined;
  }

  async get(): Promise<readonly TreeEntry[]> {
    if (this.current !== undefined) return this.current;
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
      // The callers that waited for it render first, and that time counts too.
      this.#clock.idle().then(rest);
    }
    this.noteVersion(version);
    return entries ?? this.#known.entries;
  }
}
