/**
 * Nodeids: the numbers by which the kernel identifies inodes.
 *
 * Every entry reply gives the kernel a nodeid and counts as one lookup; FORGET returns lookups. While the count is
 * above zero the kernel may ask about the nodeid at any time, so the inode is held. Nodeids are inode numbers, which
 * are never reused in the life of a mount.
 *
 * A file handle (name_to_handle_at(2), NFS) identifies an inode by nodeid and generation as long as the inode lives,
 * even if the kernel has forgotten it; the kernel then looks up "." in it (fs/fuse/inode.c:fuse_get_dentry()). All
 * inodes of a mount have the same generation, so that a handle of an earlier mount is stale in a later one, whose inode
 * numbers start again.
 */
import { FsError } from "../errno.ts";
import { Directory } from "../tree/directory.ts";
import { RegularFile } from "../tree/file.ts";
import type { Inode } from "../tree/inode.ts";
import type { Tree } from "../tree/tree.ts";

export class Nodes {
  readonly #tree: Tree;
  readonly #generation: number;
  /** Inodes outside the tree that the kernel knows: the control directory and its files. They are never disposed of. */
  readonly #others = new Map<number, Inode>();
  /** Lookups that the kernel has not returned of inodes that no longer exist. */
  readonly #abandoned = new Map<number, number>();
  #size = 0;

  constructor(tree: Tree, generation: number) {
    this.#tree = tree;
    this.#generation = generation;
    // The kernel knows the root without a lookup.
    this.remember(tree.root);
  }

  /** The number of inodes that the kernel knows. */
  get size(): number {
    return this.#size;
  }

  /** Throws ESTALE for a nodeid that the kernel never got, or has forgotten. */
  get(nodeid: number): Inode {
    const inode = this.#find(nodeid);
    if (inode === undefined || inode.lookups === 0) throw new FsError("ESTALE", `node ${nodeid} is not known`);
    return inode;
  }

  /** Finds the inode of a file handle, known to the kernel or not. Throws ESTALE for one that has no name. */
  getByHandle(nodeid: number): Inode {
    const inode = this.#find(nodeid);
    if (inode === undefined || (inode.lookups === 0 && inode.nlink === 0)) throw new FsError("ESTALE");
    return inode;
  }

  /** The generation sent with the nodeid. The kernel creates the root itself, with generation 0. */
  generationOf(inode: Inode): number {
    return inode === this.#tree.root ? 0 : this.#generation;
  }

  #find(nodeid: number): Inode | undefined {
    return this.#tree.getInode(nodeid) ?? this.#others.get(nodeid);
  }

  /** Throws ENOTDIR. */
  getDirectory(nodeid: number): Directory {
    const inode = this.get(nodeid);
    if (!(inode instanceof Directory)) throw new FsError("ENOTDIR");
    return inode;
  }

  /** Throws EISDIR, EINVAL. */
  getFile(nodeid: number): RegularFile {
    const inode = this.get(nodeid);
    if (inode instanceof RegularFile) return inode;
    throw new FsError(inode.kind === "directory" ? "EISDIR" : "EINVAL");
  }

  /** Counts one lookup, for an entry that is about to be sent. */
  remember(inode: Inode): void {
    if (inode.lookups++ > 0) return;
    if (this.#tree.getInode(inode.ino) === undefined) this.#others.set(inode.ino, inode);
    this.#size++;
    this.#tree.hold(inode);
  }

  /** Returns lookups. Returns false if the kernel returns more than it got. */
  forget(nodeid: number, count: number): boolean {
    const inode = this.#find(nodeid);
    if (inode === undefined) return this.#forgetAbandoned(nodeid, count);
    if (inode.lookups === 0 || inode === this.#tree.root) return true;
    const left = inode.lookups - count;
    inode.lookups = Math.max(0, left);
    if (left > 0) return true;
    this.#size--;
    this.#tree.drop(inode);
    return left === 0;
  }

  /**
   * Disposes of an inode that the kernel knows: all further requests about it get ESTALE. Precondition: it has no name,
   * and nothing else holds it.
   */
  abandon(inode: Inode): void {
    this.#abandoned.set(inode.ino, inode.lookups);
    inode.lookups = 0;
    this.#tree.drop(inode);
  }

  #forgetAbandoned(nodeid: number, count: number): boolean {
    const lookups = this.#abandoned.get(nodeid);
    if (lookups === undefined) return true;
    if (lookups > count) this.#abandoned.set(nodeid, lookups - count);
    else {
      this.#abandoned.delete(nodeid);
      this.#size--;
    }
    return lookups >= count;
  }

  /**
   * Call this after the unmount, when the kernel forgets all nodes without saying so. Returns how many it had not
   * returned.
   */
  clear(): number {
    const left = this.#size - 1;
    for (const inode of [...this.#tree.inodes(), ...this.#others.values()]) {
      if (inode.lookups === 0) continue;
      inode.lookups = 0;
      this.#tree.drop(inode);
    }
    this.#abandoned.clear();
    this.#size = 0;
    return left;
  }
}
