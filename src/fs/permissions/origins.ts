/**
 * Rules match paths. On a shared mount, other users may be allowed to rename files of the user who mounted, but must
 * not decide by that which rule generates a file, or with which parts of the path.
 */

import { GENERATOR, ORIGIN } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { Directory } from "../../tree/directory.ts";
import type { Inode } from "../../tree/inode.ts";
import { join } from "../../tree/path.ts";
import type { Tree } from "../../tree/tree.ts";
import { setXattr, XATTR_SIZE_MAX, xattrSpace } from "../../tree/xattrs.ts";
import type { FsCore } from "../core.ts";
import { pathToMake } from "../lazy/request.ts";
import type { Authors } from "./authors.ts";

/** The parts of the mount that it uses. */
interface OriginsContext extends Pick<FsCore, "tree"> {
  readonly authors: Authors;
  readonly onDemandFiles: { readonly enabled: boolean };
}

/**
 * Call this before the names change, and the returned function afterwards: the moved files stay bound to their old
 * paths.
 */
export function keepOrigins(mount: OriginsContext, moved: readonly (Inode | undefined)[], uid: number): () => void {
  const { tree, authors } = mount;
  if (authors.trusts(uid)) return keepNothing;
  const origins = new Map<Inode, string>();
  const note = (inode: Inode) => {
    const path = inode.xattrs?.has(ORIGIN) === true || !isBound(mount, inode) ? undefined : pathOf(tree, inode);
    if (path === undefined) return;
    if (path.length > XATTR_SIZE_MAX) throw new FsError("EPERM", "its path is too long to be kept");
    origins.set(inode, path);
  };
  for (const inode of moved) {
    if (inode !== undefined) note(inode);
    if (inode?.kind === "directory") for (const below of tree.walk(inode, "")) note(below.inode);
  }
  return () => {
    for (const [inode, path] of origins) {
      if (inode.nlink === 0) continue;
      const value = Buffer.from(path, "latin1");
      setXattr(inode, ORIGIN, value);
      tree.space.countXattrs(inode, xattrSpace(ORIGIN, value));
    }
  };
}

function keepNothing(): void {}

/** Whether rules apply to the inode by its path. A static file is not generated until its owner changes that. */
function isBound({ authors, onDemandFiles }: OriginsContext, inode: Inode): boolean {
  if (inode.kind === "file") return inode.state !== "static" && authors.trusts(inode.uid);
  if (inode.kind !== "directory") return false;
  return inode.xattrs?.has(GENERATOR) === true || (onDemandFiles.enabled && authors.trusts(inode.uid));
}

function pathOf(tree: Tree, inode: Inode): string | undefined {
  return inode.kind === "file" ? pathToMake({ tree }, inode) : tree.pathOf(inode);
}

/**
 * Returns the path that rules match for a name in a directory. Undefined if they match nothing there, because the
 * directory belongs to another user, who may have given it any name.
 */
export function rulePathOf(
  { tree, authors }: Pick<OriginsContext, "tree" | "authors">,
  directory: Directory,
  name: string,
): string | undefined {
  if (!authors.shared) {
    const parent = tree.pathOf(directory);
    return parent === undefined ? undefined : join(parent, name);
  }
  if (!authors.trusts(directory.uid)) return undefined;
  const names = [name];
  for (let at = directory; at !== tree.root; ) {
    const origin = at.xattrs?.get(ORIGIN);
    if (origin !== undefined) return [Buffer.from(origin).toString("latin1"), ...names].join("/");
    if (at.dentry === undefined) return undefined;
    names.unshift(at.dentry.name);
    at = at.dentry.parent;
  }
  return `/${names.join("/")}`;
}
