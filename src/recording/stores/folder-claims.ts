/**
 * Claims in a folder: of the mounts that share it, also those of other users and containers, one asks the model and the
 * others wait.
 *
 * Each key has a range in the file `.claims`, and the process that generates its answer holds a lock that begins there.
 * The kernel releases the lock as soon as its holder dies, for whatever reason. The file is removed when there are no
 * claims.
 *
 * A lock does not identify its owner, so its length does: every process that claims has a slot of its own in the file,
 * where it writes its description, and its locks are one byte longer than the slot's number.
 *
 * Anybody who can open the file can hold a lock on it. So it is accessible only to users who may write to the folder,
 * and could remove its recordings anyway.
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
import { findLock, lockRange } from "../../libc.ts";
import { printableLine } from "../../text/printable.ts";
import { type Claim, NOBODY_ELSE } from "../recording.ts";

const FILE = ".claims";
/** The number of bits of a key that select its range. */
const KEY_BITS = 44;
const SLOT_BITS = 12;
const SLOTS = 1 << SLOT_BITS;
/** Behind the ranges of all keys: a process holds the lock on the byte of its slot. */
const SLOT_LOCKS = 1n << BigInt(KEY_BITS + SLOT_BITS);
/** A length of 0 means: to the end of the file, however long it is. */
const TO_THE_END = 0n;
/** The size of a process's description, in bytes. */
const ENTRY = 512;

/** How often to look whether a user has removed the file. */
const LOOK_MS = 100;

interface ClaimSlot {
  readonly fd: number;
  readonly slot: number;
}

export class FolderClaims {
  readonly #folder: string;
  readonly #mode: number;
  readonly #who: () => string;
  #opened: ClaimSlot | undefined;
  #thereUntil = 0;
  /** Locks of the same open file do not conflict, so we keep track of our own. */
  readonly #held = new Set<bigint>();

  /** `mode` is the mode of the folder if it has to be created; `who` describes this process to others. */
  constructor(folder: string, mode: number, who: () => string) {
    this.#folder = folder;
    this.#mode = mode;
    this.#who = who;
  }

  /** Undefined: another process has it. Throws an Error with a code if nothing can be written. */
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
      // Without locks, there is nobody to wait for.
      if (result < 0) return NOBODY_ELSE;
      if (this.#isThere(fd)) break;
      // The last process to release its claim removed the file after we had opened it.
      this.#close();
    }
    this.#held.add(range);
    return {
      [Symbol.asyncDispose]: async () => {
        if (this.#held.delete(range)) this.#release(range);
      },
    };
  }

  /**
   * Whether the file has a name. While we have claims only a user can have removed it, so the look at it is not repeated for each
   * of many.
   */
  #isThere(fd: number): boolean {
    const now = performance.now();
    if (this.#held.size > 0 && now < this.#thereUntil) return true;
    this.#thereUntil = now + LOOK_MS;
    return fstatSync(fd).nlink > 0;
  }

  /** The holder, in words; undefined if there is none, or if it is unknown. */
  holder(key: string): string | undefined {
    const range = rangeOf(key);
    if (this.#held.has(range)) return this.#who();
    try {
      const fd = openSync(join(this.#folder, FILE), constants.O_RDWR | SAFELY);
      try {
        const lock = findLock(fd, range, 1n);
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

  /** Undefined if the file belongs to another user and we may not write to it, or if there are no locks. */
  #open(): ClaimSlot | undefined {
    const path = join(this.#folder, FILE);
    try {
      const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | SAFELY, 0o600);
      if (!guard(fd, path, this.#folder)) {
        closeSync(fd);
        return this.#open();
      }
      return this.#takeSlot(fd);
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

  /** Takes a slot of its own and writes the description there. */
  #takeSlot(fd: number): ClaimSlot | undefined {
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

  /** Closes the file, and removes it if there are no other claims. */
  #leave(): void {
    if (this.#opened === undefined) return;
    // While we lock everything, nobody else can hold a claim; a process that opens the file now will notice that it was
    // unlinked.
    try {
      if (lockRange(this.#opened.fd, 0n, TO_THE_END, true) === 0) unlinkSync(join(this.#folder, FILE));
    } catch {
      // The file stays for the next process.
    }
    this.#close();
  }

  #close(): void {
    if (this.#opened !== undefined) closeSync(this.#opened.fd);
    this.#opened = undefined;
  }
}

/** Does not follow a symlink or block on a fifo. */
const SAFELY = constants.O_NOFOLLOW | constants.O_NONBLOCK;

function rangeOf(key: string): bigint {
  return BigInt(`0x${key.slice(0, KEY_BITS / 4)}`) << BigInt(SLOT_BITS);
}

/**
 * Restricts the file to users who may write to its folder. False: it was accessible to others and we may not change
 * that, so it is replaced. Throws an Error if it is not a regular file.
 */
function guard(fd: number, path: string, folder: string): boolean {
  const file = fstatSync(fd);
  if (!file.isFile()) throw new Error(`${path} is not a regular file; remove it`);
  const { mode, gid } = statSync(folder);
  const group = (mode & 0o020) !== 0 && (file.gid === gid || tryQuietly(() => fchownSync(fd, -1, gid)));
  const wanted = 0o600 | (group ? 0o060 : 0) | ((mode & 0o002) !== 0 ? 0o066 : 0);
  if ((file.mode & 0o777) === wanted || tryQuietly(() => fchmodSync(fd, wanted))) return true;
  // It belongs to another user, who may have been less strict: locks held by strangers would make everybody wait.
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
