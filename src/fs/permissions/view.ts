/**
 * What one user may see of the tree: the permission checks of visible-tree.ts and of the outline, which are those that the
 * kernel would make for that user. The kernel itself makes none for what a generator reads through the port.
 */
import { FsError } from "../../errno.ts";
import type { Directory } from "../../tree/directory.ts";
import type { Inode } from "../../tree/inode.ts";
import { join } from "../../tree/path.ts";
import { MAY_EXEC, MAY_READ, mayAccess } from "../../tree/permissions/access.ts";
import type { Credentials } from "../../tree/permissions/credentials.ts";
import type { ResolveOptions } from "../../tree/resolve.ts";
import type { Walked } from "../../tree/walk.ts";
import { groupsOf } from "./groups.ts";

/** Mode bits of a directory in which every user may create names, but only the owner of a name may remove it. */
const FOR_EVERYBODY = 0o1002;

export class View {
  readonly #who: Credentials | undefined;
  readonly #follows: ((owner: number) => boolean) | undefined;

  /**
   * Without a user, everything is visible. `follows`: the owner whose symlinks are followed out of world-writable
   * directories; absent: those of every owner.
   */
  constructor(uid: number | undefined, follows?: (owner: number) => boolean) {
    this.#follows = follows;
    if (uid === undefined) return;
    const groups = groupsOf(uid);
    this.#who = { uid, inGroup: (gid) => groups.has(gid) };
  }

  /**
   * Options for Tree.resolve. It throws EACCES before anything reveals whether a path behind a closed directory exists.
   */
  resolveOptions(path: string, follow: boolean): ResolveOptions {
    return {
      follow,
      beforeSearch: (directory) => this.check(directory, MAY_EXEC, path),
      beforeFollow: (directory, link) => this.#checkLink(directory, link, path),
    };
  }

  /** As fs/namei.c:may_follow_link(). */
  #checkLink(directory: Directory, link: Inode, path: string): void {
    const planted = (directory.mode & FOR_EVERYBODY) === FOR_EVERYBODY && link.uid !== directory.uid;
    if (planted && this.#follows?.(link.uid) === false) {
      throw new FsError("EACCES", `a symlink of user ${link.uid} in a world-writable directory`, { path });
    }
  }

  /**
   * A function that tells, for each entry of a walk in its order, whether it is visible: whether it can be read, in
   * directories that can be read and searched.
   */
  createFilter(): (one: Walked) => boolean {
    let closed: string | undefined;
    return ({ inode, path }) => {
      if (closed !== undefined && path.startsWith(closed)) return false;
      closed = undefined;
      const open = this.mayRead(inode) && (inode.kind !== "directory" || this.maySearch(inode));
      if (!open && inode.kind === "directory") closed = join(path, "");
      return open;
    };
  }

  mayRead(inode: Inode): boolean {
    return this.#may(inode, MAY_READ);
  }

  maySearch(directory: Directory): boolean {
    return this.#may(directory, MAY_EXEC);
  }

  /** Throws EACCES. */
  check(inode: Inode, wanted: number, path: string): void {
    if (!this.#may(inode, wanted)) {
      throw new FsError("EACCES", `user ${this.#who?.uid}, who owns the file to be generated, may not read it`, {
        path,
      });
    }
  }

  #may(inode: Inode, wanted: number): boolean {
    return this.#who === undefined || mayAccess(inode, this.#who, wanted);
  }
}

/** For `MovedNames.currentPaths`: whether names in a directory may be shown. */
export function revealedBy(view: View): (directory: Directory) => boolean {
  return (directory) => view.mayRead(directory) && view.maySearch(directory);
}
