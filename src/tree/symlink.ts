/** A symbolic link. */
import { type Clock, InodeBase, type Owner, S_IFLNK } from "./inode.ts";

export class Symlink extends InodeBase {
  /** Bytes, as a Latin-1 string. */
  readonly target: string;

  override get kind(): "symlink" {
    return "symlink";
  }

  constructor(ino: number, target: string, owner: Owner, clock: Clock) {
    super(ino, S_IFLNK | 0o777, owner, clock);
    this.target = target;
  }
}
