/** Files and directories that rules add to a tree before it is mounted. */

import { GENERATOR, ORIGIN } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import type { Plant } from "../../rpc/generation.ts";
import type { Owner } from "../../tree/inode.ts";
import { components, toBytes } from "../../tree/path.ts";
import type { Tree } from "../../tree/tree.ts";
import { setXattr } from "../../tree/xattrs.ts";

/** Whether generators list directories. */
export function listsDirectories(plants: readonly Plant[]): boolean {
  return plants.some(({ type, generator }) => type === "directory" && generator !== undefined);
}

/** Keeps existing entries. Returns the paths that could not be added. */
export function plant(tree: Tree, plants: readonly Plant[], owner: Owner): readonly string[] {
  return plants.flatMap((one) => {
    try {
      put(tree, one, owner);
      return [];
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      return [`${one.path}: the rule's ${one.type} was not created: ${error.message}`];
    }
  });
}

function put(tree: Tree, { path, type, generator }: Plant, owner: Owner): void {
  const names = components(toBytes(path));
  const last = type === "file" ? names.pop() : undefined;
  let directory = tree.root;
  for (const name of names) {
    const there = directory.get(name)?.inode ?? tree.mkdir(directory, name, 0o755, owner);
    if (there.kind !== "directory") throw new FsError("ENOTDIR", `${name} is not a directory`);
    directory = there;
  }
  if (generator === undefined) return;
  if (last === undefined) return setXattr(directory, GENERATOR, Buffer.from(generator));
  if (directory.get(last) !== undefined) return;
  const file = tree.createFile(directory, last, 0o644, owner);
  file.state = "pending";
  setXattr(file, GENERATOR, Buffer.from(generator));
  setXattr(file, ORIGIN, Buffer.from(toBytes(path), "latin1"));
}
