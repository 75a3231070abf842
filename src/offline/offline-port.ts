/** The port of a tree that does not change and generates nothing: reading a pending file fails with EAGAIN. */
import { FsError } from "../errno.ts";
import { entryOf, infoOf } from "../fs/lazy/request.ts";
import type { Authors } from "../fs/permissions/authors.ts";
import type { View } from "../fs/permissions/view.ts";
import type { TreeEntry, TreePort } from "../rpc/tree-port.ts";
import type { RegularFile } from "../tree/file.ts";
import { join, toBytes } from "../tree/path.ts";
import { MAY_EXEC, MAY_READ } from "../tree/permissions/access.ts";
import type { Tree } from "../tree/tree.ts";

/** `authors` decides what each user may see. */
export function createOfflinePort(tree: Tree, authors: Authors): TreePort {
  const everything = authors.viewFor(undefined);
  let layout: readonly TreeEntry[] | undefined;
  const contents = new Map<string, Uint8Array | undefined>();
  const contentOf = (path: string, limit: number) => {
    const key = `${limit} ${path}`;
    if (!contents.has(key)) contents.set(key, readBeginning(resolveFile(tree, path, everything), limit));
    return contents.get(key);
  };
  return {
    ...portOf(tree, everything),
    async layout() {
      layout ??= outlineOf(tree, everything);
      return layout;
    },
    readStatics: async (paths, limit) => paths.map((path) => contentOf(path, limit)),
    viewAs: (uid) => portOf(tree, authors.viewFor(uid)),
  };
}

/** Throws FsError ENOENT, ENOTDIR, EISDIR, EINVAL, and EACCES for what the view may not read. */
export function resolveFile(tree: Tree, path: string, view: View): RegularFile {
  const inode = tree.resolve(toBytes(path), view.resolveOptions(path, true));
  view.check(inode, MAY_READ, path);
  if (inode.kind === "directory") throw new FsError("EISDIR", "it is a directory", { path });
  if (inode.kind !== "file") throw new FsError("EINVAL", "it is not a regular file", { path });
  return inode;
}

/** The part of the tree that a view can see. */
function portOf(tree: Tree, view: View): TreePort {
  const readStatic = async (path: string, limit: number) => readBeginning(resolveFile(tree, path, view), limit);
  return {
    outline: async () => outlineOf(tree, view),
    async list(path) {
      const directory = tree.resolve(toBytes(path), view.resolveOptions(path, true));
      if (directory.kind !== "directory") throw new FsError("ENOTDIR", "it is not a directory", { path });
      view.check(directory, MAY_READ | MAY_EXEC, path);
      const entries = [...directory.entries()].sort((a, b) => (a.name < b.name ? -1 : 1));
      const shown = entries.filter(({ inode }) => view.mayRead(inode));
      return shown.map(({ name, inode }) => entryOf(join(toBytes(path), name), inode));
    },
    async stat(path) {
      const inode = tree.resolve(toBytes(path), view.resolveOptions(path, false));
      view.check(inode, MAY_READ, path);
      return infoOf(tree, toBytes(path), inode);
    },
    async read(path) {
      const file = resolveFile(tree, path, view);
      if (file.lazy) throw new FsError("EAGAIN", "it is not generated yet", { path });
      return file.bytes();
    },
    readStatic,
    readStatics: async (paths, limit) =>
      Promise.all(paths.map((path) => readStatic(path, limit).catch(() => undefined))),
  };
}

function outlineOf(tree: Tree, view: View): readonly TreeEntry[] {
  return [...tree.walk().filter(view.createFilter())].flatMap(({ path, inode }) =>
    path === "/" ? [] : [entryOf(path, inode)],
  );
}

function readBeginning(file: RegularFile, limit: number): Uint8Array | undefined {
  if (file.state !== "static") return undefined;
  const bytes = new Uint8Array(Math.min(file.size, limit));
  file.read(0, bytes);
  return bytes;
}
