/** The entries of a tree, for people and scripts. */
import type { DetailedEntry } from "../../rpc/tree-port.ts";
import { walkInSteps } from "../../tree/walk.ts";
import type { FsCore } from "../core.ts";
import { describeEntry } from "../lazy/request.ts";
import { findOutdated } from "../outdated.ts";

/** What tree.json has: every entry but the root, with undefined for a step that yields none. */
export function* listEntries({
  tree,
  failedRenewals,
}: Pick<FsCore, "tree" | "failedRenewals">): Generator<DetailedEntry | undefined> {
  const outdated = yield* findOutdated(tree);
  for (const at of walkInSteps(tree.root, "/")) {
    const skipped = at === undefined || at.path === "/";
    yield skipped ? undefined : describeEntry(at.path, at.inode, { outdated, failedRenewals });
  }
}
