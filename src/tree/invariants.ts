/** The invariants between the inodes of a tree. Each kind of inode checks its own. */

import { FILE_STATES } from "./content/file-state.ts";
import { PAGE } from "./content/store.ts";
import { dentriesOf } from "./dentries.ts";
import type { Dentry } from "./directory.ts";
import type { Inode } from "./inode.ts";
import { NAME_MAX } from "./path.ts";
import type { Space } from "./space.ts";

/** Throws Error at the first broken invariant. */
export function checkTree(entries: Iterable<{ readonly path: string; readonly inode: Inode }>, space: Space): void {
  const links = new Map<Inode, number>();
  const names = new Map<Inode, Set<Dentry>>();
  let pages = 0;
  let further = 0;
  const states: Space["files"] = { static: 0, pending: 0, generating: 0, ready: 0, failed: 0 };
  for (const { path, inode } of entries) {
    links.set(inode, (links.get(inode) ?? 0) + 1);
    if (inode.references < 0) throw new Error(`${path}: ${inode.references} references`);
    if (inode.kind === "directory") {
      inode.checkInvariants();
      let subdirectories = 0;
      for (const dentry of inode.entries()) {
        const { name, inode: child } = dentry;
        names.set(child, (names.get(child) ?? new Set()).add(dentry));
        if (name.length > NAME_MAX || name === "" || name.includes("/")) throw new Error(`${path}: the name ${name}`);
        if (child.kind !== "directory") continue;
        subdirectories++;
        if (child.parent !== inode) throw new Error(`${path}/${name}: its parent is another`);
      }
      if (inode.nlink !== 2 + subdirectories) throw new Error(`${path}: nlink ${inode.nlink}, ${subdirectories} below`);
    }
  }
  for (const [inode, dentries] of names) {
    const known = dentriesOf(inode);
    if (known.length !== dentries.size || known.some((dentry) => !dentries.has(dentry)))
      throw new Error(`inode ${inode.ino}: ${dentries.size} names, ${known.length} known`);
  }
  for (const [inode, count] of links) {
    if (inode.kind === "directory") {
      if (count !== 1) throw new Error(`directory ${inode.ino}: ${count} names`);
      continue;
    }
    further += count - 1;
    if (inode.kind === "symlink") pages += inode.pages;
    if (inode.nlink !== count) throw new Error(`inode ${inode.ino}: nlink ${inode.nlink}, ${count} names`);
    if (inode.kind !== "file") continue;
    inode.checkInvariants();
    states[inode.state]++;
    pages += inode.allocated / PAGE;
  }
  const { usedPages } = space;
  if (pages > usedPages) throw new Error(`${pages} pages in the tree, ${usedPages} counted`);
  if (further !== space.links) throw new Error(`${further} further names in the tree, ${space.links} counted`);
  if (links.size > space.inodes) throw new Error(`${links.size} inodes in the tree, ${space.inodes} counted`);
  for (const state of FILE_STATES) {
    const [found, counted] = [states[state], space.files[state]];
    if (found !== counted) throw new Error(`${found} files in the tree are ${state}, ${counted} counted`);
  }
}
