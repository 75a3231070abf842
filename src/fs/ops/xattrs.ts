/**
 * Extended attributes, and the effects of setting and reading llmfs's own. ATTRIBUTES (attributes.ts) describes each of
 * them. On a shared mount not every user may set all of them: see authors.ts.
 */
import {
  checkSetting,
  DENIED,
  DEPENDS,
  ERROR,
  GENERATOR,
  ORIGIN,
  PROMPT,
  REGEN,
  STATE,
  suggestName,
} from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import * as abi from "../../fuse/abi.ts";
import type { Filesystem, Header } from "../../fuse/ops.ts";
import { printable } from "../../text/printable.ts";
import type { Directory } from "../../tree/directory.ts";
import type { RegularFile } from "../../tree/file.ts";
import { type Inode, S_ISGID } from "../../tree/inode.ts";
import { compareBytes } from "../../tree/path.ts";
import { ACL_ACCESS, isAcl, removeAcl, setAcl } from "../../tree/permissions/acl.ts";
import { removeXattr, setXattr, XATTR_SIZE_MAX, xattrNames, xattrSpace } from "../../tree/xattrs.ts";
import type { FsContext } from "../context.ts";
import { revealedBy } from "../permissions/view.ts";
import { inGroup } from "./attributes.ts";

/**
 * With SELinux enabled, the kernel answers for it without asking us. With SELinux disabled, `ls -l` asks for it on
 * every file until it learns that the filesystem does not support it (coreutils, src/ls.c:getfilecon_cache()). The
 * kernel does not cache attributes.
 */
const SELINUX = "security.selinux";
/** The kernel asks for the capabilities of every new file. */
const NO_SUCH_ATTRIBUTE = new FsError("ENODATA");
/** See StatReaders.mayLackAcls. */
const NO_ACLS = new FsError("EOPNOTSUPP", "nothing here has an access control list");
/** The namespaces that tmpfs supports. Apart from ACLs, this filesystem has no other attributes. */
const NAMESPACES = ["user.", "trusted.", "security."];

/** Maximum number of recently returned origins that are remembered. */
const MOST_ORIGINS = 1024;

/** Maximum number of different names to warn about. */
const DOUBTS = 100;

/** As fs/xattr.c:xattr_resolve_name() for tmpfs. Throws EOPNOTSUPP; EINVAL for a namespace without a name. */
function checkName(name: string): void {
  const namespace = NAMESPACES.find((prefix) => name.startsWith(prefix));
  if (namespace === undefined) throw new FsError("EOPNOTSUPP");
  if (name.length === namespace.length) throw new FsError("EINVAL");
}

/** Returns the value of an attribute that is computed rather than stored; undefined for any other attribute. */
function deriveXattr(inode: Inode, name: string, mount: FsContext): string | undefined {
  if (name === STATE && inode.kind === "file") return inode.state;
  if (name === DENIED) return mount.programs.denialOf(inode);
  return name === ERROR ? errorOf(inode, mount) : undefined;
}

/** Why a file has no content or could not be renewed, or why a directory could not be listed. */
function errorOf(inode: Inode, mount: FsContext): string | undefined {
  const error = inode.kind === "file" ? inode.error : undefined;
  if (error !== undefined) return printable(`${error.code}: ${error.message}`);
  return mount.failedRenewals.of(inode)?.error;
}

/** As bytes, cut to the maximum size of an attribute. */
function clip(text: string): Uint8Array {
  return Buffer.from(text).subarray(0, XATTR_SIZE_MAX);
}

/** Ordinary files have only attributes that a user set, so that copies of them equal the original everywhere. */
function listNames(inode: Inode, mount: FsContext): string[] {
  const stored = xattrNames(inode);
  const told: string[] = inode.kind === "file" && inode.state !== "static" ? [STATE] : [];
  if (errorOf(inode, mount) !== undefined) told.push(ERROR);
  if (mount.programs.denialOf(inode) !== undefined) told.push(DENIED);
  return told.length === 0 ? stored : [...stored, ...told].sort(compareBytes);
}

export function xattrOperations(mount: FsContext) {
  const { tree, nodes } = mount;
  /** Names for which a warning was logged. */
  const doubted = new Set<string>();
  /**
   * Recently read values of ORIGIN, oldest first. Setting the same value is how a program copies a file with its
   * attributes.
   */
  const origins = new Set<string>();

  function noteOrigin(value: Uint8Array): void {
    origins.add(Buffer.from(value).toString("latin1"));
    const [oldest] = origins.size > MOST_ORIGINS ? origins : [];
    if (oldest !== undefined) origins.delete(oldest);
  }

  function warnIfMisspelt(name: string): void {
    const guess = doubted.size < DOUBTS && !doubted.has(name) ? suggestName(name) : undefined;
    if (guess === undefined) return;
    doubted.add(name);
    mount.warn(`${name} was set, which means nothing to llmfs; did you mean ${guess}?`);
  }

  /** getxattr(2) and listxattr(2): with size 0 the caller asks for the length. Throws ERANGE. */
  function replyValue(value: Uint8Array, size: number, target: Buffer): number {
    if (size === 0) {
      target.writeUInt32LE(value.length, 0);
      target.writeUInt32LE(0, 4);
      return 8;
    }
    if (value.length > size) throw new FsError("ERANGE");
    target.set(value);
    return value.length;
  }

  /** On a shared mount, a user sees only those new names of other files that the user could list. */
  function mayRevealTo(uid: number): ((directory: Directory) => boolean) | undefined {
    return mount.authors.trusts(uid) ? undefined : revealedBy(mount.authors.viewFor(uid));
  }

  function becomePending(file: RegularFile): void {
    if (file.state === "generating") return;
    file.state = "pending";
    file.error = undefined;
    mount.pending.forgive(file);
    mount.invalidate(file, false);
  }

  function becomeStatic(file: RegularFile): void {
    if (!file.lazy) {
      file.state = "static";
      return;
    }
    mount.beforeChange(file);
    mount.onWrite(file);
  }

  /**
   * A copy of a file has the same attributes, so "ready" and "static" are accepted if they change nothing. On a file
   * without content "static" makes it an empty file; on an empty file "pending" makes it pending.
   */
  function setState(file: RegularFile, state: string): void {
    if (state === "static") return becomeStatic(file);
    if (state === "ready" && !file.lazy) {
      file.state = "ready";
      return;
    }
    if (state === "pending" && (file.lazy || file.size === 0)) return becomePending(file);
    throw new FsError("EINVAL", `a ${file.state} file of ${file.size} bytes cannot become ${state}`);
  }

  function setAttribute(inode: Inode, name: string, value: Uint8Array, flags: number, { uid, pid }: Header): void {
    checkName(name);
    if (name === DENIED) throw new FsError("EPERM", `${DENIED} is read-only`);
    if (name === ERROR && (inode.kind === "file" || inode.kind === "directory")) {
      throw new FsError("EPERM", `${ERROR} is read-only`);
    }
    if (inode.kind === "file") {
      const text = Buffer.from(value).toString("utf8");
      if (name === STATE) {
        if (text === "pending") mount.authors.checkAuthor(inode, uid);
        return setState(inode, text);
      }
      if (name === REGEN) {
        mount.authors.checkRegeneration(inode, text.startsWith("again:"), uid);
        return mount.regen.set(inode, text, pid);
      }
    }
    const copies = name === ORIGIN && origins.has(Buffer.from(value).toString("latin1"));
    mount.authors.check(inode, name, Buffer.from(value).toString("utf8"), uid, copies);
    checkSetting(name, value);
    setXattr(inode, name, Uint8Array.from(value), flags);
    if (name === DEPENDS) tree.movedNames.noteReferences(inode, value);
    warnIfMisspelt(name);
    if (inode.kind !== "file" || (name !== GENERATOR && name !== PROMPT)) return;
    if (name === GENERATOR && Buffer.from(value).toString("utf8") === "static") return becomeStatic(inode);
    if (inode.lazy || inode.size === 0) becomePending(inode);
  }

  return {
    getxattr({ name, size }, header, target) {
      if (!isAcl(name)) checkName(name);
      const inode = nodes.get(header.nodeid);
      if (isAcl(name) && !mount.hasAcls && mount.statReaders.mayLackAcls(inode, header)) throw NO_ACLS;
      const told =
        name === REGEN && inode.kind === "file" ? mount.regen.errorOf(inode) : deriveXattr(inode, name, mount);
      if (name === SELINUX && inode.xattrs?.has(name) !== true) throw new FsError("EOPNOTSUPP");
      const stored = told === undefined ? inode.xattrs?.get(name) : clip(told);
      if (stored === undefined) return NO_SUCH_ATTRIBUTE;
      const value = name === DEPENDS ? tree.movedNames.currentPaths(inode, stored, mayRevealTo(header.uid)) : stored;
      if (name === ORIGIN && size >= value.length) noteOrigin(value);
      return replyValue(value, size, target);
    },

    listxattr({ size }, header, target) {
      const inode = nodes.get(header.nodeid);
      mount.copyUps.onListxattr(inode, header.pid);
      const own = listNames(inode, mount);
      // As fs/xattr.c:simple_xattr_list(): "trusted" is shown to those who may read it.
      const all = header.uid === 0 ? own : own.filter((name) => !name.startsWith("trusted."));
      return replyValue(Buffer.from(all.map((name) => `${name}\0`).join(""), "latin1"), size, target);
    },

    setxattr({ name, value, flags, size, setxattr_flags }, header) {
      const inode = nodes.get(header.nodeid);
      // Setting it requests new content and defines nothing.
      if (name !== REGEN) mount.definitions++;
      if (mount.control.owns(inode)) throw new FsError("EPERM");
      mount.ruleEntries.claim(inode);
      if (size !== value.length) throw new FsError("EIO", `setxattr: ${size} bytes announced, ${value.length} sent`);
      const before = xattrSpace(name, inode.xattrs?.get(name));
      tree.space.checkXattrs(xattrSpace(name, value) - before);
      if (isAcl(name)) {
        const dropSetGid = (setxattr_flags & abi.FUSE_SETXATTR_ACL_KILL_SGID) !== 0;
        mount.hasAcls = true;
        setAcl(inode, name, Uint8Array.from(value), dropSetGid);
      } else setAttribute(inode, name, value, flags, header);
      tree.space.countXattrs(inode, xattrSpace(name, inode.xattrs?.get(name)) - before);
      inode.touchCtime(tree.clock);
    },

    removexattr({ name }, header) {
      mount.definitions++;
      const inode = nodes.get(header.nodeid);
      mount.ruleEntries.claim(inode);
      if (!isAcl(name)) checkName(name);
      mount.authors.check(inode, name, undefined, header.uid);
      const before = xattrSpace(name, inode.xattrs?.get(name));
      if (deriveXattr(inode, name, mount) !== undefined) throw new FsError("EPERM", `${name} is read-only`);
      if (isAcl(name)) {
        removeAcl(inode, name);
        // Unlike SETXATTR, the request does not say whether the caller is in the group (posix_acl_update_mode).
        if (name === ACL_ACCESS && (inode.mode & S_ISGID) !== 0 && !inGroup(header, inode.gid))
          inode.setMode(inode.mode & ~S_ISGID);
      } else removeXattr(inode, name);
      tree.space.countXattrs(inode, -before);
      inode.touchCtime(tree.clock);
      if (inode.kind !== "file" || !inode.lazy || (name !== GENERATOR && name !== PROMPT)) return;
      // No generator or prompt is left to generate it.
      if (inode.xattrs?.has(GENERATOR) !== true && inode.xattrs?.has(PROMPT) !== true) becomeStatic(inode);
    },
  } satisfies Filesystem;
}
