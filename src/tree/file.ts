/** A regular file. */
import { FsError } from "../errno.ts";
import { MAX_WIDE, plus, type Wide } from "../int64.ts";
import type { Extent } from "../libc.ts";
import { Content } from "./content/content.ts";
import type { FileState } from "./content/file-state.ts";
import type { Afterwards, Store } from "./content/store.ts";
import { type Clock, defineKind, InodeBase, type Owner, reportChange, S_IFREG, type SomeTimes } from "./inode.ts";
import type { Space } from "./space.ts";

/**
 * The largest size for which every offset is an exact number. Beyond it sizes and offsets are bigints (see int64.ts).
 */
export const MAX_FILE_SIZE = Number.MAX_SAFE_INTEGER;

/** Few files fail, so the reason is stored outside the file: a million other files need no memory for it. */
const errors = new WeakMap<RegularFile, FsError>();

export class RegularFile extends InodeBase {
  /** The content, or, for the many files that have none, the space toward which it would count. */
  #held: Content | Space;
  /** Invariant: "pending", "generating" and "failed" have no content. */
  #state: FileState = "static";

  declare readonly kind: "file";
  static {
    defineKind(RegularFile.prototype, "file");
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
    reportChange(this);
    this.#become(state);
  }

  /** The only place where the state changes: the space counts the named files by their state. */
  #become(state: FileState): void {
    if (this.nlink > 0) {
      const { files } = this.#space;
      files[this.#state]--;
      files[state]++;
    }
    this.#state = state;
  }

  /** Call this when it has got its first name. */
  noteFirstName(): void {
    this.#space.files[this.#state]++;
  }

  /** Call this when it has lost its last name. */
  noteLastName(): void {
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

  /** Whether the kernel may have changed the bytes since anybody asked. */
  get mayHaveNews(): boolean {
    return this.#content?.storeTimes !== undefined;
  }

  /** The reason why the last generation failed; only in state "failed". */
  get error(): FsError | undefined {
    return this.#state === "failed" ? errors.get(this) : undefined;
  }

  set error(error: FsError | undefined) {
    reportChange(this);
    if (error === undefined) errors.delete(this);
    else errors.set(this, error);
  }

  /** Whether the content still has to be generated. This is not the same as an empty file. */
  get lazy(): boolean {
    return this.#state === "pending" || this.#state === "generating" || this.#state === "failed";
  }

  get size(): number {
    return this.#content?.size ?? 0;
  }

  /** The exact size; `size` is the nearest number. */
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

  /**
   * Returns the number of bytes written, which is smaller than given if space ran out. Throws ENOSPC, EFBIG. See
   * Content.write.
   */
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

  /**
   * Does a change of our own. Earlier changes by the kernel are taken over first, and times that our change sets are
   * ignored.
   */
  #change<T>(work: () => T): T {
    this.catchUp();
    reportChange(this);
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

  /** Replaces the content with one that no other file has. Precondition: the file is not shared. */
  adopt(content: Content): void {
    reportChange(this);
    this.#content?.dispose();
    this.#held = content;
  }

  /** Exchanges content, state and error with another file. Precondition: neither is shared. */
  exchange(other: RegularFile): void {
    reportChange(this);
    reportChange(other);
    [this.#held, other.#held] = [other.#held, this.#held];
    const { state, error } = this;
    const { error: theirs } = other;
    this.#become(other.#state);
    other.#become(state);
    this.error = theirs;
    other.error = error;
  }

  /** A write came first, so the generator will not run. Returns true if the file was waiting for one. */
  becomeStatic(): boolean {
    if (!this.lazy) return false;
    this.state = "static";
    this.error = undefined;
    return true;
  }

  /** A write to generated content makes it static. Returns true if it was not static before. */
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
   * Lets the kernel read and write the bytes directly, until `unshare`. Size, allocation, times and state stay correct:
   * each is read from the store on demand. A write that is noticed then is reported.
   */
  share(report: (taken: boolean) => void = () => {}): Store {
    return this.#own().share(report);
  }

  /** Checks whether the kernel has written, so that the reports are complete. */
  bringIn(): void {
    this.catchUp();
  }

  /** The kernel no longer uses the store. Its last changes are taken over when anybody asks. */
  endSharing(): void {
    const seen = this.#content?.storeTimes;
    if (seen !== undefined) seen.over = true;
  }

  /** Ends the sharing if no other process has the store open or mapped. Otherwise returns false. */
  unshare(isFree: (store: Store) => boolean = () => true): boolean {
    const seen = this.#content?.storeTimes;
    if (seen === undefined) return true;
    if (!isFree(seen.store)) return false;
    this.catchUp();
    this.#content?.unshare();
    return true;
  }

  /** Takes over the kernel's last write and last read, if there were any: their times, and the state. */
  protected override catchUp(): void {
    this.#takeOver();
    if (this.#content?.storeTimes?.over === true) this.#content.unshare();
  }

  #takeOver(): void {
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

  /** Moves the bytes to the heap if they are few and the store may be taken. Returns the store. */
  demote(mayTake: (store: Store) => boolean): Store | undefined {
    this.#takeOver();
    return this.#content?.demote(mayTake);
  }

  /** Frees the memory when the last reference is gone. */
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
