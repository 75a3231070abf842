/** A walk through a tree. */
import type { Directory } from "./directory.ts";
import type { Inode } from "./inode.ts";
import { join } from "./path.ts";

export interface Walked {
  readonly path: string;
  readonly inode: Inode;
}

/**
 * Every inode with its path, each directory before what it holds, names in byte order. The root is "/". The names of a
 * directory are those it has when the walk comes to it. Deep trees need no deep stack.
 */
export function* walk(from: Directory, path: string): Generator<Walked> {
  if (path === "/") yield { path, inode: from };
  const open = [{ path, names: sorted(from) }];
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = top.names.pop();
    if (next === undefined) {
      open.pop();
      continue;
    }
    const { name, inode } = next;
    const below = join(top.path, name);
    yield { path: below, inode };
    if (inode.kind === "directory") open.push({ path: below, names: sorted(inode) });
  }
}

/** Names and inodes, the last one first. */
function sorted(directory: Directory): { readonly name: string; readonly inode: Inode }[] {
  return [...directory.entries()].sort((a, b) => (a.name < b.name ? 1 : -1));
}
