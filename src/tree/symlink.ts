/** A symbolic link. */
import { type Clock, InodeBase, type Owner, S_IFLNK } from "./inode.ts";

export class Symlink extends InodeBase {
  readonly kind = "symlink";
  /** Bytes, as a Latin-1 string. */
  readonly target: string;

  constructor(ino: number, target: string, owner: Owner, clock: Clock) {
    super(ino, S_IFLNK | 0o777, owner, clock);
    this.target = target;
  }
}
