/**
 * Claims in a folder: of the mounts that share it, also of other users and containers, one asks and the others wait.
 *
 * Each key has a range in the file `.claims`, and whoever makes that answer holds a lock that begins there. The kernel
 * takes the lock away the moment its holder dies, however that happens. The file is gone when nobody claims anything.
 *
 * A lock does not say whose it is, so its length does: every process that claims has a slot of its own in the file,
 * where it writes who it is, and its locks are one byte longer than the slot's number.
 *
 * Whoever may open the file can hold a lock on it. So it is open to those who may write into the folder, and could as
 * well take its recordings away, and to nobody else.
 */
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  unlinkSync,
  writevSync,
} from "node:fs";
import { join } from "node:path";
import { codeOf, ERRNO } from "../../errno.ts";
import { lockedRange, lockRange } from "../../libc.ts";
import { printableLine } from "../../text/printable.ts";
import { type Claim, NOBODY_ELSE } from "../recording.ts";

const FILE = ".claims";
/** So many bits of a key say which range is its. */
const KEY_BITS = 44;
const SLOT_BITS = 12;
const SLOTS = 1 << SLOT_BITS;
/** Behind the ranges of all keys: a process holds the lock on the byte of its slot. */
const SLOT_LOCKS = 1n << BigInt(KEY_BITS + SLOT_BITS);
/** To the end of the file, however long that is. */
const TO_THE_END = 0n;
/** What a process writes of itself, in bytes. */
const ENTRY = 512;

interface Opened {
  readonly fd: number;
  readonly slot: number;
}

export class FolderClaims {
  readonly #folder: string;
  readonly #mode: number;
  readonly #who: () => string;
  #opened: Opened | undefined;
  /** Locks of one open file are no obstacle to itself. */
  readonly #held = new Set<bigint>();

  /** `mode` is for the folder, if it has to be made; `who` says what others are told of this process. */
  constructor(folder: string, mode: number, who: () => string) {
    this.#folder = folder;
    this.#mode = mode;
    this.#who = who;
  }

  /** Undefined: somebody else has it. Throws an Error with a code where nothing can be written. */
  take(key: string): Claim | undefined {
    const range = rangeOf(key);
    if (this.#held.has(range)) return undefined;
    for (;;) {
      this.#opened ??= this.#open();
      if (this.#opened === undefined) return NOBODY_ELSE;
      const { fd, slot } = this.#opened;
      const result = lockRange(fd, range, BigInt(slot + 1), true);
      if (result === -ERRNO.EAGAIN || result === -ERRNO.EACCES) {
        if (this.#held.size === 0) this.#leave();
        return undefined;
      }
      // Where there are no locks nobody can be waited for.
      if (result < 0) return NOBODY_ELSE;
      if (fstatSync(fd).nlink > 0) break;
      // Whoever was the last to claim something removed the file after we had opened it.
      this.#close();
    }
    this.#held.add(range);
    return {
      [Symbol.asyncDispose]: async () => {
        if (this.#held.delete(range)) this.#release(range);
      },
    };
  }

  /** Who has it, in words; undefined if nobody has, or nobody can tell. */
  holder(key: string): string | undefined {
    const range = rangeOf(key);
    if (this.#held.has(range)) return this.#who();
    try {
      const fd = openSync(join(this.#folder, FILE), constants.O_RDWR | SAFELY);
      try {
        const lock = lockedRange(fd, range, 1n);
        if (lock === undefined || lock.offset !== range) return undefined;
        const entry = Buffer.alloc(ENTRY);
        const length = readSync(fd, entry, 0, ENTRY, (Number(lock.length) - 1) * ENTRY);
        return printableLine(entry.toString("utf8", 0, length).split("\0", 1)[0] ?? "") || undefined;
      } finally {
        closeSync(fd);
      }
    } catch {
      return undefined;
    }
  }

  /** Undefined where the file is another user's, and not for us to write, or has no locks. */
  #open(): Opened | undefined {
    const path = join(this.#folder, FILE);
    try {
      const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | SAFELY, 0o600);
      if (!guard(fd, path, this.#folder)) {
        closeSync(fd);
        return this.#open();
      }
      return this.#settled(fd);
    } catch (error) {
      const code = codeOf(error);
      if (code === "ENOENT" && mkdirSync(this.#folder, { recursive: true, mode: this.#mode }) !== undefined) {
        return this.#open();
      }
      if (code !== "EACCES" && code !== "EPERM") throw error;
      accessSync(this.#folder, constants.W_OK);
      return undefined;
    }
  }

  /** With a slot of its own, where it says who it is. */
  #settled(fd: number): Opened | undefined {
    for (let attempt = 0; attempt < 64; attempt++) {
      const slot = Math.floor(Math.random() * SLOTS);
      const result = lockRange(fd, SLOT_LOCKS + BigInt(slot), 1n, true);
      if (result === -ERRNO.EAGAIN || result === -ERRNO.EACCES) continue;
      if (result < 0) break;
      const entry = Buffer.alloc(ENTRY);
      entry.write(this.#who(), 0, ENTRY - 1, "utf8");
      writevSync(fd, [entry], slot * ENTRY);
      return { fd, slot };
    }
    closeSync(fd);
    return undefined;
  }

  #release(range: bigint): void {
    if (this.#opened === undefined) return;
    if (this.#held.size === 0) this.#leave();
    else lockRange(this.#opened.fd, range, BigInt(this.#opened.slot + 1), false);
  }

  /** Closes the file, and removes it if nobody else claims anything. */
  #leave(): void {
    if (this.#opened === undefined) return;
    // Nobody holds anything while we hold all of it; whoever comes now finds that the file has no name any more.
    try {
      if (lockRange(this.#opened.fd, 0n, TO_THE_END, true) === 0) unlinkSync(join(this.#folder, FILE));
    } catch {
      // It serves the next one as well.
    }
    this.#close();
  }

  #close(): void {
    if (this.#opened !== undefined) closeSync(this.#opened.fd);
    this.#opened = undefined;
  }
}

/** Not through a symlink, and without waiting for a fifo. */
const SAFELY = constants.O_NOFOLLOW | constants.O_NONBLOCK;

function rangeOf(key: string): bigint {
  return BigInt(`0x${key.slice(0, KEY_BITS / 4)}`) << BigInt(SLOT_BITS);
}

/**
 * Gives the file to those who may write into its folder. False: it was open to others, was not ours to change, and is
 * replaced. Throws an Error where it is no file.
 */
function guard(fd: number, path: string, folder: string): boolean {
  const file = fstatSync(fd);
  if (!file.isFile()) throw new Error(`${path} is no regular file; remove it`);
  const { mode, gid } = statSync(folder);
  const group = (mode & 0o020) !== 0 && (file.gid === gid || tryQuietly(() => fchownSync(fd, -1, gid)));
  const wanted = 0o600 | (group ? 0o060 : 0) | ((mode & 0o002) !== 0 ? 0o066 : 0);
  if ((file.mode & 0o777) === wanted || tryQuietly(() => fchmodSync(fd, wanted))) return true;
  // Another's, who may have been less strict: locks that strangers can hold would make everybody wait.
  return (file.mode & 0o777 & ~wanted) === 0 || !tryQuietly(() => unlinkSync(path));
}

function tryQuietly(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
