/** Gives an entry on disk the mode, owner, extended attributes and times of an inode of a tree. */
import { chmodSync, lchownSync } from "node:fs";
import { OURS } from "../attributes.ts";
import { messageOf } from "../errno.ts";
import { setTimes, setxattr } from "../libc.ts";
import type { Inode } from "../tree/inode.ts";
import { isAcl } from "../tree/permissions/acl.ts";

export interface AttributeOptions {
  /** Whether to set owners, which only root can. */
  readonly keepOwners: boolean;
  /** Called for each attribute that could not be set. */
  readonly warn: (problem: string) => void;
}

/** Sets everything except the times, which later changes would overwrite. */
export function writeAttributes(path: Buffer, inode: Inode, { keepOwners, warn }: AttributeOptions): void {
  // A change of the owner clears bits of the mode.
  if (keepOwners) lchownSync(path, inode.uid, inode.gid);
  if (inode.kind === "symlink") return;
  chmodSync(path, inode.mode & 0o7777);
  for (const [name, value] of inode.xattrs ?? []) {
    // The attributes of llmfs have no meaning outside of a mount.
    if (name.startsWith(OURS) || !(name.startsWith("user.") || isAcl(name))) continue;
    try {
      setxattr(path, name, value);
    } catch (error) {
      warn(`its attribute ${name} is left out: ${messageOf(error)}`);
    }
  }
}

export function writeTimes(path: Buffer, inode: Inode): void {
  const { atime, atimeNsec, mtime, mtimeNsec } = inode.times();
  setTimes(path, atime, atimeNsec, mtime, mtimeNsec);
}
