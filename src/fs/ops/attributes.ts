/** What stat(2) reports about an inode, and how it is changed: getattr, setattr, statfs. */

import { FsError } from "../../errno.ts";
import * as abi from "../../fuse/abi.ts";
import {
  type Caller,
  type Filesystem,
  type Header,
  PARKED,
  type Parked,
  type Reply,
  type Request,
} from "../../fuse/ops.ts";
import type { StructValue } from "../../fuse/wire.ts";
import { atMost, type Wide } from "../../int64.ts";
import { statusOf } from "../../procfs.ts";
import { PAGE } from "../../tree/content/store.ts";
import type { RegularFile } from "../../tree/file.ts";
import { type Inode, S_IFMT, S_ISGID, S_ISUID, type SomeTimes, type Time } from "../../tree/inode.ts";
import { NAME_MAX } from "../../tree/path.ts";
import { followMode } from "../../tree/permissions/acl.ts";
import { removeXattr } from "../../tree/xattrs.ts";
import { KEEP_SECONDS } from "../coherence/caching.ts";
import type { FsContext } from "../context.ts";

type Attr = StructValue<typeof abi.attrOut>["attr"];

const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;

/** What tmpfs adds to a directory's size for each entry, and for "." and "..". */
const DIRENT_SIZE = 20;

/**
 * The size that a file reports while its content does not exist yet. Programs that trust stat(2) take a size of 0 for
 * an empty file, and a size below the real one for the whole file. With a size above any plausible content they read to
 * the end, or fail loudly. docs/lazy-files.md shows which tool does what.
 */
export const CLAIMED_SIZE = 1 << 20;

function readAttributes(mount: FsContext, inode: Inode): Attr {
  mount.replacement.onAttributesSent(inode);
  const { atime, atimeNsec, mtime, mtimeNsec, ctime, ctimeNsec } = inode.times();
  return {
    ino: inode.ino,
    size: sizeOf(mount, inode),
    blocks: blocksOf(inode),
    atime,
    mtime,
    ctime,
    atimensec: atimeNsec,
    mtimensec: mtimeNsec,
    ctimensec: ctimeNsec,
    mode: inode.mode,
    nlink: inode.nlink,
    uid: inode.uid,
    gid: inode.gid,
    rdev: inode.kind === "special" ? inode.rdev : 0,
    blksize: PAGE,
    flags: 0,
  };
}

/** The reply that gives the kernel an inode; it counts as a lookup. */
export function replyEntry(mount: FsContext, inode: Inode): StructValue<typeof abi.entryOut> {
  mount.nodes.remember(inode);
  const { attr_valid, attr } = attrReply(mount, inode);
  return {
    nodeid: inode.ino,
    generation: mount.nodes.generationOf(inode),
    entry_valid: mount.expiry.mayMove(inode) ? 0 : KEEP_SECONDS,
    attr_valid,
    entry_valid_nsec: 0,
    attr_valid_nsec: 0,
    attr,
  };
}

/**
 * How long the kernel may cache the attributes. Not at all while stores through a mapping may change a file's times
 * without the kernel's FUSE code noticing, while a program has a pending file open for writing, or if some programs must
 * not see the size that a pending file reports.
 */
function keepSeconds(mount: FsContext, inode: Inode): number {
  if (mount.control.owns(inode)) return 0;
  if (inode.kind !== "file") return KEEP_SECONDS;
  if (inode.lazy) return mount.statReaders.exist || mount.handles.isBeingWritten(inode) ? 0 : KEEP_SECONDS;
  return mount.passthrough.mayChangeUnseen(inode) ? 0 : KEEP_SECONDS;
}

/** An entry reply without an inode: no lookup is counted, and the attributes are ignored. */
export const NO_ENTRY: StructValue<typeof abi.entryOut> = {
  nodeid: 0,
  generation: 0,
  entry_valid: 0,
  attr_valid: 0,
  entry_valid_nsec: 0,
  attr_valid_nsec: 0,
  attr: {
    ino: 0,
    size: 0,
    blocks: 0,
    atime: 0,
    mtime: 0,
    ctime: 0,
    atimensec: 0,
    mtimensec: 0,
    ctimensec: 0,
    mode: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 0,
    flags: 0,
  },
};

/**
 * The attributes, and how long the kernel may cache them. That is decided first, because the attributes may change
 * right after they are read.
 */
function attrReply(mount: FsContext, inode: Inode): StructValue<typeof abi.attrOut> {
  const attr_valid = keepSeconds(mount, inode);
  return { attr_valid, attr_valid_nsec: 0, attr: readAttributes(mount, inode) };
}

function statxReply(mount: FsContext, inode: Inode): StructValue<typeof abi.statxOut> {
  const { attr_valid, attr } = attrReply(mount, inode);
  return { attr_valid, attr_valid_nsec: 0, flags: 0, stat: toStatx(inode, attr) };
}

function toStatx(inode: Inode, attr: Attr): StructValue<typeof abi.statx> {
  const { rdev } = attr;
  const { btime } = inode;
  return {
    mask: STATX_BASIC_STATS | STATX_BTIME,
    blksize: attr.blksize,
    attributes: 0,
    nlink: attr.nlink,
    uid: attr.uid,
    gid: attr.gid,
    mode: attr.mode,
    ino: attr.ino,
    size: attr.size,
    blocks: attr.blocks,
    attributes_mask: 0,
    atime: { tv_sec: attr.atime, tv_nsec: attr.atimensec },
    btime: { tv_sec: btime.seconds, tv_nsec: btime.nanoseconds },
    ctime: { tv_sec: attr.ctime, tv_nsec: attr.ctimensec },
    mtime: { tv_sec: attr.mtime, tv_nsec: attr.mtimensec },
    // As linux/kdev_t.h:new_decode_dev().
    rdev_major: (rdev >>> 8) & 0xfff,
    rdev_minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
    dev_major: 0,
    dev_minor: 0,
  };
}

function sizeOf(mount: FsContext, inode: Inode): Wide {
  switch (inode.kind) {
    case "file":
      if (mount.control.owns(inode)) return mount.control.sizeOf(inode);
      return inode.lazy ? claimedSize(mount, inode) : inode.exactSize;
    case "directory":
      return (2 + inode.size) * DIRENT_SIZE;
    case "symlink":
      return inode.target.length;
    case "special":
      return 0;
  }
}

/** A writer sees the file empty, so that an append goes to the start. */
function claimedSize(mount: FsContext, file: RegularFile): number {
  return mount.handles.isBeingWritten(file) ? 0 : mount.claimedSize;
}

function blocksOf(inode: Inode): number {
  if (inode.kind === "file") return inode.allocated / 512;
  return inode.kind === "symlink" ? inode.pages * (PAGE / 512) : 0;
}

/**
 * Clears the bits that would let others run the file as its owner or group, as fs/attr.c:setattr_should_drop_suidgid().
 * Without the group's execute permission S_ISGID has another meaning, and stays for members of the group.
 */
export function dropSetId(inode: Inode, caller: Caller): void {
  inode.setMode(modeWithoutSetId(inode, caller));
}

function modeWithoutSetId(inode: Inode, caller: Caller): number {
  const { mode } = inode;
  if ((mode & (S_ISUID | S_ISGID)) === 0 || inode.kind === "directory") return mode;
  const keepsGroup = (mode & S_ISGID) === 0 || ((mode & 0o010) === 0 && inGroup(caller, inode.gid));
  return mode & ~(keepsGroup ? S_ISUID : S_ISUID | S_ISGID);
}

/** A file's capabilities end with the content, or the owner, for which they were set (security/commoncap.c). */
export function dropCapabilities(inode: Inode): void {
  if (inode.xattrs?.has(CAPABILITY) === true) removeXattr(inode, CAPABILITY);
}

const CAPABILITY = "security.capability";

/** As fs/attr.c:in_group_or_capable(). The request names one group; the others are looked up if necessary. */
export function inGroup(caller: Caller, gid: number): boolean {
  if (caller.uid === 0 || caller.gid === gid) return true;
  return statusOf(caller.pid, "Groups")?.split(/\s+/).includes(String(gid)) === true;
}

export function attributeOperations(mount: FsContext) {
  const { tree, nodes, passthrough } = mount;

  /**
   * chown(2) with neither owner nor group clears setuid, which only the owner may do. A write by any user clears it
   * too, and the kernel sends the same request for both, without checking permissions. A caller that does not have the
   * file open does not write.
   */
  function mayDropSetId(inode: Inode, caller: Caller): boolean {
    if (caller.uid === 0 || caller.uid === inode.uid || modeWithoutSetId(inode, caller) === inode.mode) return true;
    return inode.kind === "file" && mount.handles.isBeingWritten(inode);
  }

  function setAttributes(inode: Inode, request: Request<"setattr">, caller: Caller): StructValue<typeof abi.attrOut> {
    const { valid } = request;
    if ((valid & ~abi.FATTR_ATIME) !== 0) mount.ruleEntries.claim(inode);
    // What users may see of the tree changes with it.
    if (mount.authors.shared && (valid & (abi.FATTR_MODE | abi.FATTR_UID | abi.FATTR_GID)) !== 0) mount.definitions++;
    if (valid === 0 && !mayDropSetId(inode, caller)) throw new FsError("EPERM");
    if ((valid & abi.FATTR_SIZE) !== 0) {
      const file = nodes.getFile(inode.ino);
      if (mount.control.owns(file)) throw new FsError("EPERM");
      // If the size stays the same, truncate(2) updates the times only if pages are freed, or might have been, and
      // ftruncate(2) always does (mm/shmem.c:shmem_setattr).
      const changes =
        file.lazy || file.exactSize !== request.size || file.allocated > 0 || (valid & abi.FATTR_FH) !== 0;
      mount.beforeChange(file, atMost(request.size, file.size));
      file.truncate(request.size);
      mount.onWrite(file);
      if (request.size === 0) mount.regen.discard(file);
      if (changes) file.touchMtime(tree.clock);
    }
    if ((valid & abi.FATTR_MODE) !== 0) {
      inode.setMode((inode.mode & S_IFMT) | (request.mode & 0o7777));
      followMode(inode);
    }
    // chown(2) with neither owner nor group sets no field, and still clears these bits.
    const chown = (valid & (abi.FATTR_UID | abi.FATTR_GID)) !== 0 || valid === 0;
    if ((chown || (valid & abi.FATTR_KILL_SUIDGID) !== 0) && (valid & abi.FATTR_MODE) === 0) {
      const before = inode.mode;
      dropSetId(inode, caller);
      // If only these bits change, tmpfs updates the ctime only if the file has an ACL (fs/posix_acl.c:posix_acl_chmod).
      if (inode.mode !== before && followMode(inode)) inode.touchCtime(tree.clock);
    }
    if (chown || (valid & abi.FATTR_SIZE) !== 0) dropCapabilities(inode);
    if ((valid & abi.FATTR_UID) !== 0) {
      // The previous content was composed for the earlier owner.
      if (mount.authors.shared && inode.kind === "file" && inode.uid !== request.uid) mount.regen.discard(inode);
      inode.setOwner({ uid: request.uid });
    }
    if ((valid & abi.FATTR_GID) !== 0) inode.setOwner({ gid: request.gid });
    const marked = inode.kind === "directory" && !inode.marksReads(tree.clock);
    if (
      (valid & ~(abi.FATTR_SIZE | abi.FATTR_FH | abi.FATTR_LOCKOWNER | abi.FATTR_KILL_SUIDGID)) !== 0 ||
      valid === 0
    ) {
      inode.setTimes(timesIn(request, tree.clock()));
    }
    // The kernel does not report reads of a listing it has cached, but the next read must update the atime. (Pages of
    // other files may be locked by a request that waits for us.)
    if (marked && inode.marksReads(tree.clock)) mount.invalidate(inode, true);
    return attrReply(mount, inode);
  }

  function mustGenerate(inode: Inode, { pid }: Caller): inode is RegularFile {
    return inode.kind === "file" && mount.statReaders.mustGenerate(inode, pid, mount.handles);
  }

  function generateFirst<K extends "getattr" | "statx">(
    file: RegularFile,
    { unique, pid }: Header,
    name: K,
    reply: (mount: FsContext, inode: Inode) => Reply<K>,
  ): Parked {
    mount.pending.wait(file, {
      unique,
      pid,
      done: () => void mount.session().answer(unique, name, reply(mount, file)),
      fail: (error) => mount.session().fail(unique, error),
    });
    return PARKED;
  }

  return {
    getattr(_request, header) {
      const inode = nodes.get(header.nodeid);
      if (mustGenerate(inode, header)) return generateFirst(inode, header, "getattr", attrReply);
      mount.copyUps.onSizeSent(inode, header.pid);
      return attrReply(mount, inode);
    },

    statx(_request, header) {
      const inode = nodes.get(header.nodeid);
      if (mustGenerate(inode, header)) return generateFirst(inode, header, "statx", statxReply);
      mount.copyUps.onSizeSent(inode, header.pid);
      return statxReply(mount, inode);
    },

    setattr(request, header) {
      const inode = nodes.get(header.nodeid);
      // While a size is set, the kernel writes nothing back (fs/fuse/dir.c:fuse_set_nowrite()), so waiting for that
      // would deadlock.
      const setsTime = (request.valid & (abi.FATTR_MTIME | abi.FATTR_SIZE)) === abi.FATTR_MTIME;
      if (!setsTime || inode.kind !== "file" || !passthrough.hasPages(inode)) {
        return setAttributes(inode, request, header);
      }
      const { unique, uid, gid, pid } = header;
      const parked = mount.writeback.flush(inode, unique, () => {
        const session = mount.session();
        try {
          session.answer(unique, "setattr", setAttributes(inode, request, { uid, gid, pid }));
        } catch (error) {
          session.fail(unique, error);
        }
      });
      return parked ? PARKED : setAttributes(inode, request, header);
    },

    statfs() {
      const { space } = tree;
      const limited = Number.isFinite(space.pageLimit);
      const countedInodes = Number.isFinite(space.inodeLimit);
      return {
        // tmpfs without a limit reports 0, which df takes for "not a real filesystem".
        blocks: limited ? space.pageLimit : 0,
        bfree: limited ? space.freePages : 0,
        bavail: limited ? space.freePages : 0,
        files: countedInodes ? space.inodeLimit : 0,
        ffree: countedInodes ? Math.max(0, space.inodeLimit - space.usedInodes) : 0,
        bsize: PAGE,
        namelen: NAME_MAX,
        frsize: PAGE,
      };
    },
  } satisfies Filesystem;
}

/** How SETATTR changes an inode's times. */
function timesIn({ valid, atime, atimensec, mtime, mtimensec }: Request<"setattr">, now: Time): SomeTimes {
  const times: { -readonly [K in keyof SomeTimes]: SomeTimes[K] } = { ctime: now };
  if ((valid & abi.FATTR_ATIME) !== 0)
    times.atime = (valid & abi.FATTR_ATIME_NOW) !== 0 ? now : timeOf(atime, atimensec);
  if ((valid & abi.FATTR_MTIME) !== 0)
    times.mtime = (valid & abi.FATTR_MTIME_NOW) !== 0 ? now : timeOf(mtime, mtimensec);
  return times;
}

function timeOf(seconds: number, nanoseconds: number): Time {
  return { seconds, nanoseconds };
}

/** The caller, as the owner of what is created. */
export function ownerOf(header: { readonly uid: number; readonly gid: number }): { uid: number; gid: number } {
  return { uid: header.uid, gid: header.gid };
}
