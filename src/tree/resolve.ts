/** Walking a path, as the kernel does. */
import { FsError } from "../errno.ts";
import type { Directory } from "./directory.ts";
import type { Inode } from "./inode.ts";
import { components } from "./path.ts";

/** As the kernel's MAXSYMLINKS. */
const MAX_SYMLINKS = 40;

export interface ResolveOptions {
  /** Whether a symlink at the end of the path is followed. */
  readonly follow: boolean;
  /** Called with each directory before a name is looked up in it. An exception ends the walk. */
  beforeSearch?(directory: Directory): void;
  /** Called with each symlink before it is followed. An exception ends the walk. */
  beforeFollow?(directory: Directory, link: Inode): void;
}

/** See Tree.resolve. */
export function resolve(root: Directory, path: string, options: ResolveOptions): Inode {
  let inode: Inode = root;
  let links = 0;
  const left = components(path).reverse();
  const parents: Directory[] = [];
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    if (inode.kind !== "directory") throw new FsError("ENOTDIR", "not a directory", { path });
    const directory: Directory = inode;
    options.beforeSearch?.(directory);
    if (name === "..") {
      inode = parents.pop() ?? root;
      continue;
    }
    const next: Inode | undefined = directory.get(name)?.inode;
    if (next === undefined) throw new FsError("ENOENT", "no such file or directory", { path });
    if (next.kind !== "symlink" || (left.length === 0 && !options.follow)) {
      parents.push(directory);
      inode = next;
      continue;
    }
    options.beforeFollow?.(directory, next);
    if (++links > MAX_SYMLINKS) throw new FsError("ELOOP", "too many symbolic links", { path });
    if (next.target.startsWith("/")) {
      inode = root;
      parents.length = 0;
    }
    left.push(...components(next.target).reverse());
  }
  return inode;
}
