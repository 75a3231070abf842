/**
 * The tree: inodes, and the operations on names.
 *
 * Synchronous and single-threaded: one JavaScript thread is the lock, so every operation is atomic. It knows no kernel,
 * no model, no clock of its own. Permissions are the kernel's affair (`default_permissions`); what is checked here is
 * what depends on the tree's shape, in Linux's order (as fs/namei.c: may_delete, may_create): the name's length, the
 * directory being alive, existence, type, emptiness.
 *
 * Inodes are counted (`nlink` by dentries, `references` by lookups and open handles) and disposed when both are gone.
 */
import { FsError } from "../errno.ts";
import { Special } from "./device-node.ts";
import { type Dentry, Directory, inheritOwner } from "./directory.ts";
import { RegularFile } from "./file.ts";
import { type Clock, type Inode, type Owner, S_IFCHR, S_ISGID } from "./inode.ts";
import { InodeTable } from "./inode-table.ts";
import { checkTree } from "./invariants.ts";
import { NAME_MAX } from "./path.ts";
import { inheritAcl } from "./permissions/acl.ts";
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
  /** Of the root directory. */
  readonly owner?: Owner;
  readonly mode?: number;
}

export class Tree {
  readonly root: Directory;
  readonly space: Space;
  readonly clock: Clock;
  /** Counts the changes of names: two equal counts, the same names. */
  changes = 0;
  /** Called after each change of a name: what it stood for before, if anything, is not disposed of yet. */
  onNameChange: (directory: Directory, name: string, before: Inode | undefined) => void = () => {};
  /** Called when an inode is disposed of. */
  onDispose: (inode: Inode) => void = () => {};
  #nextIno = ROOT_INO;
  #mtimesKept = 0;
  /** All that are not disposed of. */
  readonly #inodes = new InodeTable();

  constructor(options: TreeOptions) {
    this.clock = options.clock;
    this.space = options.space ?? new Space();
    this.space.takeInode();
    this.root = new Directory(this.#nextIno++, options.mode ?? 0o755, options.owner ?? { uid: 0, gid: 0 }, this.clock);
    this.root.parent = this.root;
    this.#inodes.set(ROOT_INO, this.root);
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Looking
  // ---------------------------------------------------------------------------------------------------------------

  /** Throws ENAMETOOLONG, ENOENT. "." and ".." are answered too. */
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

  /** An inode that is not disposed of, whether it has a name or not. */
  getInode(ino: number): Inode | undefined {
    return this.#inodes.get(ino);
  }

  /** All of them. */
  inodes(): Iterable<Inode> {
    return this.#inodes.values();
  }

  /** Every inode with its path: see walk.ts. */
  walk(from: Directory = this.root, path = "/"): Generator<Walked> {
    return walk(from, path);
  }

  /** One of an inode's paths, as byte strings; undefined when it has none. */
  pathOf(inode: Inode): string | undefined {
    return inode === this.root ? "/" : inode.dentry && this.pathTo(inode.dentry);
  }

  /** The path of this name; undefined when it is in a directory that was removed. */
  pathTo(name: Dentry): string | undefined {
    const names = [name.name];
    for (let at: Inode = name.parent; at !== this.root; ) {
      const { dentry }: { dentry: Dentry | undefined } = at;
      if (dentry === undefined) return undefined;
      names.push(dentry.name);
      at = dentry.parent;
    }
    return `/${names.reverse().join("/")}`;
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Creating
  // ---------------------------------------------------------------------------------------------------------------

  // `umask` is what the mode loses, unless the directory's default ACL decides (see acl.ts). Absent: the mode is exact.

  createFile(directory: Directory, name: string, mode: number, owner: Owner, umask?: number): RegularFile {
    const bits = mode & ~(umask ?? 0);
    const make = (ino: number) => new RegularFile(ino, bits, inheritOwner(directory, owner), this.clock, this.space);
    return this.#applyDefaultAcl(directory, this.#create(directory, name, make), mode, umask);
  }

  mkdir(directory: Directory, name: string, mode: number, owner: Owner, umask?: number): Directory {
    const bits = (mode & ~(umask ?? 0)) | (directory.mode & S_ISGID);
    const make = (ino: number) => new Directory(ino, bits, inheritOwner(directory, owner), this.clock);
    const made = this.#create(directory, name, make);
    made.parent = directory;
    directory.nlink++;
    return this.#applyDefaultAcl(directory, made, mode, umask);
  }

  symlink(directory: Directory, name: string, target: string, owner: Owner): Symlink {
    const pages = symlinkPages(target);
    this.space.takePages(pages);
    try {
      return this.#create(
        directory,
        name,
        (ino) => new Symlink(ino, target, inheritOwner(directory, owner), this.clock),
      );
    } catch (error) {
      this.space.givePages(pages);
      throw error;
    }
  }

  /** A fifo, socket or device node; `mode` carries the type. */
  mknod(directory: Directory, name: string, mode: number, rdev: number, owner: Owner, umask?: number): Special {
    const bits = mode & ~(umask ?? 0);
    const make = (ino: number) => new Special(ino, bits, rdev, inheritOwner(directory, owner), this.clock);
    return this.#applyDefaultAcl(directory, this.#create(directory, name, make), mode, umask);
  }

  /** A file without a name (O_TMPFILE). It lives while somebody holds it, or until it is linked. */
  tmpfile(directory: Directory, mode: number, owner: Owner, umask?: number): RegularFile {
    this.space.takeInode();
    const bits = mode & ~(umask ?? 0);
    const made = new RegularFile(this.#nextIno++, bits, inheritOwner(directory, owner), this.clock, this.space);
    this.#inodes.set(made.ino, made);
    return this.#applyDefaultAcl(directory, made, mode, umask);
  }

  /** Precondition: `inode` is no directory (the kernel answers EPERM before it asks). */
  link(inode: Inode, directory: Directory, name: string): void {
    if (inode.kind === "directory") throw new FsError("EPERM");
    this.#checkMayCreate(directory, name);
    // A file without a name (O_TMPFILE) gets its first.
    if (inode.nlink > 0) this.space.takeLink();
    directory.insert(name, inode);
    if (inode.nlink++ === 0 && inode.kind === "file") inode.named();
    inode.touchCtime(this.clock);
    this.#touch(directory);
    this.#reportNameChange(directory, name, undefined);
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Removing and moving
  // ---------------------------------------------------------------------------------------------------------------

  /** Returns what the name was. */
  unlink(directory: Directory, name: string): Inode {
    const inode = this.#requireInode(directory, name);
    if (inode.kind === "directory") throw new FsError("EISDIR");
    directory.remove(name);
    this.#touch(directory);
    this.#dropName(inode, directory, name);
    return inode;
  }

  /** Returns the directory that the name was. */
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

  /** As renameat2(2). Returns what was replaced, if anything was. */
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
    // A name that is replaced stays at its place for who is reading the directory.
    if (target !== undefined) to.replace(newName, moved);
    else to.insert(newName, moved);
    if (moved.kind === "directory") {
      from.nlink--;
      to.nlink++;
      moved.parent = to;
    }
    if (target?.kind === "directory") to.nlink--;
    if ((flags & RENAME_WHITEOUT) !== 0) {
      const whiteout = new Special(this.#nextIno++, S_IFCHR, 0, inheritOwner(from, owner ?? moved), this.clock);
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

  /** Swaps in another inode under the same name (regenerated content). Precondition: the name is a file's. */
  replace(directory: Directory, name: string, inode: RegularFile): Inode {
    const old = this.#requireInode(directory, name);
    directory.replace(name, inode);
    // Beyond the limit for a moment only: the old one loses the name.
    if (inode.nlink++ > 0) this.space.links++;
    else inode.named();
    this.#touch(directory);
    this.#dropName(old, directory, name);
    return old;
  }

  /** Does work that changes names because somebody looks, and nobody changes anything: directories keep their mtime. */
  keepMtimes<T>(work: () => T): T {
    this.#mtimesKept++;
    try {
      return work();
    } finally {
      this.#mtimesKept--;
    }
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Life and death
  // ---------------------------------------------------------------------------------------------------------------

  hold(inode: Inode, count = 1): void {
    inode.references += count;
  }

  /** Precondition: as many were held. */
  drop(inode: Inode, count = 1): void {
    if (count > inode.references)
      throw new Error(`inode ${inode.ino}: ${count} of ${inode.references} references dropped`);
    inode.references -= count;
    this.#disposeIfGone(inode);
  }

  #create<I extends Inode>(directory: Directory, name: string, make: (ino: number) => I): I {
    this.#checkMayCreate(directory, name);
    this.space.takeInode();
    const inode = make(this.#nextIno++);
    this.#inodes.set(inode.ino, inode);
    directory.insert(name, inode);
    if (inode.kind !== "directory") inode.nlink = 1;
    if (inode.kind === "file") inode.named();
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

  /** As fs/namei.c:may_create() and lookup before it. */
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
    from.remove(name);
    to.remove(newName);
    from.insert(name, target);
    to.insert(newName, moved);
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

  /** One dentry fewer: this name is not the inode's any more. */
  #dropName(inode: Inode, directory: Directory, name: string): void {
    if (inode.kind === "directory") {
      inode.nlink = 0;
      inode.parent = undefined;
    } else if (--inode.nlink > 0) this.space.giveLink();
    else if (inode.kind === "file") inode.unnamed();
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

  /** Throws Error at the first broken invariant. For tests, and for `--debug` at unmount. */
  checkInvariants(): void {
    checkTree(this.walk(), this.space);
  }
}
