/** Copies the extended attributes of a file of the disk that mean the same in a tree. */
import { checkSetting, OURS, SETTINGS } from "../attributes.ts";
import { FsError } from "../errno.ts";
import { getxattr, listxattr } from "../libc.ts";
import type { Inode } from "../tree/inode.ts";
import { isAcl, setAcl } from "../tree/permissions/acl.ts";
import { setXattr } from "../tree/xattrs.ts";

const USER = "user.";

/**
 * Those of programs (user.*), access control lists, and what a person may have said about a file (its description, prompt
 * and so on), but not what an earlier mount said about its content. The rest belongs to the machine.
 */
export function copyAttributes(path: Buffer, inode: Inode): void {
  for (const name of namesOf(path)) {
    const own = name.startsWith(OURS);
    if (own ? !SETTINGS.has(name) : !name.startsWith(USER) && !isAcl(name)) continue;
    const value = getxattr(path, name);
    if (value === undefined) continue;
    const copy = Uint8Array.from(value);
    try {
      if (own) checkSetting(name, copy);
      if (isAcl(name)) setAcl(inode, name, copy);
      else setXattr(inode, name, copy);
    } catch (error) {
      // A value that means nothing here.
      if (!(error instanceof FsError)) throw error;
    }
  }
}

/** Empty where the filesystem has no attributes, or this user may not read them. */
function namesOf(path: Buffer): readonly string[] {
  try {
    return listxattr(path);
  } catch {
    return [];
  }
}
