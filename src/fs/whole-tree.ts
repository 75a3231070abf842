/**
 * What the main thread asks about all files. The time for it grows with the tree, so it is done in slices, and other
 * requests are answered in between.
 */
import { ORIGIN } from "../attributes.ts";
import type { FromFilesystem } from "../rpc/messages.ts";
import { type PackedEntries, packOutline } from "../rpc/packed-outline.ts";
import type { TreeEntry } from "../rpc/tree-port.ts";
import { FrozenTree } from "../tree/frozen/frozen-tree.ts";
import type { FsContext } from "./context.ts";
import { entryOf } from "./lazy/request.ts";
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

/**
 * The tree as it was at the first step. Listed entries are omitted, because they exist only after a program has listed the
 * directory. Entries that programs created there are included.
 */
export function* drawOutline(
  { tree, listings, authors }: FsContext,
  viewer: number | undefined,
): Generator<PackedEntries | undefined, void> {
  using frozen = new FrozenTree(tree);
  const entries: TreeEntry[] = [];
  const isVisible = authors.viewFor(viewer).createFilter();
  let listing: string | undefined;
  for (const entry of frozen.visit()) {
    yield entries.length < PACKED_AT_ONCE ? undefined : packOutline(entries.splice(0));
    if (entry === undefined || !isVisible(entry)) continue;
    const { path, inode, state, xattrs } = entry;
    if (listing !== undefined && !path.startsWith(listing)) listing = undefined;
    const own = inode.kind === "file" && state === "static";
    const reply = listing !== undefined && !own && xattrs?.has(ORIGIN) === true;
    if (path !== "/" && !reply) entries.push(entryOf(path, inode, entry));
    if (inode.kind === "directory" && listings.lists({ xattrs })) listing ??= path === "/" ? path : `${path}/`;
  }
  if (entries.length > 0) yield packOutline(entries);
}
