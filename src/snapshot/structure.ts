/** A structure proposed by a model, as a snapshot: every file is pending. */
import { DEFAULT_GENERATOR, DEPENDS, DESCRIPTION, GENERATOR, PROMPT } from "../attributes.ts";
import type { Directory } from "../tree/directory.ts";
import { fixedClock, type Inode, type Owner } from "../tree/inode.ts";
import { join, toBytes } from "../tree/path.ts";
import { asLine } from "../tree/references/moved-names.ts";
import { Tree } from "../tree/tree.ts";
import { splitPath } from "./entry-names.ts";
import { SnapshotPosition } from "./error.ts";
import { saveSnapshot } from "./write/save.ts";

/** One entry; paths with or without the leading "/". */
export interface StructureEntry {
  readonly path: string;
  readonly type: "directory" | "file" | "symlink";
  readonly description?: string | undefined;
  /** Symlinks only. */
  readonly target?: string | undefined;
  readonly prompt?: string | undefined;
  /** Files only: the absolute paths of the files that it is written from. */
  readonly uses?: readonly string[] | undefined;
  /** Files only. */
  readonly executable?: boolean | undefined;
  /** Files only. Default: the model. */
  readonly generator?: string | undefined;
}

const PATH_MAX = 4095;
const nobody = { uid: 0, gid: 0 };

/**
 * The text of the snapshot, in its stable order. It names no owner, so that it belongs to the user who mounts it.
 * Directories need no entry of their own. Throws SnapshotError if the entries do not form a tree.
 */
export function structureToSnapshot(entries: Iterable<StructureEntry>, source = "the layout"): string {
  const tree = new Tree({ clock: fixedClock(0) });
  const place = new SnapshotPosition(source);
  for (const entry of entries) {
    const path = toBytes(entry.path.startsWith("/") ? entry.path : `/${entry.path}`);
    place.entry = path;
    describe(make(tree, splitPath(path, PATH_MAX, place), entry, place), entry);
  }
  return Buffer.concat([...saveSnapshot(tree, { owner: false })]).toString("utf8");
}

function make(tree: Tree, names: readonly string[], entry: StructureEntry, place: SnapshotPosition): Inode {
  const name = names.at(-1);
  if (name === undefined) {
    if (entry.type !== "directory") throw place.createError("the root is not a directory");
    return tree.root;
  }
  const parent = directoryAt(tree, names.slice(0, -1), place);
  const there = parent.get(name)?.inode;
  if (there !== undefined) {
    // A directory that an earlier entry implied.
    if (there.kind === "directory" && entry.type === "directory" && there.xattrs === undefined) return there;
    throw place.createError("this path occurs twice", "remove one");
  }
  if (entry.type === "symlink" && !entry.target) throw place.createError("a symlink needs a target");
  return create(tree, parent, name, entry, nobody);
}

/**
 * Adds an entry to any tree; its files are pending. Precondition: the name is free, and a symlink has a target. Throws
 * FsError: EEXIST, ENAMETOOLONG, ENOSPC.
 */
export function addEntry(tree: Tree, parent: Directory, name: string, entry: StructureEntry, owner: Owner): void {
  describe(create(tree, parent, name, entry, owner), entry);
}

const UMASK = 0o022;

function create(tree: Tree, parent: Directory, name: string, entry: StructureEntry, owner: Owner): Inode {
  if (entry.type === "directory") return tree.mkdir(parent, name, 0o777, owner, UMASK);
  if (entry.type === "symlink") return tree.symlink(parent, name, toBytes(entry.target ?? ""), owner);
  const file = tree.createFile(parent, name, entry.executable === true ? 0o777 : 0o666, owner, UMASK);
  file.state = "pending";
  setText(file, GENERATOR, entry.generator ?? DEFAULT_GENERATOR);
  return file;
}

function describe(inode: Inode, entry: StructureEntry): void {
  setText(inode, DESCRIPTION, entry.description);
  setText(inode, PROMPT, entry.prompt);
  setText(inode, DEPENDS, entry.uses?.map(asLine).join("\n"));
}

function directoryAt(tree: Tree, names: readonly string[], place: SnapshotPosition): Directory {
  let directory = tree.root;
  let path = "/";
  for (const name of names) {
    path = join(path, name);
    const inode = directory.get(name)?.inode;
    if (inode !== undefined && inode.kind !== "directory")
      throw place.createError(`its parent ${path} is not a directory`);
    directory = inode ?? tree.mkdir(directory, name, 0o755, nobody);
  }
  return directory;
}

function setText(inode: Inode, name: string, text: string | undefined): void {
  if (text === undefined || text === "") return;
  inode.putXattr(name, Buffer.from(text.toWellFormed()));
}
