/**
 * What the main thread asks about all files. The time for it grows with the tree, so it is done in slices, and other
 * requests are answered in between.
 */
import { ORIGIN } from "../attributes.ts";
import type { FromFilesystem } from "../rpc/messages.ts";
import { type PackedEntries, packOutline } from "../rpc/packed-outline.ts";
import type { TreeEntry } from "../rpc/tree-port.ts";
import { FrozenTree } from "../tree/frozen/frozen-tree.ts";
import { join } from "../tree/path.ts";
import type { Tree } from "../tree/tree.ts";
import type { FsContext } from "./context.ts";
import { isListed } from "./lazy/listings.ts";
import { entryOf } from "./lazy/request.ts";
import type { View } from "./permissions/view.ts";
import { SLICE_MS, type Timers } from "./waiting/timers.ts";

/**
 * Answers a call. Begins at once, and without timers also ends at once. The work must be short between two steps; it yields
 * parts of the answer, or undefined.
 */
export function answerInParts(
  timers: Timers | undefined,
  id: number,
  work: Iterator<unknown>,
  post: (message: FromFilesystem) => void,
  fail: (error: unknown) => void,
): void {
  const until = (timers?.now ?? 0) + SLICE_MS;
  try {
    do {
      const { value, done } = work.next();
      if (done === true) return post({ type: "reply", id, value, inParts: true });
      if (value !== undefined) post({ type: "part", id, part: value });
    } while (timers === undefined || timers.now < until);
  } catch (error) {
    return fail(error);
  }
  timers.schedule(0, () => answerInParts(timers, id, work, post, fail));
}

/** So many entries are packed at once. */
const PACKED_AT_ONCE = 500;

/** The outline for a viewer, as it was at the first step. */
export function* packOutlineFor(
  { tree, listings, authors }: FsContext,
  viewer: number | undefined,
): Generator<PackedEntries | undefined, void> {
  const entries: TreeEntry[] = [];
  for (const entry of drawOutline(tree, authors.viewFor(viewer), listings.enabled)) {
    yield entries.length < PACKED_AT_ONCE ? undefined : packOutline(entries.splice(0));
    if (entry !== undefined) entries.push(entry);
  }
  if (entries.length > 0) yield packOutline(entries);
}

/**
 * The visible entries of the tree as it was at the first step, and undefined after a step that finds none. With `listing`,
 * generators list directories: what they listed is omitted, because it exists only after a program has listed the directory.
 * Entries that programs created there are included.
 */
export function* drawOutline(tree: Tree, view: View, listing: boolean): Generator<TreeEntry | undefined, void> {
  using frozen = new FrozenTree(tree);
  const isVisible = view.createFilter();
  /** The path of the listed directory, with "/" at its end, while its entries are visited. */
  let within: string | undefined;
  for (const entry of frozen.visit()) {
    if (entry === undefined || !isVisible(entry)) {
      yield;
      continue;
    }
    const { path, inode, state, xattrs } = entry;
    if (within !== undefined && !path.startsWith(within)) within = undefined;
    const own = inode.kind === "file" && state === "static";
    const listed = within !== undefined && !own && xattrs?.has(ORIGIN) === true;
    if (listing && inode.kind === "directory" && isListed({ xattrs })) within ??= join(path, "");
    yield path === "/" || listed ? undefined : entryOf(path, inode, entry);
  }
}
