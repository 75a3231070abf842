/**
 * POSIX access control lists, in step with the mode.
 *
 * They are stored as extended attributes (linux/posix_acl_xattr.h): a version, then entries of tag, permissions and id,
 * 8 bytes each. The kernel reads and enforces them. How list and mode change each other, and what a directory's default
 * list passes on, is up to the filesystem, as in fs/posix_acl.c. An inode whose mode says everything has no such
 * attribute.
 */
import { FsError } from "../../errno.ts";
import type { Directory } from "../directory.ts";
import { type Inode, type Owner, S_ISGID } from "../inode.ts";
import type { Credentials } from "./credentials.ts";

export const ACL_ACCESS = "system.posix_acl_access";
export const ACL_DEFAULT = "system.posix_acl_default";

const VERSION = 2;
const HEADER = 4;
const ENTRY = 8;

const USER_OBJ = 0x01;
const USER = 0x02;
const GROUP_OBJ = 0x04;
const GROUP = 0x08;
const MASK = 0x10;
const OTHER = 0x20;

export function isAcl(name: string): boolean {
  return name === ACL_ACCESS || name === ACL_DEFAULT;
}

/**
 * As fs/posix_acl.c:simple_set_acl(): a list that says no more than a mode becomes the mode; any other list sets the
 * mode's permission bits. Keeps `value` itself. `dropSetGid`: the caller is not in the file's group. Throws EACCES for
 * a default list on something other than a directory, EINVAL and EOPNOTSUPP for an invalid list.
 */
export function setAcl(inode: Inode, name: string, value: Uint8Array, dropSetGid = false): void {
  checkAcl(value);
  if (name === ACL_DEFAULT) {
    if (inode.kind !== "directory") throw new FsError("EACCES");
    storeAcl(inode, name, value);
    return;
  }
  inode.setMode((inode.mode & ~0o777) | modeOf(value));
  if (dropSetGid) inode.setMode(inode.mode & ~S_ISGID);
  if (isMode(value)) removeAcl(inode, name);
  else storeAcl(inode, name, value);
}

/** Returns false if there was none. */
export function removeAcl(inode: Inode, name: string): boolean {
  return inode.dropXattr(name);
}

/** Updates the list after the mode's permission bits were set (posix_acl_chmod). Returns false if there is none. */
export function followMode(inode: Inode): boolean {
  const acl = inode.xattrs?.get(ACL_ACCESS);
  if (acl === undefined) return false;
  storeAcl(inode, ACL_ACCESS, withMode(acl, inode.mode));
  return true;
}

/**
 * What a directory's default list passes on to a new entry, as posix_acl_create(): the list, limited by the requested
 * mode, instead of the umask. A directory also gets the default list.
 */
export function inheritAcl(directory: Directory, made: Inode, mode: number): void {
  const inherited = directory.xattrs?.get(ACL_DEFAULT);
  if (inherited === undefined || made.kind === "symlink") return;
  const bits = mode & modeOf(inherited);
  made.setMode((made.mode & ~0o777) | bits);
  if (!isMode(inherited)) storeAcl(made, ACL_ACCESS, withMode(inherited, bits));
  if (made.kind === "directory") storeAcl(made, ACL_DEFAULT, inherited);
}

/**
 * As fs/posix_acl.c:posix_acl_permission(). `want` contains the required bits, of the three that a mode has for each
 * class.
 */
export function aclAllows(acl: Uint8Array, owner: Owner, who: Credentials, want: number): boolean {
  let mask = 7;
  for (const { tag, permissions } of readEntries(acl)) if (tag === MASK) mask = permissions;
  const has = (permissions: number) => (permissions & want) === want;
  let inGroup = false;
  for (const { tag, permissions, id } of readEntries(acl)) {
    if (tag === USER_OBJ && who.uid === owner.uid) return has(permissions);
    if (tag === USER && who.uid === id) return has(permissions & mask);
    if ((tag === GROUP_OBJ && who.inGroup(owner.gid)) || (tag === GROUP && who.inGroup(id))) {
      if (has(permissions)) return has(permissions & mask);
      inGroup = true;
    }
    if (tag === OTHER) return !inGroup && has(permissions);
  }
  return false;
}

function storeAcl(inode: Inode, name: string, value: Uint8Array): void {
  inode.putXattr(name, value);
}

function* readEntries(
  acl: Uint8Array,
): Generator<{ readonly tag: number; readonly permissions: number; readonly id: number; readonly at: number }> {
  const view = new DataView(acl.buffer, acl.byteOffset, acl.length);
  for (let at = HEADER; at < acl.length; at += ENTRY) {
    yield {
      tag: view.getUint16(at, true),
      permissions: view.getUint16(at + 2, true),
      id: view.getUint32(at + 4, true),
      at,
    };
  }
}

/**
 * As posix_acl_from_xattr() and posix_acl_valid(): the entries are in the order of their tags, and include those of a
 * mode.
 */
function checkAcl(acl: Uint8Array): void {
  const view = new DataView(acl.buffer, acl.byteOffset, acl.length);
  if (acl.length < HEADER || (acl.length - HEADER) % ENTRY !== 0) throw new FsError("EINVAL");
  if (view.getUint32(0, true) !== VERSION) throw new FsError("EOPNOTSUPP");
  let before = 0;
  let seen = 0;
  for (const { tag, permissions } of readEntries(acl)) {
    const many = tag === USER || tag === GROUP;
    if (![USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER].includes(tag)) throw new FsError("EINVAL");
    if (tag < before || (tag === before && !many) || (permissions & ~7) !== 0) throw new FsError("EINVAL");
    before = tag;
    seen |= tag;
  }
  const needed = USER_OBJ | GROUP_OBJ | OTHER | ((seen & (USER | GROUP)) !== 0 ? MASK : 0);
  if ((seen & needed) !== needed) throw new FsError("EINVAL");
}

/** Whether the list has only the entries of a mode. */
function isMode(acl: Uint8Array): boolean {
  for (const { tag } of readEntries(acl)) if (tag === USER || tag === GROUP || tag === MASK) return false;
  return true;
}

/** The permission bits that stat(2) shows: if there is a mask, it replaces the group's. */
function modeOf(acl: Uint8Array): number {
  let mode = 0;
  for (const { tag, permissions } of readEntries(acl)) {
    if (tag === USER_OBJ) mode |= permissions << 6;
    else if (tag === GROUP_OBJ) mode |= permissions << 3;
    else if (tag === MASK) mode = (mode & ~0o070) | (permissions << 3);
    else if (tag === OTHER) mode |= permissions;
  }
  return mode;
}

/** A copy with the permissions of owner, mask (or group, without one) and others taken from a mode. */
function withMode(acl: Uint8Array, mode: number): Uint8Array {
  const copy = Uint8Array.from(acl);
  const view = new DataView(copy.buffer);
  const masked = [...readEntries(acl)].some(({ tag }) => tag === MASK);
  for (const { tag, at } of readEntries(acl)) {
    if (tag === USER_OBJ) view.setUint16(at + 2, (mode >> 6) & 7, true);
    else if (tag === (masked ? MASK : GROUP_OBJ)) view.setUint16(at + 2, (mode >> 3) & 7, true);
    else if (tag === OTHER) view.setUint16(at + 2, mode & 7, true);
  }
  return copy;
}
