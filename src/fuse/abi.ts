/**
 * The kernel's structs and constants, as in <linux/fuse.h>: same names, same order, nothing else.
 * `test/fuse/abi.test.ts` compares sizes and offsets with the header through the C compiler.
 */
import { i32, i64, name, nested, pad, rest, struct, u16, u32, u64, wide64 } from "./wire.ts";

export const FUSE_KERNEL_VERSION = 7;
/** The newest minor version that this file supports. The session uses the lower of this and the kernel's. */
export const FUSE_KERNEL_MINOR_VERSION = 45;
/** Linux 5.4, the oldest supported kernel. */
export const OLDEST_MINOR_VERSION = 31;
export const FUSE_ROOT_ID = 1;
export const FUSE_MIN_READ_BUFFER = 8192;

// Capabilities of INIT: `flags` contains bits 0 to 31, `flags2` the rest (with FUSE_INIT_EXT).
export const FUSE_ASYNC_READ = 1 << 0;
export const FUSE_ATOMIC_O_TRUNC = 1 << 3;
export const FUSE_EXPORT_SUPPORT = 1 << 4;
export const FUSE_BIG_WRITES = 1 << 5;
export const FUSE_DONT_MASK = 1 << 6;
export const FUSE_SPLICE_WRITE = 1 << 7;
export const FUSE_AUTO_INVAL_DATA = 1 << 12;
export const FUSE_DO_READDIRPLUS = 1 << 13;
export const FUSE_READDIRPLUS_AUTO = 1 << 14;
export const FUSE_ASYNC_DIO = 1 << 15;
export const FUSE_WRITEBACK_CACHE = 1 << 16;
export const FUSE_NO_OPEN_SUPPORT = 1 << 17;
export const FUSE_PARALLEL_DIROPS = 1 << 18;
export const FUSE_HANDLE_KILLPRIV = 1 << 19;
export const FUSE_POSIX_ACL = 1 << 20;
export const FUSE_ABORT_ERROR = 1 << 21;
export const FUSE_MAX_PAGES = 1 << 22;
export const FUSE_CACHE_SYMLINKS = 1 << 23;
export const FUSE_NO_OPENDIR_SUPPORT = 1 << 24;
export const FUSE_EXPLICIT_INVAL_DATA = 1 << 25;
export const FUSE_HANDLE_KILLPRIV_V2 = 1 << 28;
export const FUSE_SETXATTR_EXT = 1 << 29;
export const FUSE_INIT_EXT = 1 << 30;
// In flags2: bit number minus 32.
export const FUSE_PASSTHROUGH = 1 << 5;
export const FUSE_REQUEST_TIMEOUT = 1 << 10;
export const FUSE_DIRECT_IO_ALLOW_MMAP = 1 << 4;

// setattr: which fields are valid.
export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;
export const FATTR_FH = 1 << 6;
export const FATTR_ATIME_NOW = 1 << 7;
export const FATTR_MTIME_NOW = 1 << 8;
export const FATTR_LOCKOWNER = 1 << 9;
export const FATTR_CTIME = 1 << 10;
export const FATTR_KILL_SUIDGID = 1 << 11;

// Properties of an open file.
export const FOPEN_DIRECT_IO = 1 << 0;
export const FOPEN_KEEP_CACHE = 1 << 1;
export const FOPEN_NONSEEKABLE = 1 << 2;
export const FOPEN_CACHE_DIR = 1 << 3;
export const FOPEN_STREAM = 1 << 4;
export const FOPEN_NOFLUSH = 1 << 5;
export const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6;
export const FOPEN_PASSTHROUGH = 1 << 7;

export const FUSE_GETATTR_FH = 1 << 0;
export const FUSE_OPEN_KILL_SUIDGID = 1 << 0;
export const FUSE_WRITE_CACHE = 1 << 0;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
export const FUSE_RELEASE_FLUSH = 1 << 0;
/** In setxattr_flags: the caller is not in the group of the file whose ACL it sets. */
export const FUSE_SETXATTR_ACL_KILL_SGID = 1 << 0;
export const FUSE_FSYNC_FDATASYNC = 1 << 0;

// Notifications: sent as a reply with unique 0 and the code in `error`.
export const FUSE_NOTIFY_INVAL_INODE = 2;
export const FUSE_NOTIFY_INVAL_ENTRY = 3;
export const FUSE_NOTIFY_STORE = 4;
export const FUSE_NOTIFY_DELETE = 6;

export const inHeader = struct({
  len: u32,
  opcode: u32,
  unique: u64,
  nodeid: u64,
  uid: u32,
  gid: u32,
  pid: u32,
  total_extlen: u16,
  padding: pad(2),
});

export const outHeader = struct({ len: u32, error: i32, unique: u64 });

const attrStruct = struct({
  ino: u64,
  size: wide64,
  blocks: u64,
  atime: i64,
  mtime: i64,
  ctime: i64,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  mode: u32,
  nlink: u32,
  uid: u32,
  gid: u32,
  rdev: u32,
  blksize: u32,
  flags: u32,
});

export const attr = nested(attrStruct);
export const attrSize = attrStruct.size;

export const entryOut = struct({
  nodeid: u64,
  generation: u64,
  entry_valid: u64,
  attr_valid: u64,
  entry_valid_nsec: u32,
  attr_valid_nsec: u32,
  attr,
});

export const attrOut = struct({ attr_valid: u64, attr_valid_nsec: u32, dummy: pad(4), attr });

export const statxIn = struct({ getattr_flags: u32, reserved: pad(4), fh: u64, sx_flags: u32, sx_mask: u32 });

const sxTimeStruct = struct({ tv_sec: i64, tv_nsec: u32, reserved: pad(4) });
const sxTime = nested(sxTimeStruct);

export const statx = struct({
  mask: u32,
  blksize: u32,
  attributes: u64,
  nlink: u32,
  uid: u32,
  gid: u32,
  mode: u16,
  spare0: pad(2),
  ino: u64,
  size: wide64,
  blocks: u64,
  attributes_mask: u64,
  atime: sxTime,
  btime: sxTime,
  ctime: sxTime,
  mtime: sxTime,
  rdev_major: u32,
  rdev_minor: u32,
  dev_major: u32,
  dev_minor: u32,
  spare2: pad(112),
});

/** Since 7.39. */
export const statxOut = struct({
  attr_valid: u64,
  attr_valid_nsec: u32,
  flags: u32,
  spare: pad(16),
  stat: nested(statx),
});

export const openOut = struct({ fh: u64, open_flags: u32, backing_id: i32 });

/** The replies to create and tmpfile: an entry followed by an open file. */
export const createOut = struct({ entry: nested(entryOut), open: nested(openOut) });

export const forgetIn = struct({ nlookup: u64 });
/** Followed by `count` times forgetOne. */
export const batchForgetIn = struct({ count: u32, dummy: pad(4), forgets: rest });
export const forgetOne = struct({ nodeid: u64, nlookup: u64 });

export const getattrIn = struct({ getattr_flags: u32, dummy: pad(4), fh: u64 });
export const setattrIn = struct({
  valid: u32,
  padding: pad(4),
  fh: u64,
  size: wide64,
  lock_owner: pad(8),
  atime: i64,
  mtime: i64,
  ctime: i64,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  mode: u32,
  unused4: pad(4),
  uid: u32,
  gid: u32,
  unused5: pad(4),
});

export const mknodIn = struct({ mode: u32, rdev: u32, umask: u32, padding: pad(4), name });
export const mkdirIn = struct({ mode: u32, umask: u32, name });
export const renameIn = struct({ newdir: u64, name, newname: name });
export const rename2In = struct({ newdir: u64, flags: u32, padding: pad(4), name, newname: name });
export const linkIn = struct({ oldnodeid: u64, name });
export const openIn = struct({ flags: u32, open_flags: u32 });
export const createIn = struct({ flags: u32, mode: u32, umask: u32, open_flags: u32, name });
export const releaseIn = struct({ fh: u64, flags: u32, release_flags: u32, lock_owner: pad(8) });
export const flushIn = struct({ fh: u64, unused: pad(4), padding: pad(4), lock_owner: pad(8) });
export const readIn = struct({
  fh: u64,
  offset: wide64,
  size: u32,
  read_flags: u32,
  lock_owner: pad(8),
  flags: u32,
  padding: pad(4),
});
export const writeIn = struct({
  fh: u64,
  offset: wide64,
  size: u32,
  write_flags: u32,
  lock_owner: pad(8),
  flags: u32,
  padding: pad(4),
  data: rest,
});
export const writeOut = struct({ size: u32, padding: pad(4) });

export const statfsOut = struct({
  blocks: u64,
  bfree: u64,
  bavail: u64,
  files: u64,
  ffree: u64,
  bsize: u32,
  namelen: u32,
  frsize: u32,
  padding: pad(4),
  spare: pad(24),
});

export const fsyncIn = struct({ fh: u64, fsync_flags: u32, padding: pad(4) });
/** With FUSE_SETXATTR_EXT (7.33). */
export const setxattrIn = struct({ size: u32, flags: u32, setxattr_flags: u32, padding: pad(4), name, value: rest });
/** Without FUSE_SETXATTR_EXT. */
export const setxattrInCompat = struct({ size: u32, flags: u32, name, value: rest });
export const getxattrIn = struct({ size: u32, padding: pad(4), name });
export const listxattrIn = struct({ size: u32, padding: pad(4) });
export const getxattrOut = struct({ size: u32, padding: pad(4) });
export const accessIn = struct({ mask: u32, padding: pad(4) });
export const interruptIn = struct({ unique: u64 });
export const fallocateIn = struct({ fh: u64, offset: wide64, length: wide64, mode: u32, padding: pad(4) });
export const ioctlIn = struct({
  fh: u64,
  flags: u32,
  cmd: u32,
  arg: u64,
  in_size: u32,
  out_size: u32,
  data: rest,
});
export const ioctlOut = struct({ result: u32, flags: u32, in_iovs: u32, out_iovs: u32 });
export const lseekIn = struct({ fh: u64, offset: wide64, whence: u32, padding: pad(4) });
export const lseekOut = struct({ offset: wide64 });
export const copyFileRangeIn = struct({
  fh_in: u64,
  off_in: wide64,
  nodeid_out: u64,
  fh_out: u64,
  off_out: wide64,
  len: wide64,
  flags: u64,
});
export const syncfsIn = struct({ padding: pad(8) });

/** What every kernel since 7.6 sends; `flags2` and the rest only with FUSE_INIT_EXT (7.36). */
export const initIn = struct({ major: u32, minor: u32, max_readahead: u32, flags: u32 });
export const initInExtended = struct({ flags2: u32, unused: pad(44) });
export const initOut = struct({
  major: u32,
  minor: u32,
  max_readahead: u32,
  flags: u32,
  max_background: u16,
  congestion_threshold: u16,
  max_write: u32,
  time_gran: u32,
  max_pages: u16,
  map_alignment: u16,
  flags2: u32,
  max_stack_depth: u32,
  request_timeout: u16,
  unused: pad(22),
});

export const dirent = struct({ ino: u64, off: u64, namelen: u32, type: u32 });

export const notifyStoreOut = struct({ nodeid: u64, offset: u64, size: u32, padding: pad(4) });
export const notifyInvalInodeOut = struct({ ino: u64, off: i64, len: i64 });
export const notifyInvalEntryOut = struct({ parent: u64, namelen: u32, flags: u32, name });
export const notifyDeleteOut = struct({ parent: u64, child: u64, namelen: u32, padding: pad(4), name });

/** FUSE_DEV_IOC_BACKING_OPEN: _IOW(229, 1, struct fuse_backing_map). */
export const backingMap = struct({ fd: i32, flags: u32, padding: pad(8) });
export const FUSE_DEV_IOC_BACKING_OPEN = 0x4010e501;
export const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004e502;
