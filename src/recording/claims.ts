/**
 * Claims in a folder: of the mounts that share it, also of other users and containers, one asks and the others wait.
 *
 * Each key has its byte in the file `.claims`, and whoever makes that answer holds the lock on it. The kernel takes the
 * lock away the moment its holder dies, however that happens. The file is empty, and gone when nobody claims anything.
 */
import { accessSync, closeSync, constants, fchmodSync, fstatSync, mkdirSync, openSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { codeOf, ERRNO } from "../errno.ts";
import { lockRange } from "../libc.ts";
import { type Claim, NOBODY_ELSE } from "./recording.ts";

const FILE = ".claims";
/** So many bits of a key say which byte is its. */
const BITS = 60;
const ALL = 1n << BigInt(BITS);

export class FolderClaims {
  readonly #folder: string;
  readonly #mode: number;
  #fd: number | undefined;
  /** Locks of one open file are no obstacle to itself. */
  readonly #held = new Set<bigint>();

  /** `mode` is for the folder, if it has to be made. */
  constructor(folder: string, mode: number) {
    this.#folder = folder;
    this.#mode = mode;
  }

  /** Undefined: somebody else has it. Throws an Error with a code where nothing can be written. */
  take(key: string): Claim | undefined {
    const byte = BigInt(`0x${key.slice(0, BITS / 4)}`);
    if (this.#held.has(byte)) return undefined;
    for (;;) {
      this.#fd ??= this.#open();
      if (this.#fd === undefined) return NOBODY_ELSE;
      const result = lockRange(this.#fd, byte, 1n, true);
      if (result === -ERRNO.EAGAIN || result === -ERRNO.EACCES) return undefined;
      // Where there are no locks nobody can be waited for.
      if (result < 0) return NOBODY_ELSE;
      if (fstatSync(this.#fd).nlink > 0) break;
      // Whoever was the last to claim something removed the file after we had opened it.
      this.#close();
    }
    this.#held.add(byte);
    return {
      [Symbol.asyncDispose]: async () => {
        if (this.#held.delete(byte)) this.#release(byte);
      },
    };
  }

  /** Undefined where the file is another user's, and not for us to write. */
  #open(): number | undefined {
    const path = join(this.#folder, FILE);
    try {
      const fd = openSync(path, "a+");
      share(fd);
      return fd;
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

  #release(byte: bigint): void {
    if (this.#fd === undefined) return;
    if (this.#held.size > 0) {
      lockRange(this.#fd, byte, 1n, false);
      return;
    }
    // Nobody holds anything while we hold all of it; whoever comes now finds that the file has no name any more.
    try {
      if (lockRange(this.#fd, 0n, ALL, true) === 0) unlinkSync(join(this.#folder, FILE));
    } catch {
      // It is empty, and serves the next one as well.
    }
    this.#close();
  }

  #close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/** Other users of the folder need it as well. */
function share(fd: number): void {
  try {
    fchmodSync(fd, 0o666);
  } catch {
    // It is another's, who has done so.
  }
}
