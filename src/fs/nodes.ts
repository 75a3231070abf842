/**
 * Nodeids: the numbers by which the kernel names inodes.
 *
 * Every entry reply tells the kernel a nodeid and counts as one lookup; FORGET gives lookups back. While the count is
 * above zero the kernel may ask about the nodeid at any time, so the inode is held. Nodeids are inode numbers, which are
 * never given twice in the life of a mount.
 *
 * A file handle (name_to_handle_at(2), NFS) names an inode by nodeid and generation for as long as the inode lives, whether
 * the kernel has forgotten it or not; it then asks for "." in it (fs/fuse/inode.c:fuse_get_dentry()). The generation is
 * one number for all inodes of a mount, so that a handle of an earlier mount is stale in a later one, whose numbers begin
 * again.
 */
import { FsError } from "../errno.ts";
import { Directory } from "../tree/directory.ts";
import { RegularFile } from "../tree/file.ts";
import type { Inode } from "../tree/inode.ts";
import type { Tree } from "../tree/tree.ts";

export class Nodes {
  readonly #tree: Tree;
  readonly #generation: number;
  /** Inodes outside the tree that the kernel knows: those of the control directory. They are never disposed of. */
  readonly #others = new Map<number, Inode>();
  /** Lookups that the kernel has not given back of inodes that are gone nevertheless. */
  readonly #abandoned = new Map<number, number>();
  #size = 0;

  constructor(tree: Tree, generation: number) {
    this.#tree = tree;
    this.#generation = generation;
    // The kernel knows the root without asking.
    this.remember(tree.root);
  }

  /** How many inodes the kernel knows. */
  get size(): number {
    return this.#size;
  }

  /** Throws ESTALE for a nodeid that the kernel never got, or has forgotten. */
  get(nodeid: number): Inode {
    const inode = this.#find(nodeid);
    if (inode === undefined || inode.lookups === 0) throw new FsError("ESTALE", `node ${nodeid} is not known`);
    return inode;
  }

  /** For a handle: known to the kernel or not. Throws ESTALE for one that has no name any more. */
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

  /** Gives lookups back. Returns false if the kernel gives back more than it got. */
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
   * Lets go of an inode that the kernel knows: whatever it asks about it is ESTALE from here on. Precondition: it has no
   * name, and nobody else holds it.
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

  /** Unmounted: the kernel forgets all without saying so. How many nodes it had not given back. */
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
