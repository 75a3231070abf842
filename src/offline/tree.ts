/**
 * The tree of a snapshot without a mount, for plans and previews.
 *
 * It answers like a mounted tree, and returns the request that the first read of a file would cause. It never generates
 * anything: reading a pending file fails with EAGAIN.
 */
import { type AttributeName, attribute } from "../attributes.ts";
import { FsError } from "../errno.ts";
import { buildRequest, entryOf, infoOf, listedEntryOf, textXattr } from "../fs/lazy/request.ts";
import { collectOutdated } from "../fs/outdated.ts";
import { Authors } from "../fs/permissions/authors.ts";
import type { View } from "../fs/permissions/view.ts";
import type { GenerationRequest } from "../rpc/generation.ts";
import type { ListedEntry, TreeEntry, TreePort } from "../rpc/tree-port.ts";
import { loadSnapshot } from "../snapshot/read/load.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Inode } from "../tree/inode.ts";
import { join, toBytes, toText } from "../tree/path.ts";
import { MAY_EXEC, MAY_READ } from "../tree/permissions/access.ts";
import { Tree } from "../tree/tree.ts";

/** A value of `user.llmfs.*`, and the file or directory that sets it. */
export interface Setting {
  readonly from: string;
  readonly value: string;
}

export interface OfflineTree extends TreePort {
  /** Every regular file once, under the first of its names. */
  readonly files: readonly TreeEntry[];
  /** Every entry but the root, for people and scripts. */
  readonly entries: readonly ListedEntry[];
  /** The request that the first read of a file causes. Throws FsError ENOENT, EISDIR or EINVAL. */
  request(path: string): GenerationRequest;
  /** Who sets `user.llmfs.<name>` for a path: itself first, then the directories above it. */
  settings(path: string, name: AttributeName): readonly Setting[];
  /** The files that a generated file was made from and that have changed since: see fs/outdated.ts. */
  changedUses(path: string): readonly string[];
}

/** Loads a snapshot file or its bytes. `sharedBy` is the user who mounted with --allow-other. Throws SnapshotError. */
export function createOfflineTree(
  source: string | Uint8Array,
  warn: (message: string) => void = () => {},
  sharedBy?: number,
): OfflineTree {
  const authors = new Authors(sharedBy);
  const everything = authors.viewFor(undefined);
  const tree = new Tree({ clock: (take) => take(Math.floor(Date.now() / 1000), 0) });
  loadSnapshot(tree, source, { warn });

  function fileAt(path: string, view = everything): RegularFile {
    const inode = tree.resolve(toBytes(path), view.resolveOptions(path, true));
    view.check(inode, MAY_READ, path);
    if (inode.kind === "directory") throw new FsError("EISDIR", `${path} is a directory`);
    if (inode.kind !== "file") throw new FsError("EINVAL", `${path} is not a regular file`);
    return inode;
  }

  const outline = (view = everything) =>
    [...view.filterVisible(tree.walk())].flatMap(({ path, inode }) => (path === "/" ? [] : [entryOf(path, inode)]));
  /** Cached, because the tree never changes. */
  let layout: readonly TreeEntry[] | undefined;
  let foundOutdated: ReturnType<typeof collectOutdated> | undefined;
  const outdated = () => {
    foundOutdated ??= collectOutdated(tree);
    return foundOutdated;
  };
  const contents = new Map<string, Uint8Array>();
  const contentOf = (path: string, limit: number) => {
    const file = fileAt(path);
    if (file.state !== "static") return undefined;
    const key = `${limit} ${path}`;
    const bytes = contents.get(key) ?? new Uint8Array(Math.min(file.size, limit));
    if (!contents.has(key)) file.read(0, bytes);
    contents.set(key, bytes);
    return bytes;
  };

  return {
    get files() {
      const createView = new Set<Inode>();
      const found: TreeEntry[] = [];
      for (const { path, inode } of tree.walk()) {
        if (inode.kind !== "file" || createView.has(inode)) continue;
        if (inode.nlink > 1) createView.add(inode);
        found.push(entryOf(path, inode));
      }
      return found;
    },
    get entries() {
      return [...tree.walk()].flatMap(({ path, inode }) =>
        path === "/" ? [] : [listedEntryOf(path, inode, outdated())],
      );
    },
    request(path) {
      const file = fileAt(path);
      return buildRequest({ tree, authors, definitions: 0, writes: 0 }, file, file.ino, 0);
    },
    changedUses(path) {
      return outdated().get(fileAt(path))?.changed ?? [];
    },
    settings(path, name) {
      const found: Setting[] = [];
      let at: Inode | undefined = tree.resolve(toBytes(path), { follow: true });
      while (at !== undefined) {
        const value = textXattr(at, attribute(name));
        if (value !== undefined && value !== "") found.push({ from: toText(tree.pathOf(at) ?? path), value });
        at = at === tree.root ? undefined : at.dentry?.parent;
      }
      return found;
    },
    ...seen(everything),
    async layout() {
      layout ??= outline();
      return layout;
    },
    readStatics: async (paths, limit) => paths.map((path) => contentOf(path, limit)),
    viewAs: (uid) => seen(authors.viewFor(uid)),
  };

  /** The part of the tree that a view can see. */
  function seen(view: View) {
    const readStatic = async (path: string, limit: number) => {
      const file = fileAt(path, view);
      if (file.state !== "static") return undefined;
      const bytes = new Uint8Array(Math.min(file.size, limit));
      file.read(0, bytes);
      return bytes;
    };
    return {
      outline: async () => outline(view),
      async list(path: string) {
        const directory = tree.resolve(toBytes(path), view.resolveOptions(path, true));
        if (directory.kind !== "directory") throw new FsError("ENOTDIR", `${path} is not a directory`);
        view.check(directory, MAY_READ | MAY_EXEC, path);
        const entries = [...directory.entries()].sort((a, b) => (a.name < b.name ? -1 : 1));
        const shown = entries.filter(({ inode }) => view.mayRead(inode));
        return shown.map(({ name, inode }) => entryOf(join(toBytes(path), name), inode));
      },
      async stat(path: string) {
        const inode = tree.resolve(toBytes(path), view.resolveOptions(path, false));
        view.check(inode, MAY_READ, path);
        return infoOf(toBytes(path), inode);
      },
      async read(path: string) {
        const file = fileAt(path, view);
        if (file.lazy) throw new FsError("EAGAIN", `${path} is not generated yet`);
        return file.bytes();
      },
      readStatic,
      readStatics: async (paths: readonly string[], limit: number) =>
        Promise.all(paths.map((path) => readStatic(path, limit).catch(() => undefined))),
    };
  }
}
