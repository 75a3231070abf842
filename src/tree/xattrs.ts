/** Extended attributes of an inode: names and values are bytes, and the limits are Linux's (linux/limits.h). */
import { FsError } from "../errno.ts";
import type { Inode } from "./inode.ts";
import { compareBytes } from "./path.ts";

export const XATTR_NAME_MAX = 255;
export const XATTR_SIZE_MAX = 65536;

/** struct simple_xattr. */
const XATTR_HEADER = 40;

export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

/** Keeps `value` itself, so pass a copy. `flags` as in setxattr(2). Throws ERANGE, E2BIG, EEXIST, ENODATA, ENOSPC. */
export function setXattr(inode: Inode, name: string, value: Uint8Array, flags = 0): void {
  const fault = faultOf(name, value);
  if (fault !== undefined) throw fault;
  const there = inode.xattrs?.has(name) ?? false;
  if (there && (flags & XATTR_CREATE) !== 0) throw new FsError("EEXIST");
  if (!there && (flags & XATTR_REPLACE) !== 0) throw new FsError("ENODATA");
  inode.putXattr(name, value);
}

function faultOf(name: string, value: Uint8Array): FsError | undefined {
  if (name.length === 0 || name.length > XATTR_NAME_MAX) return new FsError("ERANGE");
  return value.length > XATTR_SIZE_MAX ? new FsError("E2BIG") : undefined;
}

/**
 * Sets several, without copying all attributes for each. Keeps the values. Calls `leaveOut` with those that `setXattr` would not
 * accept.
 */
export function setXattrs(
  inode: Inode,
  entries: Iterable<readonly [name: string, value: Uint8Array]>,
  leaveOut: (name: string, error: FsError) => void,
): void {
  const all = new Map(inode.xattrs);
  for (const [name, value] of entries) {
    const error = faultOf(name, value);
    if (error === undefined) all.set(name, value);
    else leaveOut(name, error);
  }
  inode.replaceXattrs(all);
}

/** Throws ENODATA. */
export function removeXattr(inode: Inode, name: string): void {
  if (!inode.dropXattr(name)) throw new FsError("ENODATA");
}

/** The memory that an attribute takes, as counted by fs/xattr.c:simple_xattr_space(); 0 if it does not exist. */
export function xattrSpace(name: string, value: Uint8Array | undefined): number {
  return value === undefined ? 0 : XATTR_HEADER + name.length + 1 + value.length;
}

/** Names in byte order. */
export function xattrNames(inode: Inode): string[] {
  return inode.xattrs === undefined ? [] : [...inode.xattrs.keys()].sort(compareBytes);
}
