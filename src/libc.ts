/**
 * The C library, through bun:ffi: the system calls that Bun has no API for.
 *
 * A shared leaf: the only file that imports "bun:ffi". Of llmfs it imports only errno and int64. Every function returns
 * what the system call returns and throws SystemError if it fails, except those of the request loop (`read`, `write`,
 * `pread`, `pwrite`, `poll`), which return the negative errno, because failures are frequent there.
 *
 * Linux only. The library is loaded at the first call, so that importing this file costs nothing and works anywhere.
 */

import { dlopen, FFIType, type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { readFileSync } from "node:fs";
import { ERRNO, errnoName, FsError } from "./errno.ts";
import { toWide, type Wide } from "./int64.ts";

const SYMBOLS = {
  __errno_location: { args: [], returns: "ptr" },
  open: { args: ["ptr", "i32", "u32"], returns: "i32" },
  openat: { args: ["i32", "ptr", "i32", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  read: { args: ["i32", "ptr", "u64"], returns: FFIType.i64_fast },
  write: { args: ["i32", "ptr", "u64"], returns: FFIType.i64_fast },
  pread: { args: ["i32", "ptr", "u64", "i64"], returns: FFIType.i64_fast },
  pwrite: { args: ["i32", "ptr", "u64", "i64"], returns: FFIType.i64_fast },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  ftruncate: { args: ["i32", "i64"], returns: "i32" },
  fallocate: { args: ["i32", "i32", "i64", "i64"], returns: "i32" },
  futimens: { args: ["i32", "ptr"], returns: "i32" },
  lseek: { args: ["i32", "i64", "i32"], returns: FFIType.i64_fast },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  memfd_create: { args: ["ptr", "u32"], returns: "i32" },
  eventfd: { args: ["u32", "i32"], returns: "i32" },
  dup2: { args: ["i32", "i32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i64"], returns: "i32" },
  setsid: { args: [], returns: "i32" },
  waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
  getuid: { args: [], returns: "u32" },
  getgid: { args: [], returns: "u32" },
  geteuid: { args: [], returns: "u32" },
  mount: { args: ["ptr", "ptr", "ptr", "u64", "ptr"], returns: "i32" },
  umount2: { args: ["ptr", "i32"], returns: "i32" },
  socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: FFIType.i64_fast },
  recvmsg: { args: ["i32", "ptr", "i32"], returns: FFIType.i64_fast },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  sched_getaffinity: { args: ["i32", "u64", "ptr"], returns: "i32" },
  sched_setaffinity: { args: ["i32", "u64", "ptr"], returns: "i32" },
  syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64", "i64"], returns: FFIType.i64_fast },
  fstatfs: { args: ["i32", "ptr"], returns: "i32" },
  getxattr: { args: ["ptr", "ptr", "ptr", "u64"], returns: FFIType.i64_fast },
  listxattr: { args: ["ptr", "ptr", "u64"], returns: FFIType.i64_fast },
  removexattr: { args: ["ptr", "ptr"], returns: "i32" },
  setxattr: { args: ["ptr", "ptr", "ptr", "u64", "i32"], returns: "i32" },
  utimensat: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  sched_yield: { args: [], returns: "i32" },
  pipe2: { args: ["ptr", "i32"], returns: "i32" },
  splice: { args: ["i32", "ptr", "i32", "ptr", "u64", "u32"], returns: FFIType.i64_fast },
  getrlimit: { args: ["i32", "ptr"], returns: "i32" },
  setrlimit: { args: ["i32", "ptr"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  getpeername: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  strerror: { args: ["i32"], returns: "cstring" },
} as const;

type Library = ReturnType<typeof dlopen<typeof SYMBOLS>>["symbols"];

/** POSIX asynchronous I/O. Before glibc 2.34 it is in a library of its own, so its absence is not an error. */
const ASYNC_SYMBOLS = {
  aio_write: { args: ["ptr"], returns: "i32" },
  aio_error: { args: ["ptr"], returns: "i32" },
  aio_return: { args: ["ptr"], returns: FFIType.i64_fast },
  aio_cancel: { args: ["i32", "ptr"], returns: "i32" },
} as const;

/** Before glibc 2.34 `dlsym` is in a library of its own. */
const SIGNAL_SYMBOLS = {
  sigaction: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  dlsym: { args: ["ptr", "ptr"], returns: "ptr" },
} as const;

type AsyncLibrary = ReturnType<typeof dlopen<typeof ASYNC_SYMBOLS>>["symbols"];

/**
 * Always the library that this process already uses, never a file: glibc has loaded it under this name, and musl
 * resolves every name that starts with "libc." to itself. Bun searches the current directory for any other name that is
 * not found, so other libraries must be named by their absolute path.
 */
const LIBC = "libc.so.6";

let library: Library | undefined;
let asyncLibrary: AsyncLibrary | null | undefined;
let errnoView: Int32Array | undefined;

function load(): Library {
  if (library !== undefined) return library;
  if (process.platform !== "linux") throw new Error(`llmfs mounts on Linux only; this is ${process.platform}`);
  try {
    library = dlopen(LIBC, SYMBOLS).symbols;
  } catch (cause) {
    throw new NativeCodeError(cause);
  }
  return library;
}

function loadAsync(): AsyncLibrary | null {
  if (asyncLibrary !== undefined) return asyncLibrary;
  load();
  asyncLibrary = null;
  for (const name of [LIBC, besideLibc("librt.so.1")]) {
    try {
      if (name !== undefined) asyncLibrary = dlopen(name, ASYNC_SYMBOLS).symbols;
      if (asyncLibrary !== null) break;
    } catch {
      // Try the next one.
    }
  }
  return asyncLibrary;
}

/** The absolute path of a library in the same directory as the C library. Undefined if it is not known. */
function besideLibc(name: string): string | undefined {
  const libc = /(\/\S+)\/libc[.-][^/\s]*$/m.exec(readFileSync("/proc/self/maps", "utf8"))?.[1];
  return libc === undefined ? undefined : `${libc}/${name}`;
}

/** Throws NativeCodeError if this process cannot make system calls, for callers that want to know in advance. */
function checkSystemCalls(): void {
  load();
}

/** Our system calls need machine code that is generated at run time, and this process may not execute any. */
class NativeCodeError extends Error {
  override readonly name = "NativeCodeError";

  constructor(cause: unknown) {
    const limit = softLimit("Max address space");
    const why =
      limit === undefined
        ? "this process may not have memory that is writable and executable; allow it, as with MemoryDenyWriteExecute=no " +
          "in a systemd unit, or the permission execmem in SELinux's policy"
        : `this process may use ${limit} bytes of address space only; allow it more with "ulimit -v unlimited", or ` +
          "LimitAS=infinity in a systemd unit";
    super(`the kernel cannot be called: ${why} (${cause instanceof Error ? cause.message : String(cause)})`, { cause });
  }
}

/** A limit of this process, by its name in /proc/self/limits. Undefined if there is none. */
function softLimit(name: string): string | undefined {
  try {
    return new RegExp(`^${name} +(\\d+)`, "m").exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  } catch {
    return undefined;
  }
}

/** The calling thread's errno. Its address is fixed for the life of the thread, so it is looked up once. */
function errno(): number {
  if (errnoView === undefined) {
    const address = load().__errno_location();
    if (address === null) throw new Error("__errno_location returned NULL");
    errnoView = new Int32Array(toArrayBuffer(address, 0, 4));
  }
  return errnoView[0] ?? 0;
}

/** A failed system call: which one, on what, and why. */
export class SystemError extends FsError {
  readonly call: string;
  /** The kernel's errno, even if errno.ts has no name for it. */
  readonly number: number;

  constructor(call: string, number: number, what?: string) {
    const reason = load().strerror(number)?.toString() ?? `errno ${number}`;
    super(errnoName(number), `${call}${what === undefined ? "" : ` ${what}`}: ${reason}`);
    this.call = call;
    this.number = number;
  }
}

function check(call: string, result: number | bigint, what?: string): number {
  if (result < 0) throw new SystemError(call, errno(), what);
  return Number(result);
}

function orErrno(result: number | bigint): number {
  return result < 0 ? -errno() : Number(result);
}

/** A NUL-terminated copy; strings are encoded as UTF-8, bytes are copied. */
function cString(text: string | Uint8Array): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.includes(0)) throw new FsError("EINVAL", "a path must not contain a NUL byte");
  return Buffer.concat([bytes, Buffer.alloc(1)]);
}

/**
 * An address that stays valid while the buffer is reachable: for buffers that are created once and used forever.
 *
 * The engine stores up to 1,000 bytes of an array inside the object, and moves them when the array is used in a hot
 * compiled function or its ArrayBuffer is requested. A call with the old address would then write to memory that
 * belongs to something else. Requesting the ArrayBuffer first makes the move happen here, once.
 */
export function address(buffer: Uint8Array | Int32Array | BigInt64Array | BigUint64Array): Pointer {
  if (buffer.buffer.byteLength === 0) throw new Error("an empty buffer has no address");
  return ptr(buffer);
}

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
/** Reads through this descriptor do not update the access time. */
const O_NOATIME = 0o1000000;

export function open(path: string | Uint8Array, flags: number, mode = 0): number {
  return check("open", load().open(cString(path), flags, mode), Buffer.from(path).toString());
}

export function close(fd: number): void {
  check("close", load().close(fd), `of descriptor ${fd}`);
}

/** Returns the number of bytes read, or the negative errno. */
export function read(fd: number, buffer: Pointer | Uint8Array, length: number): number {
  return orErrno(load().read(fd, buffer, length));
}

/** Returns the number of bytes written, or the negative errno. */
export function write(fd: number, buffer: Pointer | Uint8Array, length: number): number {
  return orErrno(load().write(fd, buffer, length));
}

const EINPROGRESS = 115;
const AIO_CANCELED = 0;
const SIGEV_NONE = 1;

/** A write by a thread of the C library, so that only that thread blocks. */
export interface AsyncWrite {
  /** False while the write is in progress. */
  done(): boolean;
  /** True if the write had not begun, and now never will. */
  cancel(): boolean;
}

/**
 * Starts to write the first `length` bytes of a buffer, which is copied. Returns undefined if the C library has no such
 * threads; throws if it cannot start one now. glibc writes to a descriptor in the order of the calls, one at a time;
 * musl in any order.
 */
export function writeAsync(fd: number, buffer: Uint8Array, length: number): AsyncWrite | undefined {
  const library = loadAsync();
  if (library === null) return undefined;
  // struct aiocb (these fields are the same in glibc and musl), followed by the bytes.
  const block = new Uint8Array(AIOCB_SIZE + length);
  block.set(buffer.subarray(0, length), AIOCB_SIZE);
  const at = address(block);
  const view = new DataView(block.buffer);
  view.setInt32(0, fd, true);
  view.setBigUint64(16, BigInt(at) + BigInt(AIOCB_SIZE), true);
  view.setBigUint64(24, BigInt(length), true);
  view.setInt32(44, SIGEV_NONE, true);
  check("aio_write", library.aio_write(at));
  // The block must not be garbage-collected before the thread has finished with it.
  under.add(block);
  let ended = false;
  const end = () => {
    if (!ended) library.aio_return(at);
    ended = true;
    under.delete(block);
  };
  return {
    done() {
      if (!ended && library.aio_error(at) === EINPROGRESS) return false;
      end();
      return true;
    },
    cancel() {
      if (ended || library.aio_cancel(fd, at) !== AIO_CANCELED) return false;
      end();
      return true;
    },
  };
}

/** Larger than any struct aiocb. */
const AIOCB_SIZE = 256;
/** The blocks of writes in progress. */
const under = new Set<Uint8Array>();

/** A pipe: its read end and its write end. */
export function pipe(): [out: number, into: number] {
  const ends = new Int32Array(2);
  check("pipe2", load().pipe2(ends, O_CLOEXEC));
  return [ends[0] ?? -1, ends[1] ?? -1];
}

/** Tries to set a pipe's capacity to `bytes`. Returns its capacity. */
export function growPipe(fd: number, bytes: number): number {
  const [F_SETPIPE_SZ, F_GETPIPE_SZ] = [1031, 1032];
  load().fcntl(fd, F_SETPIPE_SZ, bytes);
  return check("fcntl", load().fcntl(fd, F_GETPIPE_SZ, 0), "F_GETPIPE_SZ");
}

const spliceFrom = new BigInt64Array(1);

/**
 * Moves bytes between two descriptors, one of them a pipe. Returns their number or the negative errno. Never waits for
 * the pipe.
 */
export function splice(from: number, offset: number | undefined, to: number, length: number): number {
  const SPLICE_F_NONBLOCK = 2;
  if (offset === undefined) return orErrno(load().splice(from, null, to, null, length, SPLICE_F_NONBLOCK));
  spliceFrom[0] = BigInt(offset);
  return orErrno(load().splice(from, spliceFrom, to, null, length, SPLICE_F_NONBLOCK));
}

/** Returns the number of bytes read, or the negative errno. */
export function pread(fd: number, buffer: Uint8Array, length: number, offset: Wide): number {
  return length === 0 ? 0 : orErrno(load().pread(fd, buffer, length, offset));
}

/** Returns the number of bytes written, or the negative errno. */
export function pwrite(fd: number, buffer: Uint8Array, length: number, offset: Wide): number {
  return length === 0 ? 0 : orErrno(load().pwrite(fd, buffer, length, offset));
}

/** Lets other threads that are waiting for this processor run first. */
export function yieldProcessor(): void {
  load().sched_yield();
}

export const POLLIN = 1;
export const POLLPRI = 2;

/** `entries` is an array of struct pollfd. Returns the number of ready ones, or the negative errno. */
export function poll(entries: Pointer, count: number, timeoutMs: number): number {
  return orErrno(load().poll(entries, count, timeoutMs));
}

export function ftruncate(fd: number, size: Wide): void {
  check("ftruncate", load().ftruncate(fd, size));
}

export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;

/** Returns 0 or the negative errno. */
export function fallocate(fd: number, mode: number, offset: Wide, length: Wide): number {
  return orErrno(load().fallocate(fd, mode, offset, length));
}

/** Returns the new offset or the negative errno. */
export function lseek(fd: number, offset: Wide, whence: number): Wide {
  const result = load().lseek(fd, offset, whence);
  return typeof result === "bigint" ? toWide(result) : orErrno(result);
}

const onArm = process.arch === "arm64";
/** struct stat: size, blocks and times have the same offsets on x86-64 and arm64. */
const statBuffer = new Int32Array(36);
let statAddress = 0;

/** A range of an open file, all of it before the file's end, which can be passed on without reading it. */
export interface Extent {
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
}

export interface FileStat {
  size: number;
  /** In units of 512 bytes. */
  blocks: number;
  atime: number;
  atimeNsec: number;
  mtime: number;
  mtimeNsec: number;
}

/** Fills `into` from fstat(2), without allocating. */
export function fstat(fd: number, into: FileStat): void {
  if (statAddress === 0) statAddress = address(statBuffer);
  // Called by number, because the C library exports `fstat` only since glibc 2.33.
  check("fstat", load().syscall(onArm ? 80 : 5, fd, statAddress, 0, 0, 0, 0));
  into.size = statField(12);
  into.blocks = statField(16);
  into.atime = statField(18);
  into.atimeNsec = statBuffer[20] ?? 0;
  into.mtime = statField(22);
  into.mtimeNsec = statBuffer[24] ?? 0;
}

const twoTimespecs = new BigInt64Array(4);

/** Sets the times of an open file. */
export function futimens(fd: number, atime: number, atimeNsec: number, mtime: number, mtimeNsec: number): void {
  twoTimespecs[0] = BigInt(atime);
  twoTimespecs[1] = BigInt(atimeNsec);
  twoTimespecs[2] = BigInt(mtime);
  twoTimespecs[3] = BigInt(mtimeNsec);
  check("futimens", load().futimens(fd, twoTimespecs));
}

const epoch = new BigInt64Array(4);

/** Sets both times of an open file to 0. */
export function resetTimes(fd: number): void {
  check("futimens", load().futimens(fd, epoch));
}

/** Sets both times of an open file to the kernel's current time. */
export function touch(fd: number): void {
  check("futimens", load().futimens(fd, null));
}

/** The exact size of an open file, even if FileStat rounds it. */
export function sizeOf(fd: number, stat: FileStat): Wide {
  fstat(fd, stat);
  return toWide((BigInt(statBuffer[13] ?? 0) << 32n) | BigInt((statBuffer[12] ?? 0) >>> 0));
}

/** The 64-bit field whose low half is the word at this index. */
function statField(word: number): number {
  const lower = (statBuffer[word] ?? 0) >>> 0;
  const upper = statBuffer[word + 1] ?? 0;
  return upper === 0 ? lower : upper * 2 ** 32 + lower;
}

/** The total and the free blocks of the filesystem that a descriptor is on. */
export function fstatfs(fd: number): { blocks: number; free: number } {
  const buffer = new BigUint64Array(16);
  check("fstatfs", load().fstatfs(fd, buffer));
  return { blocks: Number(buffer[2]), free: Number(buffer[3]) };
}

/**
 * Whether no other process has the file open or mapped: only then is a write lease granted (fcntl(2), F_SETLEASE). Also
 * false if leases are not supported.
 */
export function isExclusive(fd: number): boolean {
  const [F_SETLEASE, F_WRLCK, F_UNLCK] = [1024, 1, 2];
  if (load().fcntl(fd, F_SETLEASE, F_WRLCK) < 0) return false;
  load().fcntl(fd, F_SETLEASE, F_UNLCK);
  return true;
}

/** struct flock: l_type and l_whence, l_start, l_len, l_pid; the last must be 0. Reused. */
const flock = new BigInt64Array(4);

/**
 * Locks a range of a file, or unlocks it, without waiting. Returns 0 or the negative errno (EAGAIN, EACCES: it is
 * locked elsewhere; ENOLCK: this process cannot make system calls). The lock belongs to the open file, not to the
 * process, and ends when the file is closed.
 */
export function lockRange(fd: number, offset: bigint, length: bigint, on: boolean): number {
  try {
    checkSystemCalls();
  } catch (error) {
    if (error instanceof NativeCodeError) return -ERRNO.ENOLCK;
    throw error;
  }
  const [F_OFD_SETLK, F_WRLCK, F_UNLCK] = [37, 1n, 2n];
  flock[0] = on ? F_WRLCK : F_UNLCK;
  flock[1] = offset;
  flock[2] = length;
  return orErrno(load().fcntl(fd, F_OFD_SETLK, address(flock)));
}

/** Returns another owner's lock in a range; undefined if there is none, or if that cannot be found out. */
export function findLock(
  fd: number,
  offset: bigint,
  length: bigint,
): { readonly offset: bigint; readonly length: bigint } | undefined {
  const [F_OFD_GETLK, F_WRLCK, F_UNLCK] = [36, 1n, 2n];
  const flock = BigInt64Array.of(F_WRLCK, offset, length, 0n);
  if (load().fcntl(fd, F_OFD_GETLK, address(flock)) < 0) return undefined;
  const [type = F_UNLCK, start = 0n, extent = 0n] = flock;
  return (type & 0xffffn) === F_UNLCK ? undefined : { offset: start, length: extent };
}

/** Returns the result or the negative errno. */
export function ioctl(fd: number, request: number, argument: Uint8Array): number {
  return orErrno(load().ioctl(fd, request, argument));
}

/** Whether a descriptor is a terminal, as isatty(3) says. */
export function isTerminal(fd: number): boolean {
  const TCGETS = 0x5401;
  return ioctl(fd, TCGETS, new Uint8Array(64)) >= 0;
}

/** Creates an anonymous file in memory. Can fail with EMFILE and ENOMEM. */
export function memfd(name: string): number {
  const MFD_CLOEXEC = 1;
  return check("memfd_create", load().memfd_create(cString(name), MFD_CLOEXEC), name);
}

/** A non-blocking counter that wakes up a thread that sleeps in `poll`. */
export function eventfd(): number {
  return check("eventfd", load().eventfd(0, O_NONBLOCK | O_CLOEXEC));
}

/** Returns another descriptor of the same open file. */
export function duplicate(fd: number): number {
  const F_DUPFD_CLOEXEC = 1030;
  return check("fcntl", load().fcntl(fd, F_DUPFD_CLOEXEC, 0), "F_DUPFD_CLOEXEC");
}

export function dup2(from: number, to: number): void {
  check("dup2", load().dup2(from, to));
}

export function setNonBlocking(fd: number): void {
  const [F_GETFL, F_SETFL] = [3, 4];
  const flags = check("fcntl", load().fcntl(fd, F_GETFL, 0));
  check("fcntl", load().fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

/** Clears all other flags that can be changed. */
export function setBlocking(fd: number, blocking: boolean): void {
  const F_SETFL = 4;
  check("fcntl", load().fcntl(fd, F_SETFL, blocking ? 0 : O_NONBLOCK));
}

export function setCloseOnExec(fd: number, on: boolean): void {
  const [F_SETFD, FD_CLOEXEC] = [2, 1];
  check("fcntl", load().fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0));
}

/** Sends a signal, or 0 for none, to every process in a group. Returns false if there is none that may be signalled. */
export function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal);
  } catch {
    return false;
  }
}

/** Reaps a child that has ended. Returns false if it has not, or is not a child. */
export function reap(pid: number): boolean {
  const WNOHANG = 1;
  return load().waitpid(pid, null, WNOHANG) === pid;
}

const [SYS_PIDFD_OPEN, PIDFD_GET_INFO, PIDFD_INFO_EXIT] = [434, 0xc0_40_ff_0b, 8n];

/** A descriptor of a process, for `exitStatusOf`. */
export function openProcess(pid: number): number {
  return syscall("pidfd_open", SYS_PIDFD_OPEN, pid, 0);
}

/**
 * How the process ended, as waitpid(2) tells its parent. Undefined before its parent has asked for it, and before Linux 6.15.
 */
export function exitStatusOf(process: number): number | undefined {
  // struct pidfd_info: the mask is the first member, and the status the last.
  const info = Buffer.alloc(64);
  info.writeBigUInt64LE(PIDFD_INFO_EXIT);
  if (load().ioctl(process, PIDFD_GET_INFO, ptr(info)) < 0) return undefined;
  return (info.readBigUInt64LE() & PIDFD_INFO_EXIT) === 0n ? undefined : info.readInt32LE(60);
}

export function setsid(): void {
  check("setsid", load().setsid());
}

export function getuid(): number {
  return load().getuid();
}

export function getgid(): number {
  return load().getgid();
}

export function geteuid(): number {
  return load().geteuid();
}

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;

export function mount(source: string, target: string, type: string, flags: number, data: string): void {
  check(
    "mount",
    load().mount(cString(source), cString(target), cString(type), flags, cString(data)),
    `${type} on ${target}`,
  );
}

// The system calls of the mount API have the same numbers on all machines. C libraries before glibc 2.36 lack them.
const [SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT, SYS_FSPICK] = [430, 431, 432, 433];
const [FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE, FSCONFIG_CMD_RECONFIGURE] = [1, 6, 7];
const CLOEXEC = 1;

/** Mounts a filesystem nowhere: it can be reached only through the returned descriptor. */
export function createDetachedMount(type: string, options: Readonly<Record<string, string>>): number {
  const context = syscall("fsopen", SYS_FSOPEN, ptr(cString(type)), CLOEXEC);
  try {
    configure(context, options, FSCONFIG_CMD_CREATE);
    // Every read updates the access time.
    const MOUNT_ATTR_STRICTATIME = 0x20;
    return syscall("fsmount", SYS_FSMOUNT, context, CLOEXEC, MOUNT_ATTR_STRICTATIME);
  } finally {
    close(context);
  }
}

/** Changes the options of a filesystem through a descriptor of its mount. */
export function reconfigureMount(mount: number, options: Readonly<Record<string, string>>): void {
  const FSPICK_EMPTY_PATH = 8;
  const context = syscall("fspick", SYS_FSPICK, mount, ptr(cString("")), CLOEXEC | FSPICK_EMPTY_PATH);
  try {
    configure(context, options, FSCONFIG_CMD_RECONFIGURE);
  } finally {
    close(context);
  }
}

function configure(context: number, options: Readonly<Record<string, string>>, command: number): void {
  for (const [key, value] of Object.entries(options)) {
    const [k, v] = [cString(key), cString(value)];
    syscall("fsconfig", SYS_FSCONFIG, context, FSCONFIG_SET_STRING, ptr(k), ptr(v), 0);
  }
  syscall("fsconfig", SYS_FSCONFIG, context, command, 0, 0, 0);
}

function syscall(name: string, number: number, a: number, b: number, c = 0, d = 0, e = 0): number {
  return check(name, load().syscall(number, a, b, c, d, e, 0));
}

/** The maximum length of a value: XATTR_SIZE_MAX. */
const XATTR_SIZE_MAX = 65536;

/** Returns undefined if the file has no such attribute. */
export function getxattr(path: string | Uint8Array, name: string): Buffer | undefined {
  const value = Buffer.alloc(XATTR_SIZE_MAX);
  try {
    const length = load().getxattr(cString(path), cString(name), value, value.length);
    return value.subarray(0, check("getxattr", length, Buffer.from(path).toString()));
  } catch (error) {
    if (error instanceof SystemError && error.code === "ENODATA") return undefined;
    throw error;
  }
}

/** The maximum length of a list of names: XATTR_LIST_MAX. */
const XATTR_LIST_MAX = 65536;
/** Filled and read within one call. Not allocated before the first. */
let xattrList: Buffer | undefined;

/** The names of a file's attributes, as strings with one character for each byte. */
export function listxattr(path: string | Uint8Array): readonly string[] {
  xattrList ??= Buffer.alloc(XATTR_LIST_MAX);
  const length = load().listxattr(cString(path), xattrList, xattrList.length);
  const names = xattrList.toString("latin1", 0, check("listxattr", length, Buffer.from(path).toString()));
  return names.split("\0").slice(0, -1);
}

export function setxattr(path: string | Uint8Array, name: string, value: Uint8Array): void {
  // Of an empty array there is no address.
  const bytes = value.length === 0 ? new Uint8Array(1) : value;
  check("setxattr", load().setxattr(cString(path), cString(name), bytes, value.length, 0), name);
}

/** Does nothing if the file has no such attribute. */
export function removexattr(path: string | Uint8Array, name: string): void {
  try {
    check("removexattr", load().removexattr(cString(path), cString(name)), name);
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== "ENODATA") throw error;
  }
}

/** Creates a fifo, a socket or a device node, whose name is the path's last part. */
export function mknod(path: string | Uint8Array, mode: number, device: number): void {
  const SYS_MKNODAT = onArm ? 33 : 259;
  syscall("mknodat", SYS_MKNODAT, AT_FDCWD, ptr(cString(path)), mode, device);
}

/** Sets the times of a file. Does not follow a symlink. */
export function setTimes(
  path: string | Uint8Array,
  atime: number,
  atimeNsec: number,
  mtime: number,
  mtimeNsec: number,
): void {
  const AT_SYMLINK_NOFOLLOW = 0x100;
  const times = BigInt64Array.of(BigInt(atime), BigInt(atimeNsec), BigInt(mtime), BigInt(mtimeNsec));
  check("utimensat", load().utimensat(AT_FDCWD, cString(path), times, AT_SYMLINK_NOFOLLOW));
}

const AT_FDCWD = -100;

/** Creates an unnamed file in the directory of a descriptor. */
export function temporaryFile(directory: number): number {
  const O_DIRECTORY = onArm ? 0o40000 : 0o200000;
  const flags = 0o20000000 | O_DIRECTORY | O_RDWR | O_CLOEXEC | O_NOATIME;
  return check("openat", load().openat(directory, itself, flags, 0o600), "an unnamed file");
}

const itself = cString(".");

export const MNT_DETACH = 2;

export function umount(target: string, flags = 0): void {
  check("umount", load().umount2(cString(target), flags), target);
}

/** Two connected Unix stream sockets. */
export function socketpair(): [number, number] {
  const [AF_UNIX, SOCK_STREAM] = [1, 1];
  const pair = new Int32Array(2);
  check("socketpair", load().socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  return [pair[0] ?? -1, pair[1] ?? -1];
}

/** Sends one datagram to a Unix socket: a path, or "@" and a name in the abstract namespace. */
export function sendDatagram(name: string, text: string): void {
  const [AF_UNIX, SOCK_DGRAM, SOCK_CLOEXEC, MSG_NOSIGNAL] = [1, 2, 0o2000000, 0x4000];
  const path = Buffer.from(name.startsWith("@") ? `\0${name.slice(1)}` : name);
  // struct sockaddr_un: the family (2 bytes), then the path. A path ends with a null byte, an abstract name with its length.
  const target = Buffer.concat([Uint8Array.of(AF_UNIX, 0), path, ...(name.startsWith("@") ? [] : [Uint8Array.of(0)])]);
  const socket = check("socket", load().socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  try {
    const data = Buffer.from(text);
    check("sendto", load().sendto(socket, data, data.length, MSG_NOSIGNAL, target, target.length), name);
  } finally {
    close(socket);
  }
}

/** Receives the descriptor that the peer sends with SCM_RIGHTS. Undefined if it closes, or has sent nothing to a non-blocking socket. */
export function receiveDescriptor(socket: number): number | undefined {
  const MSG_CMSG_CLOEXEC = 0x40000000;
  const byte = new Uint8Array(8);
  const control = new Uint8Array(64);
  const iov = new BigUint64Array([BigInt(address(byte)), 1n]);
  // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags.
  const header = new BigUint64Array([
    0n,
    0n,
    BigInt(address(iov)),
    1n,
    BigInt(address(control)),
    BigInt(control.length),
    0n,
  ]);
  for (;;) {
    const count = orErrno(load().recvmsg(socket, header, MSG_CMSG_CLOEXEC));
    if (count === -4) continue;
    // Nothing is there: the end, or on a non-blocking socket, nothing so far.
    if (count === 0 || count === -ERRNO.EAGAIN) return undefined;
    if (count < 0) throw new SystemError("recvmsg", -count);
    break;
  }
  // struct cmsghdr: len (8 bytes), level, type; then the descriptor.
  const view = new DataView(control.buffer);
  const [SOL_SOCKET, SCM_RIGHTS] = [1, 1];
  if (view.getInt32(8, true) !== SOL_SOCKET || view.getInt32(12, true) !== SCM_RIGHTS) return undefined;
  return view.getInt32(16, true);
}

const timespec = new BigInt64Array(2);
const timespecWords = new Int32Array(timespec.buffer);
const timespecSeconds = new Uint32Array(timespec.buffer);

/** Reused. */
const realtime = { seconds: 0, nanoseconds: 0 };

/** CLOCK_REALTIME: whole seconds since the epoch, and nanoseconds. The next call reuses the object. */
export function now(): { readonly seconds: number; readonly nanoseconds: number } {
  load().clock_gettime(0, timespec);
  const upper = timespecWords[1] ?? 0;
  realtime.seconds = (upper === 0 ? 0 : upper * 2 ** 32) + (timespecSeconds[0] ?? 0);
  realtime.nanoseconds = timespecWords[2] ?? 0;
  return realtime;
}

/**
 * CLOCK_BOOTTIME: nanoseconds since the machine was started, the same for all its processes. Bun's process.hrtime counts from
 * the start of the calling process instead.
 */
export function nanosecondsSinceBoot(): number {
  load().clock_gettime(7, timespec);
  return Number(timespec[0] ?? 0n) * 1e9 + Number(timespec[1] ?? 0n);
}

/** Drops the ambient capabilities of the calling thread, so that programs it starts have none. */
export function clearAmbientCapabilities(): void {
  const [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL] = [47, 4];
  check("prctl", load().prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
}

/** Whether a namespace, given as a file in /proc, belongs to a user namespace in which this process has no rights. */
export function isForeignNamespace(path: string): boolean {
  const [NS_GET_USERNS, EPERM] = [0xb701, 1];
  const fd = load().open(cString(path), O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return false;
  const owner = ioctl(fd, NS_GET_USERNS, new Uint8Array(8));
  close(fd);
  if (owner >= 0) close(owner);
  return owner === -EPERM;
}

/** Makes the kernel kill this process when the thread that started it ends. */
export function dieWithParent(): void {
  const [PR_SET_PDEATHSIG, SIGKILL] = [1, 9];
  check("prctl", load().prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
}

/** The number of descriptors that this process may have open (RLIMIT_NOFILE, the soft limit). */
export function descriptorLimit(): number {
  return Number(softLimit("Max open files") ?? Number.POSITIVE_INFINITY);
}

/** RLIMIT_*: getrlimit(2). */
export const LIMITS = { CPU: 0, FSIZE: 1, NOFILE: 7 } as const;

/** RLIM_INFINITY. */
export const UNLIMITED = 2n ** 64n - 1n;

export interface Limit {
  readonly soft: bigint;
  readonly hard: bigint;
}

export function getLimit(resource: number): Limit {
  const limits = new BigUint64Array(2);
  check("getrlimit", load().getrlimit(resource, limits));
  return { soft: limits[0] ?? UNLIMITED, hard: limits[1] ?? UNLIMITED };
}

/** Returns false if this process may not change the limit. */
export function setLimit(resource: number, { soft, hard }: Limit): boolean {
  return load().setrlimit(resource, BigUint64Array.of(soft, hard)) === 0;
}

export interface TcpConnection {
  /** The other side has not answered yet. */
  readonly opening: boolean;
  /** The other side's port; undefined while the connection is being opened. */
  readonly port: number | undefined;
}

/** The connection of a descriptor. Undefined if it is not a TCP socket, or not connected. */
export function tcpConnection(fd: number): TcpConnection | undefined {
  const [IPPROTO_TCP, TCP_INFO, TCP_SYN_SENT] = [6, 11, 2];
  // struct tcp_info starts with the state; struct sockaddr_in and sockaddr_in6 with the family and the port.
  const info = new Uint8Array(8);
  if (load().getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, Int32Array.of(info.length)) < 0) return undefined;
  if (info[0] === TCP_SYN_SENT) return { opening: true, port: undefined };
  const peer = new DataView(new ArrayBuffer(128));
  if (load().getpeername(fd, new Uint8Array(peer.buffer), Int32Array.of(peer.byteLength)) < 0) return undefined;
  return { opening: false, port: peer.getUint16(2) };
}

/** A set of processors: bit N is processor N, as in cpu_set_t. */
export type ProcessorMask = Uint8Array;

/** The processors that a thread may run on (sched_getaffinity). Empty if the kernel does not say. 0: the calling thread. */
export function readAllowedProcessors(thread = 0): ProcessorMask {
  const mask = new Uint8Array(128);
  load().sched_getaffinity(thread, mask.length, mask);
  return mask;
}

/** Has a thread run on these processors only (sched_setaffinity). False if it may not run on any of them. */
export function runOn(mask: ProcessorMask, thread = 0): boolean {
  return load().sched_setaffinity(thread, mask.length, mask) === 0;
}

/** The processor time that the calling thread has used, in milliseconds. */
export function threadTimeMs(): number {
  const CLOCK_THREAD_CPUTIME_ID = 3;
  return readClockMs(CLOCK_THREAD_CPUTIME_ID) ?? 0;
}

/** The processor time that a process has used. Undefined if there is no such process, or if this is not its first thread. */
export function processTimeMs(pid: number): number | undefined {
  // MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of linux/posix-timers.h.
  return readClockMs((~pid << 3) | 2);
}

function readClockMs(clock: number): number | undefined {
  if (load().clock_gettime(clock, timespec) !== 0) return undefined;
  return (timespecSeconds[0] ?? 0) * 1000 + (timespecWords[2] ?? 0) / 1e6;
}

/** Lets a thread run only while no other program wants its processor, or no longer. 0: the calling thread. */
export type Deference = (on: boolean, thread?: number) => boolean;

/**
 * Undefined if the calling thread could not end this, for which it needs rights; or if it could then have to wait for a
 * second, because the kernel (before 6.12) does not let threads ask for short slices of time.
 */
export function createDeference(): Deference | undefined {
  const { syscall } = load();
  const call = (number: number, ...args: readonly number[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = args;
    return Number(syscall(number, a, b, c, d, 0, 0));
  };
  const [GETPRIORITY, SETPRIORITY, SETSCHEDULER, GETSCHEDULER, SETATTR, GETATTR] = onArm
    ? [141, 140, 119, 120, 274, 275]
    : [140, 141, 144, 145, 314, 315];
  const [SCHED_OTHER, SCHED_IDLE] = [0, 5];
  if (call(GETSCHEDULER, 0) !== SCHED_OTHER) return undefined;
  // The kernel asks for the same right when a thread raises its priority.
  const nice = 20 - call(GETPRIORITY, 0, 0);
  if (nice <= -20 || nice > 19 || call(SETPRIORITY, 0, 0, nice - 1) !== 0) return undefined;
  call(SETPRIORITY, 0, 0, nice);
  // struct sched_attr: u32 size and policy, u64 flags, s32 nice, u32 priority, u64 runtime, deadline and period.
  const attributes = new DataView(new ArrayBuffer(48));
  const at = address(new Uint8Array(attributes.buffer));
  const setSlice = (nanoseconds: number, thread = 0) => {
    attributes.setUint32(0, 48, true);
    attributes.setUint32(4, SCHED_OTHER, true);
    attributes.setBigUint64(8, 0n, true);
    attributes.setInt32(16, nice, true);
    attributes.setUint32(20, 0, true);
    attributes.setBigUint64(24, BigInt(nanoseconds), true);
    return call(SETATTR, thread, at, 0) === 0;
  };
  const known = setSlice(SHORTEST_SLICE_NS) && call(GETATTR, 0, at, 48, 0) === 0;
  const isShort = known && attributes.getBigUint64(24, true) === BigInt(SHORTEST_SLICE_NS);
  setSlice(0);
  if (!isShort) return undefined;
  const priority: number = address(PRIORITY);
  return (on, thread = 0) =>
    on
      ? setSlice(SHORTEST_SLICE_NS, thread) && call(SETSCHEDULER, thread, SCHED_IDLE, priority) === 0
      : setSlice(0, thread);
}

const SHORTEST_SLICE_NS = 100_000;
/** struct sched_param: the priority, which only real-time threads have. A constant, because only its address is used. */
const PRIORITY = new Int32Array(1);

/** A timer that interrupts system calls of the thread that made it, which then fail with EINTR. */
export interface Ticker {
  /** Interrupts every `ms` milliseconds; 0: no longer. Returns false if that fails. */
  every(ms: number): boolean;
  close(): void;
}

/** Real-time signals are free for programs; of those, the first ones belong to the C library. */
const TICK_SIGNAL = 63;

/** Undefined if the system has no such timers, or if the signal is used for something else. */
export function createTicker(): Ticker | undefined {
  if (!handleTickSignal()) return undefined;
  const { syscall } = load();
  const [CREATE, SETTIME, DELETE, GETTID] = onArm ? [107, 110, 111, 178] : [222, 223, 226, 186];
  const [CLOCK_MONOTONIC, SIGEV_THREAD_ID] = [1, 4];
  // struct sigevent: a value of 8 bytes, int signo, int notify, pid_t thread; 64 bytes in all.
  const event = new Int32Array(16);
  event.set([TICK_SIGNAL, SIGEV_THREAD_ID, Number(syscall(GETTID, 0, 0, 0, 0, 0, 0))], 2);
  const id = new Int32Array(1);
  if (Number(syscall(CREATE, CLOCK_MONOTONIC, address(event), address(id), 0, 0, 0)) < 0) return undefined;
  // struct itimerspec: the interval and the first time, in seconds and nanoseconds.
  const times = new BigInt64Array(4);
  const timer = id[0] ?? 0;
  return {
    every(ms) {
      times[1] = times[3] = BigInt(ms * 1_000_000);
      return Number(syscall(SETTIME, timer, 0, address(times), 0, 0, 0)) === 0;
    },
    close: () => void syscall(DELETE, timer, 0, 0, 0, 0, 0),
  };
}

/** Gives the signal a handler that does nothing: what counts is that system calls are interrupted, and not restarted. */
function handleTickSignal(): boolean {
  try {
    const { sigaction, dlsym } = dlopen(LIBC, SIGNAL_SYMBOLS).symbols;
    // A handler gets one int. Any function that takes one, and does nothing else, will do.
    const nothing = dlsym(null, cString("abs"));
    // struct sigaction: the handler, a mask of 128 bytes, int flags, and the C library's own field.
    const [old, action] = [new BigInt64Array(19), new BigInt64Array(19)];
    if (nothing === null || sigaction(TICK_SIGNAL, null, old) !== 0) return false;
    action[0] = BigInt(nothing);
    if (old[0] !== 0n && old[0] !== action[0]) return false;
    return sigaction(TICK_SIGNAL, action, null) === 0;
  } catch {
    return false;
  }
}

/** How many processors the calling thread may run on. */
export function processors(): number {
  let count = 0;
  for (const byte of readAllowedProcessors()) for (let bits = byte; bits !== 0; bits &= bits - 1) count++;
  return Math.max(1, count);
}
