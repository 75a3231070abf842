/** The entries of a tree, for people and scripts. */
import type { DetailedEntry } from "../../rpc/tree-port.ts";
import type { Tree } from "../../tree/tree.ts";
import { walkInSteps } from "../../tree/walk.ts";
import { describeEntry } from "../lazy/request.ts";
import { findOutdated } from "../outdated.ts";

/** What tree.json has: every entry but the root, with undefined for a step that yields none. */
export function* listEntries(tree: Tree): Generator<DetailedEntry | undefined> {
  const outdated = yield* findOutdated(tree);
  for (const at of walkInSteps(tree.root, "/"))
    yield at === undefined || at.path === "/" ? undefined : describeEntry(at.path, at.inode, outdated);
}
