/** Who may do what with an inode. The kernel decides that for its own requests; here it is decided in the same way. */

import type { Inode } from "../inode.ts";
import { ACL_ACCESS, aclAllows } from "./acl.ts";
import type { Credentials } from "./credentials.ts";

export const MAY_EXEC = 1;
export const MAY_WRITE = 2;
export const MAY_READ = 4;

/** As fs/namei.c:generic_permission(), with the capabilities of root for uid 0. `want` is a sum of MAY_*. */
export function mayAccess(inode: Inode, who: Credentials, want: number): boolean {
  if (who.uid === 0) return (want & MAY_EXEC) === 0 || inode.kind === "directory" || (inode.mode & 0o111) !== 0;
  const acl = inode.xattrs?.get(ACL_ACCESS);
  // As there, the list is ignored if it grants nothing to anyone but the owner and others.
  if (acl !== undefined && (inode.mode & 0o070) !== 0) return aclAllows(acl, inode, who, want);
  const shift = who.uid === inode.uid ? 6 : who.inGroup(inode.gid) ? 3 : 0;
  return ((inode.mode >> shift) & want) === want;
}
