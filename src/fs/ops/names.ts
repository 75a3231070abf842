/** Operations on names: lookup, create, mkdir, mknod, symlink, link, unlink, rmdir, rename, readlink. */

import { CONTROL_NAME } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import { type Filesystem, type Header, PARKED } from "../../fuse/ops.ts";
import { MalformedMessage } from "../../fuse/wire.ts";
import type { Directory } from "../../tree/directory.ts";
import { type Inode, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK } from "../../tree/inode.ts";
import { NAME_MAX } from "../../tree/path.ts";
import { RENAME_EXCHANGE } from "../../tree/tree.ts";
import { KEEP_SECONDS } from "../coherence/caching.ts";
import type { FsContext } from "../context.ts";
import { keepOrigins } from "../permissions/origins.ts";
import type { Waiter } from "../waiting/attempt.ts";
import { NO_ENTRY, ownerOf, replyEntry } from "./attributes.ts";

/** A missing name, for the kernel to cache. */
const NEGATIVE = { ...NO_ENTRY, entry_valid: KEEP_SECONDS };

const SPECIAL_TYPES = [S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK];

const FORGOTTEN_TOO_OFTEN = "forgotten more often than looked up";

export function nameOperations(mount: FsContext) {
  const { tree, nodes } = mount;

  function rename(
    from: number,
    name: string,
    to: number,
    newName: string,
    flags: number,
    uid: number,
    gid: number,
  ): void {
    const source = requireChangeable(mount, from, name);
    const target = requireChangeable(mount, to, newName);
    const moved = source.get(name)?.inode;
    const replaced = target.get(newName)?.inode;
    const keep = keepOrigins(mount, [moved, replaced], uid);
    tree.rename(source, name, target, newName, flags, { uid, gid });
    keep();
    const exchanges = (flags & RENAME_EXCHANGE) !== 0;
    if (moved !== undefined && moved !== replaced) {
      tree.movedNames.noteMove(source, name, moved, source.get(name) !== undefined);
      if (exchanges && replaced !== undefined) tree.movedNames.noteMove(target, newName, replaced, true);
    }
    claim(target, newName);
    claim(source, name);
  }

  function claim(directory: Directory, name: string): void {
    const inode = directory.get(name)?.inode;
    if (inode !== undefined) mount.ruleEntries.claim(inode);
  }

  /** A LOOKUP that is answered when a generator has provided the name, or has not. */
  function waitForName(directory: Directory, name: string, { unique, pid }: Header): Waiter {
    return {
      unique,
      pid,
      done() {
        const found = directory.get(name)?.inode;
        if (found === undefined) throw new FsError("ENOENT");
        const reply = replyEntry(mount, found);
        if (!mount.session().answer(unique, "lookup", reply)) nodes.forget(reply.nodeid, 1);
      },
      fail: (error) => mount.session().fail(unique, error),
    };
  }

  return {
    lookup({ name }, header) {
      if (name === "." || name === "..") return replyEntry(mount, findByHandle(mount, header.nodeid, name));
      const directory = nodes.getDirectory(header.nodeid);
      const inode = find(mount, directory, name);
      // Nothing lists the control directory, so looking it up waits for no generator.
      const lists = mount.listings.lists(directory) && !isControl(mount, directory, name);
      if (inode !== undefined && !lists) {
        mount.ruleEntries.use(inode);
        return replyEntry(mount, inode);
      }
      if (lists) {
        const waiter = waitForName(directory, name, header);
        const findListed = () => {
          if (directory.get(name) !== undefined || !mount.onDemandFiles.wait(directory, name, waiter)) waiter.done();
        };
        if (mount.listings.lookup(directory, inode !== undefined, { ...waiter, done: findListed })) return PARKED;
      }
      if (inode !== undefined) {
        mount.ruleEntries.use(inode);
        mount.ruleEntries.use(directory);
        return replyEntry(mount, inode);
      }
      if (
        mount.onDemandFiles.enabled &&
        mount.onDemandFiles.wait(directory, name, waitForName(directory, name, header))
      )
        return PARKED;
      // The kernel is notified of a new name only after this reply (dcache.ts), but must be able to find it at once.
      if (mount.listings.addsTo(directory)) throw new FsError("ENOENT");
      mount.dcache.noteNegative(directory);
      return NEGATIVE;
    },

    forget({ nlookup }, header) {
      if (!nodes.forget(header.nodeid, nlookup)) throw new Error(`node ${header.nodeid}: ${FORGOTTEN_TOO_OFTEN}`);
    },

    batchForget({ count, forgets }) {
      const view = new DataView(forgets.buffer, forgets.byteOffset, forgets.length);
      const u64 = (at: number) => view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
      const wrong: number[] = [];
      for (let at = 0, left = count; left > 0 && at + 16 <= forgets.length; at += 16, left--) {
        if (!nodes.forget(u64(at), u64(at + 8))) wrong.push(u64(at));
      }
      if (wrong.length > 0) throw new Error(`nodes ${wrong.join(", ")}: ${FORGOTTEN_TOO_OFTEN}`);
      if (forgets.length < count * 16)
        throw new MalformedMessage(`${count} nodes to forget in ${forgets.length} bytes`);
    },

    readlink(_request, header, target) {
      const inode = nodes.get(header.nodeid);
      if (inode.kind !== "symlink") throw new FsError("EINVAL");
      inode.touchAtime(tree.clock);
      return target.write(inode.target, "latin1");
    },

    symlink({ name, target }, header) {
      return replyEntry(
        mount,
        tree.symlink(requireChangeable(mount, header.nodeid, name), name, target, ownerOf(header)),
      );
    },

    mknod({ name, mode, rdev, umask }, header) {
      const directory = requireChangeable(mount, header.nodeid, name);
      const type = mode & S_IFMT;
      if (type === S_IFREG || type === 0) {
        return replyEntry(mount, tree.createFile(directory, name, mode & 0o7777, ownerOf(header), umask));
      }
      // As fs/namei.c:may_mknod().
      if (!SPECIAL_TYPES.includes(type)) throw new FsError("EINVAL");
      return replyEntry(mount, tree.mknod(directory, name, mode, rdev, ownerOf(header), umask));
    },

    mkdir({ name, mode, umask }, header) {
      const directory = requireChangeable(mount, header.nodeid, name);
      return replyEntry(mount, tree.mkdir(directory, name, mode & 0o7777, ownerOf(header), umask));
    },

    link({ oldnodeid, name }, header) {
      const inode = nodes.get(oldnodeid);
      if (mount.control.owns(inode)) throw new FsError("EPERM");
      const keep = keepOrigins(mount, [inode], header.uid);
      tree.link(inode, requireChangeable(mount, header.nodeid, name), name);
      keep();
      mount.ruleEntries.claim(inode);
      return replyEntry(mount, inode);
    },

    unlink({ name }, header) {
      const directory = requireChangeable(mount, header.nodeid, name);
      tree.movedNames.noteRemoval(directory, name, tree.unlink(directory, name));
    },

    rmdir({ name }, header) {
      const directory = requireChangeable(mount, header.nodeid, name);
      tree.movedNames.noteRemoval(directory, name, tree.rmdir(directory, name));
    },

    rename({ name, newname, newdir }, header) {
      rename(header.nodeid, name, newdir, newname, 0, header.uid, header.gid);
    },

    rename2({ name, newname, newdir, flags }, header) {
      rename(header.nodeid, name, newdir, newname, flags, header.uid, header.gid);
    },
  } satisfies Filesystem;
}

/** Returns the directory in which a name is created or removed. Throws EPERM for the control directory. */
export function requireChangeable(mount: FsContext, nodeid: number, name: string): Directory {
  const directory = mount.nodes.getDirectory(nodeid);
  if (mount.control.owns(directory)) throw new FsError("EPERM");
  if (isControl(mount, directory, name)) throw new FsError("EPERM");
  return directory;
}

function isControl(mount: FsContext, directory: Directory, name: string): boolean {
  return directory === mount.tree.root && name === CONTROL_NAME && mount.control.isReserved;
}

/** Returns what a name refers to, including the hidden control directory. Throws ENAMETOOLONG. */
function find(mount: FsContext, directory: Directory, name: string): Inode | undefined {
  const dentry = directory.get(name);
  if (dentry !== undefined) return dentry.inode;
  if (name.length > NAME_MAX) throw new FsError("ENAMETOOLONG");
  if (isControl(mount, directory, name)) return mount.control.directory;
  return undefined;
}

/** Returns what a file handle refers to, or its parent directory. The kernel uses these two names only for that. */
function findByHandle(mount: FsContext, nodeid: number, name: "." | ".."): Inode {
  const inode = mount.nodes.getByHandle(nodeid);
  if (name === ".") return inode;
  const parent = inode.kind === "directory" ? inode.parent : inode.dentry?.parent;
  if (parent === undefined) throw new FsError("ESTALE");
  return parent;
}
