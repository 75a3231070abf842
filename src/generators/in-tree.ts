/**
 * Resolves a path in the tree without ever leaving the tree.
 *
 * The kernel follows a symlink in a mount anywhere, even to files of the host, and any program that may write to the tree
 * can create one. So a path in a rule is resolved link by link within the tree, and then opened by a path without symlinks.
 */
import { posix } from "node:path";
import { FsError } from "../errno.ts";
import type { TreeEntry } from "../rpc/tree-port.ts";
import type { GeneratorContext } from "./contract.ts";

/** As in fs/namei.c: more symlinks than this is ELOOP. */
const MOST_SYMLINKS = 40;

/** Rejects with FsError ENOENT, ENOTDIR or ELOOP, or with EACCES if a symlink leads out of the tree. */
export async function locateInTree(
  path: string,
  { list }: Pick<GeneratorContext, "list">,
  mountpoint: string,
): Promise<TreeEntry> {
  const ahead = splitPath(path).reverse();
  let entry: TreeEntry = { path: "/", type: "directory" };
  for (let symlinks = 0; ahead.length > 0; ) {
    const name = ahead.pop() ?? "";
    if (entry.type !== "directory") throw new FsError("ENOTDIR", `${entry.path} is not a directory`, { path });
    if (name === "..") {
      if (entry.path === "/") throw leaves(path, entry.path);
      entry = { path: posix.dirname(entry.path), type: "directory" };
      continue;
    }
    const wanted = posix.join(entry.path, name);
    const found: TreeEntry | undefined = (await list(entry.path)).find((one) => one.path === wanted);
    if (found === undefined) throw new FsError("ENOENT", `${wanted} does not exist in the mount`);
    if (found.type !== "symlink") {
      entry = found;
      continue;
    }
    symlinks += 1;
    if (symlinks > MOST_SYMLINKS) throw new FsError("ELOOP", "too many symlinks", { path });
    const target: string = found.target ?? "";
    if (!target.startsWith("/")) ahead.push(...splitPath(target).reverse());
    else if (target !== mountpoint && !target.startsWith(`${mountpoint}/`)) throw leaves(path, wanted);
    else {
      ahead.push(...splitPath(target.slice(mountpoint.length)).reverse());
      entry = { path: "/", type: "directory" };
    }
  }
  return entry;
}

function splitPath(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

function leaves(path: string, link: string): FsError {
  return new FsError("EACCES", `${path} leads out of the mount at ${link}`);
}
