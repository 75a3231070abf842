/** The parts of the tree that a request may contain: what the user who gets the content is permitted to read. */
import { LRUCache } from "lru-cache";
import { FsError } from "../errno.ts";
import type { TreePort } from "../rpc/tree-port.ts";
import { type ContextMaker, type ContextOptions, createContextMaker } from "./context/context.ts";

export interface Sight {
  readonly tree: TreePort;
  readonly context: ContextMaker;
}

/** `viewer` is GenerationRequest.viewer. Throws FsError if the view of that user is not available. */
export type SightOf = (viewer?: number) => Sight;

/** The number of users whose views are cached. */
const MOST_VIEWERS = 16;

export function sightOf(tree: TreePort, options: ContextOptions): SightOf {
  const everything = { tree, context: createContextMaker(tree, options) };
  const users = new LRUCache<number, Sight>({ max: MOST_VIEWERS });
  return (viewer) => {
    if (viewer === undefined) return everything;
    const known = users.get(viewer);
    if (known !== undefined) return known;
    const view = tree.viewAs?.(viewer);
    // It is better to show nothing than too much.
    if (view === undefined) throw new FsError("EACCES", `cannot determine what user ${viewer} may read`);
    const sight = { tree: view, context: createContextMaker(view, { ...options, keptOutOf: tree }) };
    users.set(viewer, sight);
    return sight;
  };
}
