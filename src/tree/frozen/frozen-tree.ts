/**
 * A tree as it was at one moment, while it keeps changing. It is visited in steps, and other work may change the tree
 * between two steps.
 *
 * Nothing is copied at the beginning, however large the tree is. Until the visit has passed an inode or a directory, the
 * first change of its attributes or of a name is noted, with what was there before. Inodes with higher numbers than the
 * last one of the moment did not exist then.
 *
 * Contents are not kept, only the inodes that have them: see snapshot/write/save.ts.
 */
import type { FsError } from "../../errno.ts";
import type { FileState } from "../content/file-state.ts";
import type { Directory } from "../directory.ts";
import { type Inode, type InodeBase, type Times, type TreeWatcher, watchers } from "../inode.ts";
import { join } from "../path.ts";
import type { Tree } from "../tree.ts";
import { sortInSteps } from "../walk.ts";
import { InodeSet } from "./inode-set.ts";

/** An inode's attributes at the moment. */
export interface FrozenInode {
  readonly inode: Inode;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly times: Times;
  readonly xattrs: ReadonlyMap<string, Uint8Array> | undefined;
  /** "static" for everything that is not a regular file. */
  readonly state: FileState;
  readonly error: FsError | undefined;
  readonly size: number;
}

/** A name at the moment, with the attributes of its inode. */
export interface FrozenEntry extends FrozenInode {
  readonly path: string;
  /** The first path of the same inode, if this is another one. */
  readonly first: string | undefined;
}

/** Names in a directory that have changed, with the inodes they referred to; undefined for those that did not exist. */
type Changes = Map<string, Inode | undefined>;

export class FrozenTree implements TreeWatcher, Disposable {
  readonly #tree: Tree;
  readonly #root: Directory;
  /** Inodes from this number on did not exist. */
  readonly #end: number;
  /** Inodes that were visited, and directories whose entries were all visited. */
  readonly #visited = new InodeSet();
  readonly #complete = new InodeSet();
  /** Attributes that have changed since. */
  readonly #attributes = new Map<Inode, FrozenInode>();
  readonly #changes = new Map<Directory, Changes>();
  /** Inodes that have lost a name since, and are kept from being disposed of. */
  readonly #held = new Set<Inode>();
  /** The first entries of inodes with several names. */
  readonly #firsts = new Map<Inode, FrozenEntry>();

  constructor(tree: Tree) {
    this.#tree = tree;
    this.#root = tree.root;
    this.#end = tree.nextIno;
    watchers.add(this);
  }

  /** The attributes of an inode that was not visited yet, kept from now on. Undefined for any other inode. */
  keep(inode: InodeBase): FrozenInode | undefined {
    if (inode.ino >= this.#end || this.#visited.has(inode.ino)) return undefined;
    const here = this.#tree.getInode(inode.ino);
    if (here === undefined || here !== inode) return undefined;
    const kept = this.#attributes.get(here) ?? capture(here);
    this.#attributes.set(here, kept);
    return kept;
  }

  beforeChange(inode: InodeBase): void {
    this.keep(inode);
  }

  beforeNameChange(directory: Directory, name: string, before: Inode | undefined, after: Inode | undefined): void {
    if (directory.ino >= this.#end || this.#complete.has(directory.ino)) return;
    if (this.#tree.getInode(directory.ino) !== directory) return;
    const [old, other] = [this.#existed(before), this.#existed(after)];
    if (old === undefined && other === undefined) return;
    const changes = this.#changesOf(directory);
    if (!changes.has(name)) changes.set(name, old);
    if (old !== undefined && !this.#visited.has(old.ino)) this.#hold(old);
  }

  #hold(inode: Inode): void {
    if (this.#held.has(inode)) return;
    this.#held.add(inode);
    this.#tree.hold(inode);
  }

  /**
   * Yields every entry, each directory before its entries, names in byte order, and undefined after a step that finds
   * none. An inode counts as visited when its first entry is yielded. Until the next step, it is not disposed of.
   */
  *visit(): Generator<FrozenEntry | undefined> {
    yield* this.#visitInode("/", this.#root);
    const open = [{ path: "/", directory: this.#root, names: yield* this.#namesOf(this.#root) }];
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const name = top.names.pop();
      if (name === undefined) {
        this.#complete.add(top.directory.ino);
        this.#changes.delete(top.directory);
        open.pop();
        continue;
      }
      const inode = this.#lookUp(top.directory, name);
      if (inode === undefined) continue;
      const path = join(top.path, name);
      yield* this.#visitInode(path, inode);
      if (inode.kind === "directory") open.push({ path, directory: inode, names: yield* this.#namesOf(inode) });
    }
  }

  [Symbol.dispose](): void {
    watchers.delete(this);
    for (const inode of this.#held) this.#tree.drop(inode);
    this.#held.clear();
  }

  *#visitInode(path: string, inode: Inode): Generator<FrozenEntry> {
    const first = this.#firsts.get(inode);
    if (first !== undefined) return yield { ...first, path, first: first.path };
    const entry = { ...(this.#attributes.get(inode) ?? capture(inode)), path, first: undefined };
    // An inode that has lost a name may have had several.
    if (inode.kind !== "directory" && (inode.nlink > 1 || this.#held.has(inode))) this.#firsts.set(inode, entry);
    this.#visited.add(inode.ino);
    this.#attributes.delete(inode);
    this.#hold(inode);
    yield entry;
    this.#held.delete(inode);
    this.#tree.drop(inode);
  }

  #existed(inode: Inode | undefined): Inode | undefined {
    return inode === undefined || inode.ino >= this.#end ? undefined : inode;
  }

  #lookUp(directory: Directory, name: string): Inode | undefined {
    const changes = this.#changes.get(directory);
    return changes?.has(name) === true ? changes.get(name) : this.#existed(directory.get(name)?.inode);
  }

  /** In reverse order. Some of them did not exist at the moment. */
  *#namesOf(directory: Directory): Generator<undefined, string[]> {
    // A name that is removed before the first list reaches it is in the second one.
    const current = directory.entries().map(({ name }) => name);
    return yield* sortInSteps([current, this.#changesOf(directory).keys()]);
  }

  #changesOf(directory: Directory): Changes {
    const known = this.#changes.get(directory);
    if (known !== undefined) return known;
    const changes: Changes = new Map();
    this.#changes.set(directory, changes);
    return changes;
  }
}

function capture(inode: Inode): FrozenInode {
  // First, because it takes over what the kernel has changed so far.
  const times = inode.times();
  const { mode, uid, gid, xattrs } = inode;
  const file = inode.kind === "file" ? inode : undefined;
  const { state = "static", error, size = 0 } = file ?? {};
  return { inode, mode, uid, gid, times, xattrs, state, error, size };
}
