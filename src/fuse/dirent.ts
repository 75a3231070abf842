/** Packing directory entries into a READDIR or READDIRPLUS reply. */
import * as abi from "./abi.ts";
import { type StructValue, wordsOf } from "./wire.ts";

const PLAIN = abi.dirent.size;
const PLUS = abi.entryOut.size + abi.dirent.size;

/** The file type in an entry: the mode's type bits, as the kernel's S_DT() has them. */
export function direntType(mode: number): number {
  return (mode >> 12) & 15;
}

/** Fills `target` with entries until one does not fit. */
export class DirentWriter {
  readonly #target: Buffer;
  readonly #words: Uint32Array;
  readonly #limit: number;
  length = 0;

  /** `size` is the caller's buffer size. */
  constructor(target: Buffer, size: number) {
    this.#target = target;
    this.#words = wordsOf(target);
    this.#limit = Math.min(size, target.length);
  }

  /** Whether an entry with this name fits. */
  fits(name: string, plus: boolean): boolean {
    return this.length + align8((plus ? PLUS : PLAIN) + name.length) <= this.#limit;
  }

  /**
   * Adds an entry; `off` is the cookie with which a later read continues after it. Returns false if it does not fit. An
   * `entry` with nodeid 0 means that no lookup was done; the kernel does one when it needs the inode.
   */
  add(name: string, ino: number, off: number, type: number, entry?: StructValue<typeof abi.entryOut>): boolean {
    if (!this.fits(name, entry !== undefined)) return false;
    let at = this.length;
    if (entry !== undefined) at = abi.entryOut.encode(this.#target, this.#words, at, entry);
    at = abi.dirent.encode(this.#target, this.#words, at, { ino, off, namelen: name.length, type });
    this.#target.write(name, at, "latin1");
    at += name.length;
    const end = align8(at);
    this.#target.fill(0, at, end);
    this.length = end;
    return true;
  }
}

function align8(length: number): number {
  return (length + 7) & ~7;
}
