/**
 * The tree: inodes, and the operations on names.
 *
 * It is synchronous and single-threaded: the JavaScript thread is the lock, so every operation is atomic. It knows
 * nothing about the kernel or models, and has no clock of its own. The kernel checks permissions
 * (`default_permissions`). The tree checks what depends on its shape, in Linux's order (as fs/namei.c: may_delete,
 * may_create): the name's length, whether the directory still exists, existence, type, emptiness.
 *
 * Inodes are counted (`nlink` for dentries, `references` for lookups and open handles) and disposed of when both are
 * zero.
 */
import { FsError } from "../errno.ts";
import { pathOf, pathTo } from "./dentries.ts";
import { Special } from "./device-node.ts";
import { type Dentry, Directory, inheritOwner } from "./directory.ts";
import { RegularFile } from "./file.ts";
import { type Clock, type Inode, type Owner, S_IFCHR, S_ISGID } from "./inode.ts";
import { InodeTable } from "./inode-table.ts";
import { checkTree } from "./invariants.ts";
import { NAME_MAX } from "./path.ts";
import { inheritAcl } from "./permissions/acl.ts";
import { MovedNames } from "./references/moved-names.ts";
import { type ResolveOptions, resolve } from "./resolve.ts";
import { Space } from "./space.ts";
import { Symlink, symlinkPages } from "./symlink.ts";
import { type Walked, walk } from "./walk.ts";
import { xattrSpace } from "./xattrs.ts";

const ROOT_INO = 1;

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

export interface TreeOptions {
  readonly clock: Clock;
  readonly space?: Space;
  /** The owner of the root directory. */
  readonly owner?: Owner;
  readonly mode?: number;
}

export class Tree {
  readonly root: Directory;
  readonly space: Space;
  readonly clock: Clock;
  /** For references to files by path. The user of the tree notes the moves. */
  readonly movedNames: MovedNames;
  /** Counts changes of names: as long as it is equal, the names are the same. */
  changes = 0;
  /** The number of the next inode; numbers only increase. */
  nextIno = ROOT_INO;
  /** Called after each change of a name. The inode that it referred to before, if any, is not disposed of yet. */
  onNameChange: (directory: Directory, name: string, before: Inode | undefined) => void = () => {};
  /** Called when an inode is disposed of. */
  onDispose: (inode: Inode) => void = () => {};
  #mtimesKept = 0;
  /** All inodes that are not disposed of. */
  readonly #inodes = new InodeTable();

  constructor(options: TreeOptions) {
    this.clock = options.clock;
    this.space = options.space ?? new Space();
    this.space.takeInode();
    this.root = new Directory(this.nextIno++, options.mode ?? 0o755, options.owner ?? { uid: 0, gid: 0 }, this.clock);
    this.root.parent = this.root;
    this.movedNames = new MovedNames(this.root);
    this.#inodes.set(ROOT_INO, this.root);
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Lookups
  // ---------------------------------------------------------------------------------------------------------------

  /** Throws ENAMETOOLONG, ENOENT. Also finds "." and "..". */
  lookup(directory: Directory, name: string): Inode {
    if (name.length > NAME_MAX) throw new FsError("ENAMETOOLONG");
    const dentry = directory.get(name);
    if (dentry !== undefined) return dentry.inode;
    if (name === ".") return directory;
    if (name === "..") return directory.parent ?? directory;
    throw new FsError("ENOENT");
  }

  /** The inode at an absolute path of byte strings. Throws ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG. */
  resolve(path: string, options: ResolveOptions): Inode {
    return resolve(this.root, path, options);
  }

  /** An inode that is not disposed of, with or without a name. */
  getInode(ino: number): Inode | undefined {
    return this.#inodes.get(ino);
  }

  /** All inodes. */
  inodes(): Iterable<Inode> {
    return this.#inodes.values();
  }

  /** Every inode with its path: see walk.ts. */
  walk(from: Directory = this.root, path = "/"): Generator<Walked> {
    return walk(from, path);
  }

  /** One of an inode's paths, as byte strings; undefined if it has none. */
  pathOf(inode: Inode): string | undefined {
    return pathOf(inode);
  }

  /** The path of this name; undefined if it is in a directory that was removed. */
  pathTo(name: Dentry): string | undefined {
    return pathTo(name);
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Creating
  // ---------------------------------------------------------------------------------------------------------------

  // `umask` is removed from the mode, unless the directory's default ACL decides (see acl.ts). Absent: the mode is exact.

  createFile(directory: Directory, name: string, mode: number, owner: Owner, umask?: number): RegularFile {
    const bits = mode & ~(umask ?? 0);
    const inherited = inheritOwner(directory, owner);
    const made = new RegularFile(this.#admit(directory, name), bits, inherited, this.clock, this.space);
    made.noteFirstName();
    this.#add(directory, name, made);
    return this.#applyDefaultAcl(directory, made, mode, umask);
  }

  mkdir(directory: Directory, name: string, mode: number, owner: Owner, umask?: number): Directory {
    const bits = (mode & ~(umask ?? 0)) | (directory.mode & S_ISGID);
    const made = new Directory(this.#admit(directory, name), bits, inheritOwner(directory, owner), this.clock);
    made.parent = directory;
    directory.nlink++;
    this.#add(directory, name, made);
    return this.#applyDefaultAcl(directory, made, mode, umask);
  }

  symlink(directory: Directory, name: string, target: string, owner: Owner): Symlink {
    const pages = symlinkPages(target);
    this.space.takePages(pages);
    try {
      const inherited = inheritOwner(directory, owner);
      return this.#add(directory, name, new Symlink(this.#admit(directory, name), target, inherited, this.clock));
    } catch (error) {
      this.space.givePages(pages);
      throw error;
    }
  }

  /** Creates a fifo, socket or device node; `mode` includes the type. */
  mknod(directory: Directory, name: string, mode: number, rdev: number, owner: Owner, umask?: number): Special {
    const bits = mode & ~(umask ?? 0);
    const made = new Special(this.#admit(directory, name), bits, rdev, inheritOwner(directory, owner), this.clock);
    this.#add(directory, name, made);
    return this.#applyDefaultAcl(directory, made, mode, umask);
  }

  /** Creates an unnamed file (O_TMPFILE). It exists while it is held, or until it is linked. */
  tmpfile(directory: Directory, mode: number, owner: Owner, umask?: number): RegularFile {
    this.space.takeInode();
    const bits = mode & ~(umask ?? 0);
    const made = new RegularFile(this.nextIno++, bits, inheritOwner(directory, owner), this.clock, this.space);
    this.#inodes.set(made.ino, made);
    return this.#applyDefaultAcl(directory, made, mode, umask);
  }

  /** Precondition: `inode` is not a directory (the kernel answers EPERM itself). */
  link(inode: Inode, directory: Directory, name: string): void {
    if (inode.kind === "directory") throw new FsError("EPERM");
    this.#checkMayCreate(directory, name);
    // An unnamed file (O_TMPFILE) gets its first name.
    if (inode.nlink > 0) this.space.takeLink();
    directory.insert(name, inode);
    if (inode.nlink++ === 0 && inode.kind === "file") inode.noteFirstName();
    inode.touchCtime(this.clock);
    this.#touch(directory);
    this.#reportNameChange(directory, name, undefined);
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Removing and moving
  // ---------------------------------------------------------------------------------------------------------------

  /** Returns the inode that the name referred to. */
  unlink(directory: Directory, name: string): Inode {
    const inode = this.#requireInode(directory, name);
    if (inode.kind === "directory") throw new FsError("EISDIR");
    directory.remove(name);
    this.#touch(directory);
    this.#dropName(inode, directory, name);
    return inode;
  }

  /** Returns the directory that the name referred to. */
  rmdir(directory: Directory, name: string): Directory {
    const inode = this.#requireInode(directory, name);
    if (inode.kind !== "directory") throw new FsError("ENOTDIR");
    if (inode.size > 0) throw new FsError("ENOTEMPTY");
    directory.remove(name);
    directory.nlink--;
    this.#touch(directory);
    this.#dropName(inode, directory, name);
    return inode;
  }

  /** As renameat2(2). Returns the replaced inode, if any. */
  rename(from: Directory, name: string, to: Directory, newName: string, flags = 0, owner?: Owner): Inode | undefined {
    const moved = this.#requireInode(from, name);
    if (newName.length > NAME_MAX) throw new FsError("ENAMETOOLONG");
    // As fs/namei.c:do_renameat2().
    if (newName === "" || newName === "." || newName === "..") throw new FsError("EBUSY");
    const target = to.get(newName)?.inode;
    if (target === undefined && to.nlink === 0) throw new FsError("ENOENT");
    if (moved.kind === "directory" && this.#isWithin(to, moved)) throw new FsError("EINVAL");
    if ((flags & RENAME_EXCHANGE) !== 0) {
      if (target === undefined) throw new FsError("ENOENT");
      if (target.kind === "directory" && this.#isWithin(from, target)) throw new FsError("EINVAL");
      if (target !== moved) this.#exchange(from, name, moved, to, newName, target);
      return undefined;
    }
    if (target !== undefined) {
      if ((flags & RENAME_NOREPLACE) !== 0) throw new FsError("EEXIST");
      if (target === moved) return undefined;
      if (target.kind === "directory") {
        if (moved.kind !== "directory") throw new FsError("EISDIR");
        if (target.size > 0) throw new FsError("ENOTEMPTY");
      } else if (moved.kind === "directory") throw new FsError("ENOTDIR");
    }
    if ((flags & RENAME_WHITEOUT) !== 0) this.space.takeInode();
    from.remove(name);
    // A replaced name keeps its position for readers of the directory.
    if (target !== undefined) to.replace(newName, moved);
    else to.insert(newName, moved);
    if (moved.kind === "directory") {
      from.nlink--;
      to.nlink++;
      moved.parent = to;
    }
    if (target?.kind === "directory") to.nlink--;
    if ((flags & RENAME_WHITEOUT) !== 0) {
      const whiteout = new Special(this.nextIno++, S_IFCHR, 0, inheritOwner(from, owner ?? moved), this.clock);
      whiteout.nlink = 1;
      this.#inodes.set(whiteout.ino, whiteout);
      inheritAcl(from, whiteout, 0);
      from.insert(name, whiteout);
    }
    moved.touchCtime(this.clock);
    this.#touch(from);
    this.#touch(to);
    this.#reportNameChange(from, name, moved);
    if (target !== undefined) this.#dropName(target, to, newName);
    else this.#reportNameChange(to, newName, undefined);
    return target;
  }

  /** Replaces the inode of a name (regenerated content). Precondition: the name refers to a file. */
  replace(directory: Directory, name: string, inode: RegularFile): Inode {
    const old = this.#requireInode(directory, name);
    directory.replace(name, inode);
    // Exceeds the limit only for a moment: the old inode loses the name.
    if (inode.nlink++ > 0) this.space.links++;
    else inode.noteFirstName();
    this.#touch(directory);
    this.#dropName(old, directory, name);
    return old;
  }

  /** Does work in which names change although no user changes anything: directories keep their mtime. */
  keepMtimes<T>(work: () => T): T {
    this.#mtimesKept++;
    try {
      return work();
    } finally {
      this.#mtimesKept--;
    }
  }

  // ---------------------------------------------------------------------------------------------------------------
  // References and disposal
  // ---------------------------------------------------------------------------------------------------------------

  hold(inode: Inode, count = 1): void {
    inode.references += count;
  }

  /** Precondition: at least `count` references are held. */
  drop(inode: Inode, count = 1): void {
    if (count > inode.references)
      throw new Error(`inode ${inode.ino}: ${count} of ${inode.references} references dropped`);
    inode.references -= count;
    this.#disposeIfGone(inode);
  }

  /** Makes sure that an inode with this name can be added, and returns its number. */
  #admit(directory: Directory, name: string): number {
    this.#checkMayCreate(directory, name);
    this.space.takeInode();
    return this.nextIno++;
  }

  #add<I extends Inode>(directory: Directory, name: string, inode: I): I {
    this.#inodes.set(inode.ino, inode);
    if (inode.kind !== "directory") inode.nlink = 1;
    directory.insert(name, inode);
    this.#touch(directory);
    this.#reportNameChange(directory, name, undefined);
    return inode;
  }

  #applyDefaultAcl<I extends Inode>(directory: Directory, made: I, mode: number, umask: number | undefined): I {
    if (umask === undefined || directory.xattrs === undefined) return made;
    inheritAcl(directory, made, mode);
    for (const [name, value] of made.xattrs ?? []) this.space.countXattrs(made, xattrSpace(name, value));
    return made;
  }

  /** As fs/namei.c:may_create() and the lookup before it. */
  #checkMayCreate(directory: Directory, name: string): void {
    if (name.length > NAME_MAX) throw new FsError("ENAMETOOLONG");
    if (name === "" || name === "." || name === ".." || directory.get(name) !== undefined) throw new FsError("EEXIST");
    if (directory.nlink === 0) throw new FsError("ENOENT");
  }

  #requireInode(directory: Directory, name: string): Inode {
    if (name.length > NAME_MAX) throw new FsError("ENAMETOOLONG");
    const inode = directory.get(name)?.inode;
    if (inode === undefined) throw new FsError("ENOENT");
    return inode;
  }

  #exchange(from: Directory, name: string, moved: Inode, to: Directory, newName: string, target: Inode): void {
    // Both names keep their positions, because whoever is reading a directory must find them.
    from.replace(name, target);
    to.replace(newName, moved);
    if (moved.kind === "directory") {
      from.nlink--;
      to.nlink++;
      moved.parent = to;
    }
    if (target.kind === "directory") {
      to.nlink--;
      from.nlink++;
      target.parent = from;
    }
    moved.touchCtime(this.clock);
    target.touchCtime(this.clock);
    this.#touch(from);
    this.#touch(to);
    this.#reportNameChange(from, name, moved);
    this.#reportNameChange(to, newName, target);
  }

  /** Whether `directory` is `ancestor` or below it. */
  #isWithin(directory: Directory, ancestor: Directory): boolean {
    for (let at: Directory | undefined = directory; at !== undefined; at = at.parent) {
      if (at === ancestor) return true;
      if (at === this.root) return false;
    }
    return false;
  }

  /** Removes one dentry of the inode. */
  #dropName(inode: Inode, directory: Directory, name: string): void {
    if (inode.kind === "directory") {
      inode.nlink = 0;
      inode.parent = undefined;
    } else if (--inode.nlink > 0) this.space.giveLink();
    else if (inode.kind === "file") inode.noteLastName();
    inode.touchCtime(this.clock);
    this.#reportNameChange(directory, name, inode);
    this.#disposeIfGone(inode);
  }

  #touch(directory: Directory): void {
    return this.#mtimesKept > 0 ? directory.touchCtime(this.clock) : directory.touchMtime(this.clock);
  }

  #reportNameChange(directory: Directory, name: string, before: Inode | undefined): void {
    this.changes++;
    this.onNameChange(directory, name, before);
  }

  #disposeIfGone(inode: Inode): void {
    if (inode.nlink > 0 || inode.references > 0) return;
    if (inode.kind === "file") inode.dispose();
    else if (inode.kind === "symlink") this.space.givePages(inode.pages);
    if (inode.xattrs !== undefined) this.space.countXattrs(inode, Number.NEGATIVE_INFINITY);
    this.space.giveInode();
    this.#inodes.delete(inode.ino);
    this.onDispose(inode);
  }

  /** Throws Error at the first violated invariant. For tests, and for `--debug` at unmount. */
  checkInvariants(): void {
    checkTree(this.walk(), this.space);
  }
}
