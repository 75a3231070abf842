/**
 * Why content that exists could not be renewed: the last refresh or regeneration of a file failed, and it keeps the
 * content that it has; or a directory could not be listed. Why a file without content has none is in RegularFile.error.
 */
import type { FsError } from "../errno.ts";
import type { FailedRenewal } from "../rpc/tree-port.ts";
import { printable } from "../text/printable.ts";
import type { Inode } from "../tree/inode.ts";
import type { Tree } from "../tree/tree.ts";

export class FailedRenewals {
  readonly #byInode = new WeakMap<Inode, FailedRenewal>();
  /** Whether anything was ever noted. It never is in most mounts, and then no walk through the tree is needed. */
  #any = false;

  note(inode: Inode, what: FailedRenewal["what"], { code, message }: FsError): void {
    this.#byInode.set(inode, { what, error: printable(`${code}: ${message}`), at: new Date().toISOString() });
    this.#any = true;
  }

  /** Call this when the inode has new content or a new listing, or when its content is another. */
  forget(inode: Inode): void {
    this.#byInode.delete(inode);
  }

  /** A file that a user has written to since needs no renewal. */
  of(inode: Inode): FailedRenewal | undefined {
    return inode.kind === "file" && inode.state !== "ready" ? undefined : this.#byInode.get(inode);
  }

  /** Counts those that have a name. Yields after each short step. */
  *count(tree: Pick<Tree, "inodes">): Generator<undefined, number> {
    let count = 0;
    if (!this.#any) return count;
    for (const inode of tree.inodes()) {
      yield;
      if (this.of(inode) !== undefined) count += 1;
    }
    return count;
  }
}
