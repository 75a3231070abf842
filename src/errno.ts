/**
 * Errno names and numbers, and the one error class that becomes an errno.
 *
 * The numbers are Linux's, which are the same on x86-64 and arm64 (asm-generic/errno-base.h, asm-generic/errno.h). This
 * file imports nothing.
 */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EPROTO: 71,
  EOVERFLOW: 75,
  EILSEQ: 84,
  EOPNOTSUPP: 95,
  ECONNABORTED: 103,
  ENOTCONN: 107,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  ESTALE: 116,
  EDQUOT: 122,
  ECANCELED: 125,
} as const;

export type ErrnoName = keyof typeof ERRNO;

/** Filled when it is first needed, because every process and every thread loads this file while somebody waits for it. */
const NAMES = new Map<number, ErrnoName>();

export function isErrnoName(name: string): name is ErrnoName {
  return Object.hasOwn(ERRNO, name);
}

/** The name of an errno, or EIO for one that this table lacks. */
export function errnoName(number: number): ErrnoName {
  if (NAMES.size === 0) for (const name of Object.keys(ERRNO)) if (isErrnoName(name)) NAMES.set(ERRNO[name], name);
  return NAMES.get(number) ?? "EIO";
}

export interface FsErrorOptions extends ErrorOptions {
  /** The path that the error is about; the message begins with it. */
  readonly path?: string;
}

/** A failure that the caller of a system call sees: `code` for the kernel, `message` for people. */
export class FsError extends Error {
  override readonly name = "FsError";
  readonly code: ErrnoName;
  readonly path: string | undefined;
  /** The message without the path. */
  readonly reason: string;

  constructor(code: ErrnoName, reason: string = code, options?: FsErrorOptions) {
    super(options?.path === undefined ? reason : `${options.path}: ${reason}`, options);
    this.code = code;
    this.path = options?.path;
    this.reason = reason;
  }

  /** Converts anything that was thrown to the error for the caller of a system call: EIO, unless it has an errno. */
  static from(error: unknown): FsError {
    return error instanceof FsError ? error : new FsError("EIO", messageOf(error), { cause: error });
  }

  /** The same failure, for this path. */
  at(path: string): FsError {
    return this.path === path ? this : new FsError(this.code, reasonOf(this, path), { path, cause: this });
  }

  get errno(): number {
    return ERRNO[this.code];
  }
}

/** The name of an error's errno, for our errors and those of system calls: "ENOENT". Undefined if it has none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * The message for a caller that has already named the path or store: without the path or name at its start, and for a
 * failed system call without its name and path: "permission denied (EACCES)". An error from another process or thread has
 * only its message.
 */
export function reasonOf(error: unknown, name: string): string {
  if (error instanceof FsError && error.path === name) return error.reason;
  const message = messageOf(error);
  if (message.startsWith(`${name}: `)) return message.slice(name.length + 2);
  const call = readCall(error);
  const named = call?.path === undefined || call.path === name || call.path.endsWith(`/${name}`);
  return call !== undefined && named ? call.reason : message;
}

/** Of an error of node:fs about at most one path, such as "EACCES: permission denied, open '/a'". */
export function readCall(error: unknown): { readonly reason: string; readonly path: string | undefined } | undefined {
  if (!(error instanceof Error && "syscall" in error)) return undefined;
  const [, code, words, path] = /^([A-Z0-9]+): (.+?), [a-z0-9]+(?: '([^']*)')?$/s.exec(error.message) ?? [];
  return code !== undefined && code === codeOf(error) ? { reason: `${words} (${code})`, path } : undefined;
}
