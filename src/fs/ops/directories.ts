/** Listing directories. There are no directory handles: the offset in the request says where to continue. */
import { DirentWriter, direntType } from "../../fuse/dirent.ts";
import type { Filesystem } from "../../fuse/ops.ts";
import { type Directory, END_COOKIE } from "../../tree/directory.ts";
import { S_IFDIR } from "../../tree/inode.ts";
import type { FsContext } from "../context.ts";
import { O_NOATIME } from "../handles.ts";
import { NO_ENTRY, replyEntry } from "./attributes.ts";

const DOT = 1;
const DOTDOT = 2;

export function directoryOperations(mount: FsContext) {
  const { tree, nodes } = mount;

  function list(directory: Directory, offset: number, size: number, target: Buffer, plus: boolean): number {
    const writer = new DirentWriter(target, size);
    const type = direntType(S_IFDIR);
    const unknown = plus ? NO_ENTRY : undefined;
    if (offset < DOT && !writer.add(".", directory.ino, DOT, type, unknown)) return writer.length;
    if (offset < DOTDOT && !writer.add("..", (directory.parent ?? directory).ino, DOTDOT, type, unknown)) {
      return writer.length;
    }
    if (offset === END_COOKIE) return writer.length;
    const oldest = directory.oldest;
    directory.visitBefore(offset > DOTDOT ? offset + 1 : Number.POSITIVE_INFINITY, (dentry) => {
      const { name, inode } = dentry;
      if (!writer.fits(name, plus)) return false;
      // A position says which entry comes next at the earliest, so that each number up to the largest leads to an entry.
      const off = dentry === oldest ? END_COOKIE : dentry.cookie - 1;
      return writer.add(name, inode.ino, off, direntType(inode.mode), plus ? replyEntry(mount, inode) : undefined);
    });
    return writer.length;
  }

  return {
    readdir({ offset, size, flags }, header, target) {
      const directory = nodes.getDirectory(header.nodeid);
      if ((flags & O_NOATIME) === 0) directory.touchAtime(tree.clock);
      return list(directory, Number(offset), size, target, false);
    },

    readdirplus({ offset, size, flags }, header, target) {
      const directory = nodes.getDirectory(header.nodeid);
      if ((flags & O_NOATIME) === 0) directory.touchAtime(tree.clock);
      return list(directory, Number(offset), size, target, true);
    },
  } satisfies Filesystem;
}
