/** Gives an entry on disk the mode, owner, extended attributes and times of an inode of a tree. */
import { chmodSync, lchownSync } from "node:fs";
import { OURS } from "../attributes.ts";
import { codeOf, messageOf } from "../errno.ts";
import { removexattr, setTimes, setxattr } from "../libc.ts";
import type { Inode } from "../tree/inode.ts";
import { ACL_ACCESS, ACL_DEFAULT, isAcl } from "../tree/permissions/acl.ts";

const SET_ID = 0o6000;

export interface AttributeOptions {
  /** Whether to set owners, which only root can. */
  readonly keepOwners: boolean;
  /** Whether files get their setuid and setgid bits. */
  readonly privileges: boolean;
  /** Called for each attribute that is not set. */
  readonly warn: (problem: string) => void;
}

/** Sets everything except the times, which later changes would overwrite. */
export function writeAttributes(path: Buffer, inode: Inode, { keepOwners, privileges, warn }: AttributeOptions): void {
  // A change of the owner clears bits of the mode.
  if (keepOwners) lchownSync(path, inode.uid, inode.gid);
  if (inode.kind === "symlink") return;
  dropInheritedAcl(path, inode, warn);
  const xattrs = [...(inode.xattrs ?? [])];
  // An access control list may make the file read-only. The attributes of llmfs have no meaning outside of a mount.
  const kept = xattrs.filter(([name]) => name.startsWith("user.") && !name.startsWith(OURS));
  for (const [name, value] of [...kept, ...xattrs.filter(([name]) => isAcl(name))]) {
    try {
      setxattr(path, name, value);
    } catch (error) {
      warn(`its attribute ${name} is left out: ${messageOf(error)}`);
    }
  }
  // The same holds for the mode, which agrees with the list.
  const leftOut = privileges || inode.kind !== "file" ? 0 : inode.mode & SET_ID;
  if (leftOut !== 0) warn("its setuid and setgid bits are left out; an archive would have them");
  chmodSync(path, inode.mode & 0o7777 & ~leftOut);
}

/** A new entry takes over the default access control list of its directory. */
function dropInheritedAcl(path: Buffer, inode: Inode, warn: (problem: string) => void): void {
  for (const name of inode.kind === "directory" ? [ACL_ACCESS, ACL_DEFAULT] : [ACL_ACCESS]) {
    if (inode.xattrs?.has(name)) continue;
    try {
      removexattr(path, name);
    } catch (error) {
      if (codeOf(error) !== "EOPNOTSUPP") warn(`its attribute ${name} cannot be removed: ${messageOf(error)}`);
    }
  }
}

export function writeTimes(path: Buffer, inode: Inode): void {
  const { atime, atimeNsec, mtime, mtimeNsec } = inode.times();
  setTimes(path, atime, atimeNsec, mtime, mtimeNsec);
}
