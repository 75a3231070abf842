/** A regular file: its bytes, or the promise of them. */
import { FsError } from "../errno.ts";
import type { Extent, FileStat } from "../libc.ts";
import { MAX_WIDE, plus, type Wide } from "../wide.ts";
import { Content } from "./content.ts";
import { type Clock, InodeBase, type Owner, S_IFREG } from "./inode.ts";
import { stamped } from "./seen.ts";
import type { Space } from "./space.ts";
import type { Afterwards, Store } from "./store.ts";

/** Largest size whose every offset is exact in a number. Beyond it sizes and offsets are bigints (see wide.ts). */
export const MAX_FILE_SIZE = Number.MAX_SAFE_INTEGER;

/**
 * Where a file is in its life:
 * - "static": bytes someone wrote, or none
 * - "pending": it has a generator and no bytes yet
 * - "generating": somebody waits for the generator
 * - "ready": the generator's bytes; whoever changes them makes them "static"
 * - "failed": the generator was tried; the next open tries again
 */
export type FileState = "static" | "pending" | "generating" | "ready" | "failed";

/** Few files fail, so a million others need no room for why. */
const errors = new WeakMap<RegularFile, FsError>();

/** Filled and read within one call. */
const STAT: FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };

export class RegularFile extends InodeBase {
  /** The content; while there is none, as in most of a million files, the space it would be counted against. */
  #held: Content | Space;
  /** Invariant: "pending", "generating" and "failed" have no content. */
  state: FileState = "static";

  override get kind(): "file" {
    return "file";
  }

  constructor(ino: number, mode: number, owner: Owner, clock: Clock, space: Space) {
    super(ino, S_IFREG | mode, owner, clock);
    this.#held = space;
  }

  get #content(): Content | undefined {
    return this.#held instanceof Content ? this.#held : undefined;
  }

  /** Whether the kernel has the bytes and changes them without telling us (see share). */
  get shared(): boolean {
    return this.#content?.shared ?? false;
  }

  /** Why the last generation failed; only in state "failed". */
  get error(): FsError | undefined {
    return errors.get(this);
  }

  set error(error: FsError | undefined) {
    if (error === undefined) errors.delete(this);
    else errors.set(this, error);
  }

  /** Whether the content is still to be made. An empty file is empty; this one is not even that. */
  get lazy(): boolean {
    return this.state === "pending" || this.state === "generating" || this.state === "failed";
  }

  get size(): number {
    return this.#content?.size ?? 0;
  }

  /** To the byte, where `size` gives the nearest number. */
  get exactSize(): Wide {
    return this.#content?.exactSize ?? 0;
  }

  get allocated(): number {
    return this.#content?.allocated ?? 0;
  }

  read(offset: Wide, target: Uint8Array): number {
    return this.#content?.read(offset, target) ?? 0;
  }

  /** See Content.extent. */
  extent(offset: Wide, length: number): Extent | undefined {
    return this.#content?.extent(offset, length);
  }

  bytes(): Uint8Array {
    return this.#content?.bytes() ?? new Uint8Array(0);
  }

  /** How many bytes were written; fewer than given when space ran out. Throws ENOSPC, EFBIG. See Content.write. */
  write(offset: Wide, data: Uint8Array, afterwards?: Afterwards): number {
    if (typeof offset === "bigint" && offset + BigInt(data.length) > MAX_WIDE) throw new FsError("EFBIG");
    const written = this.#own().write(offset, data, afterwards);
    this.#content?.see();
    return written;
  }

  truncate(size: Wide): void {
    if (typeof size === "bigint" && size > MAX_WIDE) throw new FsError("EFBIG");
    if (size === 0) this.#content?.clear();
    else this.#own().truncate(size);
    this.#content?.see();
  }

  allocate(offset: Wide, length: Wide, keepSize: boolean): void {
    if (plus(offset, length) > MAX_WIDE) throw new FsError("EFBIG");
    this.#own().allocate(offset, length, keepSize);
    this.#content?.see();
  }

  punch(offset: Wide, length: Wide): void {
    this.#content?.punch(offset, length);
    this.#content?.see();
  }

  nextData(offset: Wide): Wide | undefined {
    return this.#content?.nextData(offset);
  }

  nextHole(offset: Wide): Wide | undefined {
    return this.#content?.nextHole(offset);
  }

  /** Takes over a content that no other file has, in the place of its own. Precondition: the file is not shared. */
  adopt(content: Content): void {
    this.#content?.dispose();
    this.#held = content;
  }

  /** Someone wrote first: the generator will not run. True if the file was waiting for one. */
  becomeStatic(): boolean {
    if (!this.lazy) return false;
    this.state = "static";
    this.error = undefined;
    return true;
  }

  /** Someone wrote to what a generator made: it is theirs. True if it was not yet. */
  becomeTheirs(): boolean {
    if (this.state !== "ready") return false;
    this.state = "static";
    return true;
  }

  /** Whether the bytes are in a store already, so that sharing them costs nothing. */
  get stored(): boolean {
    return this.#content?.stored ?? false;
  }

  /**
   * Lets the kernel read and write the bytes where they are, until `unshare`. Size and allocation are right all the
   * while; the times need `sync`.
   */
  share(): Store {
    return this.#own().share();
  }

  unshare(): void {
    if (!this.shared) return;
    this.sync();
    this.#content?.unshare();
  }

  /** Takes note of the kernel's last write and last read, if there were any: of their times, and of whose the bytes are. */
  sync(): void {
    const seen = this.#content?.news(STAT);
    if (seen === undefined) return;
    if (seen.written(STAT)) {
      this.becomeTheirs();
      stamped(this, STAT.mtime, STAT.mtimeNsec, (seconds, nanoseconds) => {
        this.mtime = this.ctime = seconds;
        this.mtimeNsec = this.ctimeNsec = nanoseconds;
      });
    }
    if (seen.read(STAT)) stamped(this, STAT.atime, STAT.atimeNsec, (s, n) => this.accessedAt(s, n));
  }

  /** Moves the bytes to the heap if they are few and the store may be taken, and returns the store they were in. */
  demote(mayTake: (store: Store) => boolean): Store | undefined {
    return this.#content?.demote(mayTake);
  }

  /** Gives the memory back when the last reference is gone. */
  dispose(): void {
    this.#held = this.#held instanceof Content ? this.#held.dispose() : this.#held;
  }

  #own(): Content {
    this.#held = this.#held instanceof Content ? this.#held : new Content(this.#held);
    return this.#held;
  }

  checkInvariants(): void {
    if (this.lazy && this.size !== 0) throw new Error(`inode ${this.ino}: ${this.state}, but ${this.size} bytes`);
    this.#content?.checkInvariants();
  }
}
