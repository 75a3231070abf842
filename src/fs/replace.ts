/** Puts another content under all the names of a file: as a new inode, so that whoever has the old one open keeps it. */
import { FsError } from "../errno.ts";
import { dentriesOf } from "../tree/dentries.ts";
import type { Dentry } from "../tree/directory.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Tree } from "../tree/tree.ts";
import type { ArrivedContent } from "./attempts.ts";
import { fill, keepMetadata } from "./pending.ts";

const METADATA = "user.llmfs.meta.";

/** The new inode: owner, mode and attributes are the old one's. Throws ESTALE, ENOSPC; all is as it was then. */
export function replaceContent(tree: Tree, current: RegularFile, content: ArrivedContent): RegularFile {
  const fresh = tree.tmpfile(dentryOf(current).parent, current.mode & 0o7777, current);
  tree.hold(fresh);
  try {
    fill(fresh, content);
    fresh.uid = current.uid;
    fresh.gid = current.gid;
    fresh.mode = current.mode;
    // What was said of the old content does not hold for the new one.
    const kept = [...(current.xattrs ?? [])].filter(([name]) => !name.startsWith(METADATA));
    if (kept.length > 0) fresh.xattrs = new Map(kept);
    fresh.state = "ready";
    keepMetadata(fresh, content);
    rename(tree, current, fresh);
    return fresh;
  } finally {
    tree.drop(fresh);
  }
}

/** Every name of the one becomes a name of the other. The old one must be held by somebody to outlive it. */
export function rename(tree: Tree, from: RegularFile, to: RegularFile): void {
  for (const { parent, name } of dentriesOf(from)) tree.replace(parent, name, to);
}

/** One of the file's names. Throws ESTALE for one that has none any more. */
function dentryOf(file: RegularFile): Dentry {
  if (file.dentry === undefined) throw new FsError("ESTALE", "the file has no name any more");
  return file.dentry;
}
