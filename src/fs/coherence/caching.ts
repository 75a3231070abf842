/**
 * What the kernel may cache.
 *
 * All changes but our own pass through the kernel, so it may cache names, attributes, pages, directory listings and
 * missing names for as long as it likes. When our side changes something (generated content, control files), the kernel
 * is notified, or it was asked not to cache it.
 */
import * as abi from "../../fuse/abi.ts";

/** In seconds: practically forever, without overflowing the kernel's arithmetic. */
export const KEEP_SECONDS = 1_000_000;

/** 1 MiB: the most the kernel sends at once (max_pages 256). */
export const MAX_WRITE = 1 << 20;

/** The capabilities requested from the kernel at the handshake, and why. */
export const CAPABILITIES =
  // Several reads of one file, and several lookups in one directory, may run at the same time.
  abi.FUSE_ASYNC_READ |
  abi.FUSE_PARALLEL_DIROPS |
  abi.FUSE_ASYNC_DIO |
  // O_TRUNC is part of OPEN rather than a separate SETATTR, so a truncating open of a pending file never generates.
  abi.FUSE_ATOMIC_O_TRUNC |
  // Writes of more than a page, up to MAX_WRITE.
  abi.FUSE_BIG_WRITES |
  abi.FUSE_MAX_PAGES |
  // We apply the umask, because with a default ACL it must not be applied.
  abi.FUSE_DONT_MASK |
  // Every listing returns attributes with the names. With FUSE_READDIRPLUS_AUTO, only the first page of a directory would, so
  // that a program that lists first and calls stat later (find, rsync, du, os.walk) would send a LOOKUP for each file.
  abi.FUSE_DO_READDIRPLUS |
  // We clear setuid bits on writes. Otherwise the kernel would ask for security.capability before every write.
  abi.FUSE_HANDLE_KILLPRIV_V2 |
  // The kernel enforces and caches access control lists; we store them and keep them in step with the mode.
  abi.FUSE_POSIX_ACL |
  // A caller outside the file's group who sets a list clears its setgid bit; the request says so.
  abi.FUSE_SETXATTR_EXT |
  // A symlink's target never changes.
  abi.FUSE_CACHE_SYMLINKS |
  // File handles stay valid as long as their inode lives, not only while the kernel remembers it.
  abi.FUSE_EXPORT_SUPPORT |
  // OPENDIR and RELEASEDIR are never sent; listings are cached until the directory changes.
  abi.FUSE_NO_OPENDIR_SUPPORT |
  // Pages are dropped when we notify the kernel, not whenever a modification time looks new.
  abi.FUSE_EXPLICIT_INVAL_DATA |
  // After an abort, reads of the device fail with ECONNABORTED instead of ENODEV.
  abi.FUSE_ABORT_ERROR;

/** The same, for the second word of flags. */
export const CAPABILITIES2 =
  // The kernel reads and writes large files itself; see passthrough.ts.
  abi.FUSE_PASSTHROUGH;
