/**
 * Files that exist only because a program looked: names that generators list or provide on demand, and the contents of
 * such files.
 *
 * Looking requires no write permission, so it must not use up the space of users who write. Such inodes and their
 * contents may take three quarters of the limits (`--inodes`, `--size`). Beyond that they are evicted for each other
 * and for what users write, the least recently used first. An on-demand file is withdrawn, a listed directory becomes
 * unlisted, and a listed file becomes pending. All of that comes back when a program looks again; content from a model
 * comes from its recording. Open files stay. What a user changes (content, mode, attributes, name) belongs to the user
 * from then on.
 *
 * The kernel may remember a withdrawn inode for a while (dcache.ts). If space is short, that is not waited for: the
 * kernel's requests about such an inode are answered with ESTALE, and it looks the name up again.
 */
import { METADATA, REFRESH } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import { PAGE } from "../../tree/content/store.ts";
import type { Directory } from "../../tree/directory.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Inode } from "../../tree/inode.ts";
import type { FsCore } from "../core.ts";
import type { Nodes } from "../nodes.ts";

/** The share of each limit that such entries may use. */
const SHARE = 3 / 4;
/** The share of each limit that is kept free for users by evicting such entries. */
const RESERVE = 1 / 8;
/** Maximum number of entries examined to find one that can be evicted. */
const MOST_TRIES = 64;
/** How long to wait after a search without success before searching again. */
const REST_MS = 100;

/** The parts of the mount that it uses. */
interface RuleEntriesContext extends FsCore {
  readonly nodes: Pick<Nodes, "abandon">;
  readonly listings: { lists(directory: Directory): boolean; unlist(directory: Directory): boolean };
  readonly onDemandFiles: { concerns(directory: Directory, name: string): boolean };
}

export class RuleEntries {
  readonly #mount: () => RuleEntriesContext;
  /** The inodes, with the number of pages of their content. */
  readonly #charged = new Map<Inode, number>();
  #pages = 0;
  /**
   * Entries that can be evicted, least recently used first: on-demand files, files with content, listed directories.
   */
  readonly #used = new Set<RegularFile | Directory>();
  /** Inodes without a name, which are disposed of when the kernel has forgotten or closed them. */
  readonly #nameless = new Set<Inode>();
  #restsUntil = 0;
  /** The write counter when the space was last sufficient. */
  #balanced = -1;

  constructor(mount: () => RuleEntriesContext) {
    this.#mount = mount;
  }

  get size(): number {
    return this.#charged.size;
  }

  /** Makes room for one more inode. Throws ENOSPC. */
  admit(): void {
    const { space } = this.#mount().tree;
    const limit = Math.floor(space.inodeLimit * SHARE);
    while (this.#charged.size >= limit || space.usedInodes >= space.inodeLimit) {
      if (!this.#freeInode())
        throw new FsError("ENOSPC", "files created by generators use all the inodes they may; raise --inodes");
    }
  }

  /** Frees space for `bytes` of content, as far as possible. Never throws. */
  makeRoom(bytes: number): void {
    if (this.#pages === 0) return;
    const { space } = this.#mount().tree;
    while (space.freePages < Math.ceil(bytes / PAGE) && this.#freePages());
  }

  /** Adds an inode that a listing or a lookup created. */
  add(inode: Inode): void {
    this.#charged.set(inode, 0);
  }

  /** Notes that an on-demand file has its name, or that a directory was listed. */
  enter(inode: RegularFile | Directory): void {
    this.#used.add(inode);
  }

  /** Notes that a program looked the inode up or opened it. */
  use(inode: Inode): void {
    if (inode.kind !== "file" && inode.kind !== "directory") return;
    if (this.#used.delete(inode)) this.#used.add(inode);
  }

  /** Notes that the file has content. Throws ENOSPC if that is too much; then the file is pending again. */
  chargeContent(file: RegularFile): void {
    const before = this.#charged.get(file);
    if (before === undefined) return;
    this.#charge(file, file.allocated / PAGE - before);
    this.#used.delete(file);
    const limit = Math.floor(this.#mount().tree.space.pageLimit * SHARE);
    while (this.#pages > limit) {
      if (this.#freePages()) continue;
      this.#clear(file);
      throw new FsError("ENOSPC", "files created by generators use all the space they may; raise --size");
    }
    this.#used.add(file);
  }

  /** A user changed the inode, so it belongs to the user. The entries of a listed directory can still be evicted. */
  claim(inode: Inode): void {
    if (inode.kind === "file") this.#used.delete(inode);
    this.#discharge(inode);
  }

  /** Call this when the inode is being disposed of. */
  onDispose(inode: Inode): void {
    if (inode.kind === "file" || inode.kind === "directory") this.#used.delete(inode);
    this.#discharge(inode);
  }

  #discharge(inode: Inode): void {
    const pages = this.#charged.get(inode);
    if (pages === undefined) return;
    this.#pages -= pages;
    this.#charged.delete(inode);
    this.#nameless.delete(inode);
  }

  /** Call this when the inode has lost its last name. */
  onUnnamed(inode: Inode): void {
    if (this.#charged.has(inode)) this.#nameless.add(inode);
  }

  /** Whether it may be evicted: no user has changed it, has it open, or waits for it. */
  isDisposable(inode: Inode): boolean {
    return this.#charged.has(inode) && inode.references === (inode.lookups > 0 ? 1 : 0);
  }

  /** Call this after a user created an inode, so that there is room for the next one. */
  balanceInodes(): void {
    if (this.#charged.size === 0) return;
    const { space } = this.#mount().tree;
    const most = space.inodeLimit * (1 - RESERVE);
    for (let tries = MOST_TRIES; tries > 0 && space.usedInodes > most; tries--) if (!this.#freeInode()) return;
  }

  /** The same for bytes. Asking the kernel for the usage is expensive, so this runs only when the thread is idle. */
  balancePages(): void {
    const mount = this.#mount();
    if (this.#pages === 0 || this.#balanced === mount.writes) return;
    this.#balanced = mount.writes;
    const { space } = mount.tree;
    const least = space.pageLimit * RESERVE;
    let tries = MOST_TRIES;
    while (tries > 0 && space.freePages < least && this.#freePages()) tries--;
    // What was freed is for users, whose files the kernel may write without asking.
    if (tries < MOST_TRIES) space.trim();
  }

  #charge(file: RegularFile, pages: number): void {
    this.#charged.set(file, (this.#charged.get(file) ?? 0) + pages);
    this.#pages += pages;
  }

  #freeInode(): boolean {
    return this.#search(
      () => true,
      (one) => (one.kind === "directory" ? this.#mount().listings.unlist(one) : this.#withdraw(one)),
    );
  }

  #freePages(): boolean {
    return this.#search(
      (inode) => (this.#charged.get(inode) ?? 0) > 0,
      (one) => one.kind === "file" && one.allocated > 0 && (this.#withdraw(one) || this.#empty(one)),
    );
  }

  /**
   * Evicts an inode without a name, otherwise one with a name. Returns false if nothing can be evicted at the moment.
   */
  #search(wanted: (inode: Inode) => boolean, take: (one: RegularFile | Directory) => boolean): boolean {
    if (performance.now() < this.#restsUntil) return false;
    const found = this.#abandon(wanted) || this.#free(take);
    if (!found) this.#restsUntil = performance.now() + REST_MS;
    return found;
  }

  /** Evicts the least recently used entry that can be; the others are tried again after all the rest. */
  #free(take: (one: RegularFile | Directory) => boolean): boolean {
    for (const one of this.#used.keys().take(Math.min(MOST_TRIES, this.#used.size)).toArray()) {
      this.#used.delete(one);
      if (take(one)) return true;
      this.#used.add(one);
    }
    return false;
  }

  /** Disposes of an inode without a name that only the kernel still remembers. */
  #abandon(wanted: (inode: Inode) => boolean): boolean {
    for (const inode of this.#nameless.keys().take(Math.min(MOST_TRIES, this.#nameless.size)).toArray()) {
      if (wanted(inode) && this.isDisposable(inode)) {
        this.#mount().nodes.abandon(inode);
        return true;
      }
      this.#nameless.delete(inode);
      this.#nameless.add(inode);
    }
    return false;
  }

  /** Returns false for a file that was not created on demand. */
  #withdraw(file: RegularFile): boolean {
    const { tree, listings, onDemandFiles } = this.#mount();
    const { dentry } = file;
    if (dentry === undefined || file.nlink !== 1 || file.state !== "ready" || !this.isDisposable(file)) return false;
    if (listings.lists(dentry.parent) || !onDemandFiles.concerns(dentry.parent, dentry.name)) return false;
    tree.keepMtimes(() => tree.unlink(dentry.parent, dentry.name));
    if (this.#nameless.has(file)) this.#mount().nodes.abandon(file);
    return true;
  }

  /** Empties the file, which is generated again when it is read. */
  #empty(file: RegularFile): boolean {
    const mount = this.#mount();
    if (file.state !== "ready" || !this.isDisposable(file)) return false;
    mount.beforeChange(file);
    this.#clear(file);
    for (const name of [...(file.xattrs?.keys() ?? [])]) {
      if (name.startsWith(METADATA) || name === REFRESH) file.dropXattr(name);
    }
    mount.invalidate(file, true);
    return true;
  }

  #clear(file: RegularFile): void {
    file.truncate(0);
    file.state = "pending";
    this.#charge(file, -(this.#charged.get(file) ?? 0));
  }
}
