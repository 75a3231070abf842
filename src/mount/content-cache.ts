/**
 * The contents of static files on the main thread. Each is sent once, and again after a write. Requests for hundreds of
 * files show a model the same few neighbouring files.
 */
import type { StaticContent, StaticsRequest } from "../rpc/messages.ts";

export type Contents = readonly (Uint8Array | undefined)[];

/** Maximum size of the cache, in bytes. Beyond it, everything is sent again. */
const MOST_BYTES = 32 << 20;

interface CachedContents {
  readonly since: number;
  readonly limit: number;
  readonly contents: Promise<Contents>;
}

export class ContentCache {
  readonly #fetch: (request: StaticsRequest) => Promise<readonly StaticContent[]>;
  readonly #most: number;
  readonly #byIno = new Map<number, Uint8Array>();
  #bytes = 0;
  /** Incremented when the cache was emptied, so that the other thread sends contents again. */
  #epoch = 1;
  /** The latest version of the contents known to exist. */
  #newest = 0;
  #lists = new WeakMap<readonly string[], CachedContents>();

  constructor(fetch: (request: StaticsRequest) => Promise<readonly StaticContent[]>, mostBytes = MOST_BYTES) {
    this.#fetch = fetch;
    this.#most = mostBytes;
  }

  /** Notes a version of the contents. A write happened at the latest with this version. */
  noteVersion(version: number): void {
    this.#newest = Math.max(this.#newest, version);
  }

  /** See TreePort.readStatics. */
  get(paths: readonly string[], limit: number): Promise<Contents> {
    const known = this.#lists.get(paths);
    if (known?.since === this.#newest && known.limit === limit) return known.contents;
    const contents = this.#fetchContents(paths, limit);
    this.#lists.set(paths, { since: this.#newest, limit, contents });
    contents.catch(() => this.#lists.delete(paths));
    return contents;
  }

  async #fetchContents(paths: readonly string[], limit: number): Promise<Contents> {
    const found = await this.#fetch({ paths, limit, epoch: this.#epoch });
    for (const { ino, bytes } of found) {
      if (bytes === undefined) continue;
      this.#bytes += bytes.length - (this.#byIno.get(ino)?.length ?? 0);
      this.#byIno.set(ino, bytes);
    }
    const contents = found.map(({ ino }) => this.#byIno.get(ino));
    // The cache was emptied between the request and the reply.
    if (found.some(({ ino }, index) => ino !== 0 && contents[index] === undefined))
      return this.#fetchContents(paths, limit);
    if (this.#bytes > this.#most) {
      this.#byIno.clear();
      this.#bytes = 0;
      this.#epoch += 1;
      this.#lists = new WeakMap();
    }
    return contents;
  }
}
