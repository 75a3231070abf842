/**
 * Rules go by paths. On a shared mount, others may have the permission to rename what the user who mounted has made;
 * which rule it falls under, and with which words of the path, is not for them to say.
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

/** What it uses of the mount. */
interface OriginsContext extends Pick<FsCore, "tree"> {
  readonly authors: Authors;
  readonly onDemandFiles: { readonly enabled: boolean };
}

/** Call it before the names change; what it returns, when they have: what moved stays bound to the path that it had. */
export function keepOrigins(mount: OriginsContext, moved: readonly (Inode | undefined)[], uid: number): () => void {
  const { tree, authors } = mount;
  if (authors.trusts(uid)) return () => {};
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

/** Whether rules go by the path of it. What is static is made by nothing, until its owner says otherwise. */
function isBound({ authors, onDemandFiles }: OriginsContext, inode: Inode): boolean {
  if (inode.kind === "file") return inode.state !== "static" && authors.trusts(inode.uid);
  if (inode.kind !== "directory") return false;
  return inode.xattrs?.has(GENERATOR) === true || (onDemandFiles.enabled && authors.trusts(inode.uid));
}

function pathOf(tree: Tree, inode: Inode): string | undefined {
  return inode.kind === "file" ? pathToMake({ tree }, inode) : tree.pathOf(inode);
}

/**
 * The path that rules go by for a name that is asked for in a directory. Undefined: they make nothing there, because
 * another user has the directory, and may have given it any name.
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
