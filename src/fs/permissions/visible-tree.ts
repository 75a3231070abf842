/** What a view shows of a tree, for whoever asks by path. Paths are absolute, and text. It never waits for a generator. */
import { FsError } from "../../errno.ts";
import type { FileInfo, TreeEntry } from "../../rpc/tree-port.ts";
import type { Directory } from "../../tree/directory.ts";
import type { RegularFile } from "../../tree/file.ts";
import { components, join, toBytes } from "../../tree/path.ts";
import { MAY_EXEC, MAY_READ } from "../../tree/permissions/access.ts";
import type { Tree } from "../../tree/tree.ts";
import { entryOf, infoOf } from "../lazy/request.ts";
import type { View } from "./view.ts";

/** Follows symlinks. Throws FsError ENOENT, ENOTDIR, EISDIR, EINVAL, and EACCES for what the view may not read. */
export function resolveFile(tree: Tree, path: string, view: View): RegularFile {
  const inode = tree.resolve(toBytes(path), view.resolveOptions(path, true));
  view.check(inode, MAY_READ, path);
  if (inode.kind === "directory") throw new FsError("EISDIR", "it is a directory", { path });
  if (inode.kind !== "file") throw new FsError("EINVAL", "it is not a regular file", { path });
  return inode;
}

/** Follows symlinks. Throws FsError ENOENT, ENOTDIR, and EACCES for what the view may not list. */
export function resolveDirectory(tree: Tree, path: string, view: View): Directory {
  const inode = tree.resolve(toBytes(path), view.resolveOptions(path, true));
  if (inode.kind !== "directory") throw new FsError("ENOTDIR", "it is not a directory", { path });
  view.check(inode, MAY_READ | MAY_EXEC, path);
  return inode;
}

/** The entries that the view shows, in byte order. `path`: that of the directory, by which it was found. */
export function listVisible(directory: Directory, path: string, view: View): readonly TreeEntry[] {
  const above = `/${components(toBytes(path)).join("/")}`;
  const shown = [...directory.entries()].filter(({ inode }) => view.mayRead(inode));
  shown.sort((a, b) => (a.name < b.name ? -1 : 1));
  return shown.map(({ name, inode }) => entryOf(join(above, name), inode));
}

/** Does not follow symlinks. Throws FsError ENOENT, ENOTDIR, EACCES. */
export function statVisible(tree: Tree, path: string, view: View): FileInfo {
  const inode = tree.resolve(toBytes(path), view.resolveOptions(path, false));
  view.check(inode, MAY_READ, path);
  return infoOf(tree, toBytes(path), inode);
}

/** The content of a static file, or its first bytes. Undefined for any other file. */
export function readStatic(file: RegularFile, limit: number): Uint8Array | undefined {
  if (file.state !== "static") return undefined;
  if (file.size <= limit) return file.bytes();
  const bytes = new Uint8Array(limit);
  file.read(0, bytes);
  return bytes;
}
