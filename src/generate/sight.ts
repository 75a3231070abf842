/** What may be shown in a file: the tree, and what is sent of it, as the user sees it for whom the content is composed. */
import { FsError } from "../errno.ts";
import type { TreePort } from "../rpc/tree-port.ts";
import { type ContextMaker, type ContextOptions, createContextMaker } from "./context/context.ts";

export interface Sight {
  readonly tree: TreePort;
  readonly context: ContextMaker;
}

/** As GenerationRequest.viewer. Throws FsError where the tree cannot be seen as a user sees it. */
export type SightOf = (viewer?: number) => Sight;

/** As many users' are kept. */
const MOST_VIEWERS = 16;

export function sightOf(tree: TreePort, options: ContextOptions): SightOf {
  const everything = { tree, context: createContextMaker(tree, options) };
  const users = new Map<number, Sight>();
  return (viewer) => {
    if (viewer === undefined) return everything;
    const known = users.get(viewer);
    if (known !== undefined) return known;
    const view = tree.viewAs?.(viewer);
    // Nothing is better shown than too much.
    if (view === undefined) throw new FsError("EACCES", `what user ${viewer} may read of the tree is not known`);
    const sight = { tree: view, context: createContextMaker(view, { ...options, keptOutOf: tree }) };
    if (users.size >= MOST_VIEWERS) users.clear();
    users.set(viewer, sight);
    return sight;
  };
}
