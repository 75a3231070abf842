/**
 * The names of an inode. Most inodes have one, which the inode itself stores. Further hard links are stored here, so
 * that a million inodes with one name each need no memory for them.
 */
import type { Dentry, Directory } from "./directory.ts";
import type { Inode } from "./inode.ts";

/** Names in addition to `inode.dentry`. Invariant: an inode without `dentry` has none here. */
const further = new WeakMap<Inode, Set<Dentry>>();

/** All names; the one in `inode.dentry` comes first. */
export function dentriesOf(inode: Inode): readonly Dentry[] {
  return inode.dentry === undefined ? [] : [inode.dentry, ...(further.get(inode) ?? [])];
}

/** Call this when the dentry was added, with its inode. */
export function remember(dentry: Dentry): void {
  const { inode } = dentry;
  if (inode.dentry === undefined) inode.dentry = dentry;
  else further.set(inode, (further.get(inode) ?? new Set()).add(dentry));
}

/** Call this when the dentry was removed, or given to another inode. */
export function forget(dentry: Dentry): void {
  const { inode } = dentry;
  const others = further.get(inode);
  if (inode.dentry !== dentry) others?.delete(dentry);
  else {
    const [next] = others ?? [];
    inode.dentry = next;
    if (next !== undefined) others?.delete(next);
  }
  if (others?.size === 0) further.delete(inode);
}

/** The path of this name; undefined if it is in a directory that was removed. */
export function pathTo({ name, parent }: Dentry): string | undefined {
  const names = [name];
  let at: Directory = parent;
  for (; at.dentry !== undefined; at = at.dentry.parent) names.push(at.dentry.name);
  return isRoot(at) ? `/${names.reverse().join("/")}` : undefined;
}

/** A path of this inode; undefined if it has no name any more. */
export function pathOf(inode: Inode): string | undefined {
  if (inode.dentry !== undefined) return pathTo(inode.dentry);
  return isRoot(inode) ? "/" : undefined;
}

function isRoot(inode: Inode): inode is Directory {
  return inode.kind === "directory" && inode.parent === inode;
}
