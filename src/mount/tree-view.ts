/** The tree on the main thread's side, as a whole and as single users see it. */

import type { LRUCache } from "lru-cache";
import type { GenerationRequest } from "../rpc/generation.ts";
import type { Methods } from "../rpc/messages.ts";
import { type PackedEntries, unpackOutline } from "../rpc/packed-outline.ts";
import type { TreeEntry, TreePort } from "../rpc/tree-port.ts";
import { Pace } from "../text/pace.ts";
import { ContentCache } from "./content-cache.ts";
import { OutlineCache } from "./outline-cache.ts";

/** Calls a method of the filesystem thread. */
export type CallMethod = <K extends keyof Methods>(
  method: K,
  ...args: Parameters<Methods[K]>
) => Promise<Awaited<ReturnType<Methods[K]>>>;

/** The maximum number of users whose outline is cached. */
const MOST_VIEWERS = 16;

export class TreeViews {
  readonly #call: CallMethod;
  readonly #layout: OutlineCache;
  readonly #statics: ContentCache;
  /** By user. Absent until one is needed, because every mount loads this file. */
  #layouts: LRUCache<number, OutlineCache> | undefined;
  /** The latest version of the outline known to exist. */
  #newest = 0;

  constructor(call: CallMethod) {
    this.#call = call;
    this.#layout = this.#createCache(undefined);
    this.#statics = new ContentCache((request) => call("readStatics", request));
  }

  /** Notes how new the tree is that a request was made from. */
  noteVersions({ layout = 0, contents = 0 }: Pick<GenerationRequest, "layout" | "contents">): void {
    this.#newest = Math.max(this.#newest, layout);
    for (const one of [this.#layout, ...(this.#layouts?.values() ?? [])]) one.noteVersion(layout);
    this.#statics.noteVersion(contents);
  }

  forEverybody(setMaker: TreePort["setMaker"]): TreePort {
    const call = this.#call;
    return {
      outline: () => this.#fetchOutline(undefined),
      layout: () => this.#layout.get(),
      layoutAtOnce: () => this.#layout.current,
      list: (path, requester) => call("list", path, requester),
      stat: (path) => call("stat", path),
      read: (path, requester) => call("read", path, requester),
      readStatic: (path, limit) => call("readStatic", path, limit),
      readStatics: (paths, limit) => this.#statics.get(paths, limit),
      ...(setMaker !== undefined && { setMaker }),
      viewAs: (uid) => this.#forViewer(uid, setMaker),
    };
  }

  #forViewer(viewer: number, setMaker: TreePort["setMaker"]): TreePort {
    const call = this.#call;
    return {
      outline: () => this.#fetchOutline(viewer),
      layout: () => this.#getOutline(viewer),
      layoutAtOnce: () => this.#layouts?.get(viewer)?.current,
      list: (path, requester) => call("list", path, requester, viewer),
      stat: (path) => call("stat", path, viewer),
      read: (path, requester) => call("read", path, requester, viewer),
      readStatic: (path, limit) => call("readStatic", path, limit, viewer),
      // Permissions may change at any time, so nothing is cached.
      readStatics: async (paths, limit) =>
        (await call("readStatics", { paths, limit, epoch: 0, viewer })).map(({ bytes }) => bytes),
      ...(setMaker !== undefined && { setMaker }),
    };
  }

  async #getOutline(viewer: number): Promise<readonly TreeEntry[]> {
    const { LRUCache } = await import("lru-cache");
    this.#layouts ??= new LRUCache({ max: MOST_VIEWERS });
    const known = this.#layouts.get(viewer);
    if (known !== undefined) return known.get();
    const layout = this.#createCache(viewer);
    layout.noteVersion(this.#newest);
    this.#layouts.set(viewer, layout);
    return layout.get();
  }

  #createCache(viewer: number | undefined): OutlineCache {
    return new OutlineCache(async (known) => {
      const { parts, value } = await this.#call("outlineSince", known, viewer);
      return value.version === known ? value : { ...value, entries: await unpack(parts) };
    });
  }

  async #fetchOutline(viewer: number | undefined): Promise<readonly TreeEntry[]> {
    const { parts } = await this.#call("outlineSince", NO_VERSION, viewer);
    return unpack(parts);
  }
}

/** Different from every version. */
const NO_VERSION = -1;

async function unpack(packed: readonly PackedEntries[]): Promise<readonly TreeEntry[]> {
  const pace = new Pace();
  const all: TreeEntry[] = [];
  for (const entries of packed) {
    for (const entry of unpackOutline(entries)) all.push(entry);
    if (pace.due) await pace.pause();
  }
  return all;
}
