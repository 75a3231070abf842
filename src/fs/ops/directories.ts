/** Listing directories. There are no directory handles: the cookie in the request says where to continue. */
import { DirentWriter, direntType } from "../../fuse/dirent.ts";
import type { Filesystem } from "../../fuse/ops.ts";
import type { Directory } from "../../tree/directory.ts";
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
    directory.visitBefore(offset > DOTDOT ? offset : Number.POSITIVE_INFINITY, (dentry) => {
      const { name, cookie, inode } = dentry;
      if (!writer.fits(name, plus)) return false;
      return writer.add(name, inode.ino, cookie, direntType(inode.mode), plus ? replyEntry(mount, inode) : undefined);
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
