/** The port of a tree that does not change and generates nothing: reading a pending file fails with EAGAIN. */
import { FsError } from "../errno.ts";
import type { Authors } from "../fs/permissions/authors.ts";
import type { View } from "../fs/permissions/view.ts";
import { listVisible, readStatic, resolveDirectory, resolveFile, statVisible } from "../fs/permissions/visible-tree.ts";
import { drawOutline } from "../fs/whole-tree.ts";
import type { TreeEntry, TreePort } from "../rpc/tree-port.ts";
import type { Tree } from "../tree/tree.ts";

interface OfflineSource {
  readonly tree: Tree;
  /** Decides what each user may see. */
  readonly authors: Authors;
  /** Whether generators list directories. */
  readonly listing: boolean;
}

export function createOfflinePort(source: OfflineSource): TreePort {
  const { tree, authors } = source;
  const everything = authors.viewFor(undefined);
  let layout: readonly TreeEntry[] | undefined;
  const contents = new Map<string, Uint8Array | undefined>();
  const contentOf = (path: string, limit: number) => {
    const key = `${limit} ${path}`;
    if (!contents.has(key)) contents.set(key, readStatic(resolveFile(tree, path, everything), limit));
    return contents.get(key);
  };
  return {
    ...portOf(source, everything),
    async layout() {
      layout ??= outlineOf(source, everything);
      return layout;
    },
    readStatics: async (paths, limit) => paths.map((path) => contentOf(path, limit)),
    viewAs: (uid) => portOf(source, authors.viewFor(uid)),
  };
}

/** The part of the tree that a view can see. */
function portOf(source: OfflineSource, view: View): TreePort {
  const { tree } = source;
  const readOne = async (path: string, limit: number) => readStatic(resolveFile(tree, path, view), limit);
  return {
    outline: async () => outlineOf(source, view),
    list: async (path) => listVisible(resolveDirectory(tree, path, view), path, view),
    stat: async (path) => statVisible(tree, path, view),
    async read(path) {
      const file = resolveFile(tree, path, view);
      if (file.lazy) throw new FsError("EAGAIN", "it is not generated yet", { path });
      return file.bytes();
    },
    readStatic: readOne,
    readStatics: async (paths, limit) => Promise.all(paths.map((path) => readOne(path, limit).catch(() => undefined))),
  };
}

function outlineOf({ tree, listing }: OfflineSource, view: View): readonly TreeEntry[] {
  return [...drawOutline(tree, view, listing)].filter((entry) => entry !== undefined);
}
