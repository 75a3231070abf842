/** Copies those extended attributes of a file on disk that mean the same in a tree. */
import { checkSetting, OURS, SETTINGS } from "../attributes.ts";
import { FsError } from "../errno.ts";
import { getxattr, listxattr } from "../libc.ts";
import type { Inode } from "../tree/inode.ts";
import { isAcl, setAcl } from "../tree/permissions/acl.ts";
import { setXattr } from "../tree/xattrs.ts";

const USER = "user.";

/**
 * Attributes of programs (user.*), access control lists, and a user's settings for a file (description, prompt and so
 * on), but not what an earlier mount stored about its content. All others belong to the machine.
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
      // The value is invalid here.
      if (!(error instanceof FsError)) throw error;
    }
  }
}

/** Empty if the filesystem does not support attributes, or this user may not read them. */
function namesOf(path: Buffer): readonly string[] {
  try {
    return listxattr(path);
  } catch {
    return [];
  }
}
