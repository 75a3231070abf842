/** Adds entries to a tree that exists, and touches nothing that is there: all entries that are new, or none. */
import { DEPENDS } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { Added, Adder, NewEntry } from "../../rpc/growth.ts";
import { addEntry } from "../../snapshot/structure.ts";
import type { Directory } from "../../tree/directory.ts";
import type { Owner } from "../../tree/inode.ts";
import { components, join, toBytes, toText } from "../../tree/path.ts";
import { MAY_EXEC, MAY_WRITE, mayAccess } from "../../tree/permissions/access.ts";
import type { Tree } from "../../tree/tree.ts";
import { XATTR_SIZE_MAX } from "../../tree/xattrs.ts";
import type { FsContext } from "../context.ts";
import { inGroup } from "../ops/attributes.ts";

export interface AddOptions {
  readonly owner: Owner;
  /** Throws FsError if nothing may be added to this existing directory. */
  readonly check?: (directory: Directory, path: string) => void;
  /** Whether a path is one that no entry of the tree may have. */
  readonly reserves?: (path: string) => boolean;
}

/** Adds entries to a mounted tree, with the permissions of the user who asked for it. Throws FsError. */
export function addToMount(mount: FsContext, entries: readonly NewEntry[], adder: Adder): Added {
  const who = { uid: adder.uid, inGroup: (gid: number) => inGroup(adder, gid) };
  const add = () =>
    addEntries(mount.tree, entries, {
      owner: { uid: adder.uid, gid: adder.gid },
      reserves: (path) => mount.control.reserves(path),
      check(directory, path) {
        if (!mayAccess(directory, who, MAY_WRITE | MAY_EXEC))
          throw new FsError("EACCES", "no permission to add entries to this directory", { path });
        if (mount.listings.addsTo(directory))
          throw new FsError("EPERM", "a generator lists the entries of this directory", { path });
      },
    });
  let added: Added = { count: 0, clashes: [] };
  mount.dcache.batch(() => {
    added = mount.withGenerationClock(add);
  });
  return added;
}

/**
 * A directory that exists already is left as it is. Throws FsError with nothing added: ENOTDIR if something that is not a
 * directory is in the way, EINVAL for a path that cannot be, and the errors of `check`, ENAMETOOLONG and ENOSPC.
 */
export function addEntries(tree: Tree, entries: readonly NewEntry[], options: AddOptions): Added {
  const clashes: string[] = [];
  const wanted: { readonly names: readonly string[]; readonly entry: NewEntry }[] = [];
  for (const entry of entries) {
    const names = namesOf(entry, options);
    const found = findExisting(tree, names, options);
    if (found === "new") wanted.push({ names, entry });
    else if (found === "clash" || entry.type !== "directory") clashes.push(entry.path);
  }
  const made: { readonly parent: Directory; readonly name: string }[] = [];
  const make = (parent: Directory, name: string, entry: NewEntry) => {
    addEntry(tree, parent, name, entry, options.owner);
    const inode = parent.get(name)?.inode;
    const depends = inode?.xattrs?.get(DEPENDS);
    if (inode !== undefined && depends !== undefined) tree.movedNames.noteReferences(inode, depends);
    made.push({ parent, name });
  };
  try {
    for (const { names, entry } of wanted) addOne(tree, names, entry, make);
  } catch (error) {
    for (const { parent, name } of made.toReversed()) {
      if (parent.get(name)?.inode.kind === "directory") tree.rmdir(parent, name);
      else tree.unlink(parent, name);
    }
    throw error;
  }
  return { count: made.length, clashes };
}

function namesOf(entry: NewEntry, { reserves }: AddOptions): readonly string[] {
  const { path, type, target } = entry;
  const names = components(toBytes(path));
  if (!path.startsWith("/") || names.length === 0 || names.includes("..") || path.includes("\0") || path.endsWith("/"))
    throw new FsError("EINVAL", "not a valid path for an entry", { path });
  if (reserves?.(path) === true) throw new FsError("EPERM", "this name is reserved for control files", { path });
  if (type === "symlink" && !target) throw new FsError("EINVAL", "a symlink needs a target", { path });
  for (const text of [entry.description, entry.prompt, entry.uses?.join("\n")]) {
    if (text !== undefined && Buffer.byteLength(text) > XATTR_SIZE_MAX)
      throw new FsError("E2BIG", `its attributes may have ${XATTR_SIZE_MAX} bytes each`, { path });
  }
  return names;
}

function findExisting(tree: Tree, names: readonly string[], { check }: AddOptions): "new" | "directory" | "clash" {
  let directory = tree.root;
  let path = "/";
  for (const [index, name] of names.entries()) {
    const there = directory.get(name)?.inode;
    const last = index === names.length - 1;
    if (there === undefined) {
      check?.(directory, toText(path));
      return "new";
    }
    path = join(path, name);
    if (last) return there.kind === "directory" ? "directory" : "clash";
    if (there.kind !== "directory") throw new FsError("ENOTDIR", "not a directory", { path: toText(path) });
    directory = there;
  }
  return "directory";
}

/** Directories that an earlier entry implied may be there. */
function addOne(
  tree: Tree,
  names: readonly string[],
  entry: NewEntry,
  make: (parent: Directory, name: string, entry: NewEntry) => void,
): void {
  let directory = tree.root;
  for (const [index, name] of names.entries()) {
    const last = index === names.length - 1;
    let there = directory.get(name)?.inode;
    if (there === undefined) {
      make(directory, name, last ? entry : { type: "directory", path: entry.path });
      there = directory.get(name)?.inode;
    } else if (last && entry.type !== "directory") throw new FsError("EEXIST", "occurs twice", { path: entry.path });
    if (last) return;
    if (there?.kind !== "directory") throw new FsError("ENOTDIR", "something else is in the way", { path: entry.path });
    directory = there;
  }
}
