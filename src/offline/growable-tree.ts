/**
 * A snapshot, or a copy of a directory, to which files can be added without a mount. Existing entries are written
 * unchanged.
 */
import { copyDirectory } from "../disk/copy-directory.ts";
import { addEntries } from "../fs/lazy/added-entries.ts";
import { entryOf, infoOf } from "../fs/lazy/request.ts";
import type { Added, NewEntry } from "../rpc/growth.ts";
import type { StartingTree } from "../rpc/messages.ts";
import type { TreePort } from "../rpc/tree-port.ts";
import { loadSnapshot } from "../snapshot/read/load.ts";
import { saveSnapshot } from "../snapshot/write/save.ts";
import { toBytes } from "../tree/path.ts";
import { Space, type SpaceOptions } from "../tree/space.ts";
import { Tree } from "../tree/tree.ts";

export interface GrowableSnapshot {
  readonly tree: Pick<TreePort, "outline" | "stat" | "readStatic">;
  /** Throws FsError, with nothing added. */
  add(entries: readonly NewEntry[]): Added;
  /** The whole tree as a snapshot, in pieces. */
  pieces(): AsyncIterable<Uint8Array>;
}

/** Stands for the user who loads the snapshot: the highest possible user id. */
const LOADER = { uid: 2 ** 32 - 2, gid: 2 ** 32 - 2 };

/** Throws SnapshotError, or DirectoryCopyError. */
export function openGrowableTree(
  source: StartingTree,
  space: SpaceOptions,
  warn: (message: string) => void,
): GrowableSnapshot {
  // This time marks entries whose times are not in the snapshot.
  const tree = new Tree({ clock: (take) => take(0, 0), owner: LOADER, space: new Space(space) });
  const owner = LOADER;
  if ("directory" in source) copyDirectory(tree, source.directory, { owner, keepOwners: false, warn });
  else loadSnapshot(tree, "file" in source ? source.file : source.text, { owner, warn });
  const times = !("directory" in source) && hasTimes(tree);
  const fileAt = (path: string) => {
    const inode = tree.resolve(toBytes(path), { follow: true });
    return inode.kind === "file" && inode.state === "static" ? inode : undefined;
  };
  return {
    tree: {
      outline: async () => [...tree.walk()].flatMap(({ path, inode }) => (path === "/" ? [] : [entryOf(path, inode)])),
      stat: async (path) => infoOf(toBytes(path), tree.resolve(toBytes(path), { follow: false })),
      async readStatic(path, limit) {
        const file = fileAt(path);
        if (file === undefined) return undefined;
        const bytes = new Uint8Array(Math.min(file.size, limit));
        file.read(0, bytes);
        return bytes;
      },
    },
    add: (entries) => addEntries(tree, entries, { owner: tree.root }),
    async *pieces() {
      yield* saveSnapshot(tree, { owner: LOADER, times });
    },
  };
}

function hasTimes(tree: Tree): boolean {
  return tree.walk().some(({ inode }) => Object.values(inode.times()).some((time) => time !== 0));
}
