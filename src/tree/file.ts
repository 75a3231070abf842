/** A regular file: its bytes, or the promise of them. */
import { FsError } from "../errno.ts";
import { MAX_WIDE, plus, type Wide } from "../int64.ts";
import type { Extent } from "../libc.ts";
import { Content } from "./content/content.ts";
import type { FileState } from "./content/file-state.ts";
import type { Afterwards, Store } from "./content/store.ts";
import { type Clock, InodeBase, type Owner, S_IFREG, type SomeTimes } from "./inode.ts";
import type { Space } from "./space.ts";

/** Largest size whose every offset is exact in a number. Beyond it sizes and offsets are bigints (see int64.ts). */
export const MAX_FILE_SIZE = Number.MAX_SAFE_INTEGER;

/** Few files fail, so a million others need no room for why. */
const errors = new WeakMap<RegularFile, FsError>();

export class RegularFile extends InodeBase {
  /** The content; while there is none, as in most of a million files, the space it would be counted against. */
  #held: Content | Space;
  /** Invariant: "pending", "generating" and "failed" have no content. */
  #state: FileState = "static";

  override get kind(): "file" {
    return "file";
  }

  constructor(ino: number, mode: number, owner: Owner, clock: Clock, space: Space) {
    super(ino, S_IFREG | mode, owner, clock);
    this.#held = space;
  }

  get state(): FileState {
    this.catchUp();
    return this.#state;
  }

  set state(state: FileState) {
    this.catchUp();
    this.#become(state);
  }

  /** The only place where the state changes: the space counts the files with a name by their state. */
  #become(state: FileState): void {
    if (this.nlink > 0) {
      const { files } = this.#space;
      files[this.#state]--;
      files[state]++;
    }
    this.#state = state;
  }

  /** It has got its first name. */
  named(): void {
    this.#space.files[this.#state]++;
  }

  /** It has lost its last name. */
  unnamed(): void {
    this.#space.files[this.#state]--;
  }

  get #space(): Space {
    return this.#held instanceof Content ? this.#held.space : this.#held;
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
    return this.#state === "pending" || this.#state === "generating" || this.#state === "failed";
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
    return this.#change(() => this.#own().write(offset, data, afterwards));
  }

  truncate(size: Wide): void {
    if (typeof size === "bigint" && size > MAX_WIDE) throw new FsError("EFBIG");
    this.#change(() => (size === 0 ? this.#content?.clear() : this.#own().truncate(size)));
  }

  allocate(offset: Wide, length: Wide, keepSize: boolean): void {
    if (plus(offset, length) > MAX_WIDE) throw new FsError("EFBIG");
    this.#change(() => this.#own().allocate(offset, length, keepSize));
  }

  punch(offset: Wide, length: Wide): void {
    this.#change(() => this.#content?.punch(offset, length));
  }

  /** A change of the bytes by our own hand: what the kernel did before it counts first, and what it marks is no news. */
  #change<T>(work: () => T): T {
    this.catchUp();
    try {
      return work();
    } finally {
      this.#content?.storeTimes?.take();
    }
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

  /** Each gets what the other is: content and state. Precondition: neither is shared. */
  exchange(other: RegularFile): void {
    [this.#held, other.#held] = [other.#held, this.#held];
    const state = this.#state;
    this.#become(other.#state);
    other.#become(state);
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
    if (this.#state !== "ready") return false;
    this.#become("static");
    return true;
  }

  /** Whether the bytes are in a store already, so that sharing them costs nothing. */
  get stored(): boolean {
    return this.#content?.stored ?? false;
  }

  /**
   * Lets the kernel read and write the bytes where they are, until `unshare`. Size, allocation, times and state are
   * right all the while: each is looked up in the store when somebody asks. A write that is found then is reported.
   */
  share(report: (taken: boolean) => void = () => {}): Store {
    return this.#own().share(report);
  }

  /** Looks whether the kernel has written. For who goes by the reports. */
  bringIn(): void {
    this.catchUp();
  }

  /** Ends that, where the store is free: nobody but us has it open or mapped. False where it is not. */
  unshare(isFree: (store: Store) => boolean = () => true): boolean {
    const seen = this.#content?.storeTimes;
    if (seen === undefined) return true;
    if (!isFree(seen.store)) return false;
    this.catchUp();
    this.#content?.unshare();
    return true;
  }

  /** Takes over the kernel's last write and last read, if there were any: their times, and whose the bytes are. */
  protected override catchUp(): void {
    const seen = this.#content?.storeTimes;
    seen?.look(
      (seconds, nanoseconds) => {
        const taken = this.becomeTheirs();
        this.noteWriteAt(seconds, nanoseconds);
        seen.report(taken);
      },
      (seconds, nanoseconds) => this.noteReadAt(seconds, nanoseconds),
    );
  }

  override setTimes(times: SomeTimes): void {
    super.setTimes(times);
    const seen = this.#content?.storeTimes;
    if (seen !== undefined && (times.atime ?? times.mtime) !== undefined) seen.stamp(this.times());
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
    if (this.lazy && this.size !== 0) throw new Error(`inode ${this.ino}: ${this.#state}, but ${this.size} bytes`);
    this.#content?.checkInvariants();
  }
}
