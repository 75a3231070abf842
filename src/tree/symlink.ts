/** A symbolic link. */
import { type Clock, defineKind, InodeBase, type Owner, S_IFLNK } from "./inode.ts";

/** The longest target that tmpfs keeps in the inode; a longer one takes a page. */
const SHORT_TARGET = 128;

export class Symlink extends InodeBase {
  /** Bytes, as a Latin-1 string. */
  readonly target: string;

  declare readonly kind: "symlink";
  static {
    defineKind(Symlink.prototype, "symlink");
  }

  constructor(ino: number, target: string, owner: Owner, clock: Clock) {
    super(ino, S_IFLNK | 0o777, owner, clock);
    this.target = target;
  }

  /** The number of pages that it takes. */
  get pages(): number {
    return symlinkPages(this.target);
  }
}

export function symlinkPages(target: string): number {
  return target.length < SHORT_TARGET ? 0 : 1;
}
