/**
 * The index on Redis, in two sorted sets.
 *
 * `<prefix>:labels` has a member for each recording: its label, a zero byte, its key; all with the same score, so that
 * Redis sorts them by their bytes. `<prefix>:written` has the keys with the time when each was written, by the server's
 * clock.
 */
import { messageOf } from "../../../errno.ts";
import { Unreachable } from "../../recording.ts";
import { ALIKE, firstFound, folderOf, type LabelledKey, SAME } from "./label-index.ts";
import type { RedisConnection } from "./redis-connection.ts";

/** How many ages are requested at a time. */
const PAGE = 10_000;
/** How many recordings without an index are read, and how much of each: the label is in one of its first lines. */
const UNINDEXED = 2_000;
const HEAD_BYTES = 1_024;

export interface RedisIndexOptions {
  readonly connection: RedisConnection;
  readonly prefix: string;
  readonly nameOf: (key: string) => string;
  readonly warn: (message: string) => void;
  readonly name: string;
}

export class RedisIndex {
  readonly #options: RedisIndexOptions;
  readonly #labels: string;
  readonly #written: string;
  /** The time of the server, less that of `performance`. */
  #offset: Promise<number> | undefined;
  #warned = false;

  constructor(options: RedisIndexOptions) {
    this.#options = options;
    this.#labels = `${options.prefix}:labels`;
    this.#written = `${options.prefix}:written`;
  }

  /** Notes that it was written. Does not reject: recordings are found without the index. */
  async add({ key, label }: LabelledKey): Promise<void> {
    const { connection } = this.#options;
    await this.#quietly(async () => {
      const now = await this.#now();
      await Promise.all([
        connection.send("ZADD", this.#labels, 0, `${label}\0${key}`),
        connection.send("ZADD", this.#written, Math.round(now), key),
      ]);
    });
  }

  async remove(key: string, label: string | undefined): Promise<void> {
    const { connection } = this.#options;
    await this.#quietly(async () => {
      await Promise.all([
        connection.send("ZREM", this.#written, key),
        label === undefined ? undefined : connection.send("ZREM", this.#labels, `${label}\0${key}`),
      ]);
    });
  }

  /** By key. Recordings that an older version has written get the present as their time. */
  async ages(keys: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const { connection } = this.#options;
    const ages = new Map<string, number>();
    await this.#quietly(async () => {
      const now = await this.#now();
      for (let from = 0; ; from += PAGE) {
        const page = await connection.send("ZRANGE", this.#written, from, from + PAGE - 1, "WITHSCORES");
        if (!Array.isArray(page)) break;
        // Older protocols of Redis have no pairs.
        const flat: unknown[] = page.flat();
        for (let at = 0; at + 1 < flat.length; at += 2)
          ages.set(String(flat[at]), Math.max(0, now - Number(flat[at + 1])));
        if (flat.length < 2 * PAGE) break;
      }
      const unknown = keys.filter((key) => !ages.has(key)).flatMap((key) => [Math.round(now), key]);
      for (let from = 0; from < unknown.length; from += 2 * PAGE) {
        await connection.send("ZADD", this.#written, "NX", ...unknown.slice(from, from + 2 * PAGE));
      }
    });
    return ages;
  }

  /** The names of a few recordings with this label, or with a similar one. */
  async near(label: string): Promise<readonly string[]> {
    let found: readonly string[] = [];
    await this.#quietly(async () => {
      found = await this.#near(label);
    });
    return found;
  }

  #near(label: string): Promise<readonly string[]> {
    const folder = folderOf(label);
    return firstFound(
      () => this.#listWithStart(`${label}\0`, SAME),
      () => (folder === "" ? Promise.resolve([]) : this.#listWithStart(folder, ALIKE)),
      () => this.#listWithStart("", ALIKE),
      () => this.#listUnindexed(label),
    );
  }

  async #listWithStart(start: string, most: number): Promise<readonly string[]> {
    const { connection, nameOf } = this.#options;
    const [from, to] = start === "" ? ["-", "+"] : [`[${start}`, `[${start}\u{10ffff}`];
    const members = await connection.send("ZRANGEBYLEX", this.#labels, from, to, "LIMIT", 0, most);
    const keys = (Array.isArray(members) ? members : []).map((member) => String(member).split("\0").at(-1) ?? "");
    return keys.map(nameOf);
  }

  async #listUnindexed(label: string): Promise<readonly string[]> {
    const { connection, nameOf } = this.#options;
    const names = await connection.scan(nameOf(""), UNINDEXED);
    const heads = await Promise.all(
      names.map((name) => connection.send("GETRANGE", name, 0, HEAD_BYTES - 1).catch(() => "")),
    );
    const withLabel = names.filter((_, at) => String(heads[at]).includes(`\nfor: ${label}\n`));
    return withLabel.length > 0 ? withLabel.slice(0, SAME) : names.slice(0, ALIKE);
  }

  /** Not every user may use the index, and a full server refuses to write it. */
  async #quietly(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const { warn, name } = this.#options;
      if (error instanceof Unreachable && !error.refused) return;
      if (!this.#warned)
        warn(`the index of ${name} cannot be used, so misses are explained less well: ${messageOf(error)}`);
      this.#warned = true;
    }
  }

  async #now(): Promise<number> {
    this.#offset ??= this.#askOffset().catch((error: unknown) => {
      this.#offset = undefined;
      throw error;
    });
    return (await this.#offset) + performance.now();
  }

  async #askOffset(): Promise<number> {
    const reply = await this.#options.connection.time();
    return reply - performance.now();
  }
}
