/**
 * What the kernel may keep, stated once.
 *
 * Every change but our own passes through the kernel, so it may keep names, attributes, pages, directory listings and
 * "no such file" for as long as it likes. What our side changes (generated content, control files) is reported by a
 * notification, or not kept at all.
 */
import * as abi from "../../fuse/abi.ts";

/** Seconds. Practically forever, without overflowing the kernel's arithmetic. */
export const KEEP_SECONDS = 1_000_000;

/** 1 MiB: the most the kernel sends at once (max_pages 256). */
export const MAX_WRITE = 1 << 20;

/** What is asked of the kernel at the handshake, and why. */
export const CAPABILITIES =
  // Several reads of one file, and several lookups in one directory, at a time.
  abi.FUSE_ASYNC_READ |
  abi.FUSE_PARALLEL_DIROPS |
  abi.FUSE_ASYNC_DIO |
  // O_TRUNC comes with OPEN, not as a SETATTR of its own: so a truncating open of a pending file never generates.
  abi.FUSE_ATOMIC_O_TRUNC |
  // Writes of more than a page, up to MAX_WRITE.
  abi.FUSE_BIG_WRITES |
  abi.FUSE_MAX_PAGES |
  // We apply the umask, because with a default ACL it must not be applied.
  abi.FUSE_DONT_MASK |
  // Names and attributes in one request, when somebody is going to ask for the attributes.
  abi.FUSE_DO_READDIRPLUS |
  abi.FUSE_READDIRPLUS_AUTO |
  // Setuid bits are cleared by us on writes; else every write asks for security.capability first.
  abi.FUSE_HANDLE_KILLPRIV_V2 |
  // Access control lists are the kernel's to enforce and to keep, and ours to store and to keep in step with the mode.
  abi.FUSE_POSIX_ACL |
  // Who sets a list without being in the file's group clears its setgid bit: the request says so.
  abi.FUSE_SETXATTR_EXT |
  // A symlink's target never changes.
  abi.FUSE_CACHE_SYMLINKS |
  // File handles are good for as long as their inode lives, not only while the kernel remembers it.
  abi.FUSE_EXPORT_SUPPORT |
  // OPENDIR and RELEASEDIR are never sent; listings are kept until the directory changes.
  abi.FUSE_NO_OPENDIR_SUPPORT |
  // Pages are dropped when we say so, not whenever a modification time looks new.
  abi.FUSE_EXPLICIT_INVAL_DATA |
  // After an abort, reads of the device say ECONNABORTED rather than ENODEV.
  abi.FUSE_ABORT_ERROR;

/** As above, of the second word of flags. */
export const CAPABILITIES2 =
  // The kernel reads and writes large files itself; see passthrough.ts.
  abi.FUSE_PASSTHROUGH;
