/**
 * Saves a live tree in slices. The tree may change between two slices; the result is the tree as it was when the saver
 * was created.
 *
 * Names, attributes and xattrs are captured at once. Contents are read when their turn comes: `beforeChange` must be
 * called before a file changes, so that only changed parts are in memory twice. The text is never in memory as a whole.
 */
import { CONTROL_NAME, DEPENDS, METADATA } from "../../attributes.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Inode, Owner } from "../../tree/inode.ts";
import { currentPaths } from "../../tree/references/moved-names.ts";
import type { Tree } from "../../tree/tree.ts";
import { VERSION } from "../format.ts";
import { type Fragments, formatContent } from "./content.ts";
import { FrozenFile } from "./copy-on-write.ts";
import { type Captured, formatHead } from "./write-entry.ts";

export interface SaveOptions {
  /**
   * Access, modification and change times, and the time of generation. With them, every snapshot differs from the last.
   */
  readonly times?: boolean;
  /** Without `times`: modification times are written, except this one, in seconds since 1970. */
  readonly unknownTime?: number | undefined;
  /**
   * The owners. Without them, everything will belong to the user who loads the snapshot. Given an owner, a root that belongs to
   * that owner is written without one.
   */
  readonly owner?: boolean | Owner;
}

/** How much one call of `next` may do. The first limit reached ends the call. */
export interface Slice {
  /** Bytes of text; the default is 1 MiB. A call may exceed it by one entry or 100 kB. */
  readonly bytes?: number;
  readonly milliseconds?: number;
}

const DEFAULT_BYTES = 1 << 20;
/**
 * Files that the kernel writes by itself (passthrough) change without `beforeChange`. Up to this many bytes of them are
 * copied at once; larger files are saved as they are when their turn comes.
 */
const UNASKED_LIMIT = 16 << 20;

export class SnapshotSaver implements Disposable {
  readonly #tree: Tree;
  readonly #entries: readonly Captured[];
  /**
   * Files whose content has not been written yet, with the content, which is kept even when the last name is removed.
   */
  readonly #waiting = new Map<RegularFile, FrozenFile | number>();
  /** Where the content is now, for files whose content has moved. */
  readonly #places = new Map<RegularFile, RegularFile>();
  readonly #fragments: Fragments;

  /** Captures everything except contents. Dispose it if it is not read to the end. */
  constructor(tree: Tree, options: SaveOptions = {}) {
    this.#tree = tree;
    this.#entries = capture(tree, options);
    let unasked = UNASKED_LIMIT;
    for (const { inode, size } of this.#entries) {
      if (inode.kind !== "file" || size === 0 || this.#waiting.has(inode)) continue;
      tree.hold(inode);
      this.#waiting.set(inode, size);
      if (inode.shared && size <= unasked) {
        unasked -= size;
        this.beforeChange(inode);
      }
    }
    this.#fragments = this.#formatAll();
  }

  /** The next piece of the text, as UTF-8; it may be empty. Undefined at the end. */
  next(slice: Slice = {}): Uint8Array | undefined {
    const bytes = slice.bytes ?? DEFAULT_BYTES;
    const deadline = slice.milliseconds === undefined ? undefined : performance.now() + slice.milliseconds;
    let out = "";
    for (let done = 0; done < bytes; ) {
      const { value, done: ended } = this.#fragments.next();
      if (ended === true) return out === "" ? undefined : Buffer.from(out);
      if (typeof value === "string") {
        out += value;
        done += value.length;
      } else if (value !== undefined) done += value;
      if (deadline !== undefined && performance.now() >= deadline) break;
    }
    return Buffer.from(out);
  }

  /**
   * Call this before bytes of a file change, are cut off or become a hole: from `offset` on, or the whole file if the
   * range is unknown. It costs nothing for a file that is already written.
   */
  beforeChange(file: RegularFile, offset = 0, length = Number.POSITIVE_INFINITY): void {
    const captured = this.#findCaptured(file);
    const waiting = captured && this.#waiting.get(captured);
    if (captured !== undefined && waiting !== undefined) this.#freeze(captured, waiting).keep(offset, length);
  }

  /** Call this before or right after two files exchange their contents. */
  beforeExchange(one: RegularFile, other: RegularFile): void {
    const [first, second] = [this.#findCaptured(one), this.#findCaptured(other)];
    if (first !== undefined) this.#move(first, other);
    if (second !== undefined) this.#move(second, one);
  }

  [Symbol.dispose](): void {
    this.#fragments.return();
    for (const file of this.#waiting.keys()) this.#tree.drop(this.#placeOf(file));
    this.#waiting.clear();
  }

  /** The file that was captured with the content that `file` has now. */
  #findCaptured(file: RegularFile): RegularFile | undefined {
    for (const [captured, place] of this.#places) if (place === file) return captured;
    return this.#places.has(file) ? undefined : file;
  }

  #placeOf(captured: RegularFile): RegularFile {
    return this.#places.get(captured) ?? captured;
  }

  #move(captured: RegularFile, place: RegularFile): void {
    const waiting = this.#waiting.get(captured);
    if (waiting === undefined) return;
    this.#tree.hold(place);
    this.#tree.drop(this.#placeOf(captured));
    if (place === captured) this.#places.delete(captured);
    else this.#places.set(captured, place);
    if (typeof waiting !== "number") waiting.onMove(place);
  }

  *#formatAll(): Fragments {
    yield `{\n  "llmfs": ${VERSION},\n  "entries": [`;
    let separator = "\n    ";
    for (const entry of this.#entries) {
      yield `${separator}{${formatHead(entry)}`;
      separator = ",\n    ";
      if (entry.to === undefined && entry.inode.kind === "file") yield* this.#formatContent(entry, entry.inode);
      yield "}";
    }
    yield "\n  ]\n}\n";
  }

  *#formatContent(entry: Captured, file: RegularFile): Fragments {
    if (entry.state === "pending" || entry.state === "failed") return;
    const waiting = this.#waiting.get(file);
    yield* formatContent(waiting === undefined ? new FrozenFile(file, 0) : this.#freeze(file, waiting));
    if (this.#waiting.delete(file)) this.#tree.drop(this.#placeOf(file));
    this.#places.delete(file);
  }

  #freeze(file: RegularFile, waiting: FrozenFile | number): FrozenFile {
    if (typeof waiting !== "number") return waiting;
    const frozen = new FrozenFile(this.#placeOf(file), waiting);
    this.#waiting.set(file, frozen);
    return frozen;
  }
}

/** The whole snapshot of a tree that does not change in the meantime. */
export function* saveSnapshot(tree: Tree, options: SaveOptions = {}): Generator<Uint8Array> {
  using saver = new SnapshotSaver(tree, options);
  for (let piece = saver.next(); piece !== undefined; piece = saver.next()) yield piece;
}

function capture(tree: Tree, options: SaveOptions): Captured[] {
  const entries: Captured[] = [];
  /** The first path of each inode that has several. */
  const paths = new Map<Inode, string>();
  const { root } = tree;
  const control = `/${CONTROL_NAME}`;
  for (const { path, inode } of tree.walk()) {
    // Only a mount without a control directory can have this name, and such a snapshot could not be loaded again.
    if (path === control || path.startsWith(`${control}/`)) continue;
    const several = inode.kind !== "directory" && inode.nlink > 1;
    const to = several ? paths.get(inode) : undefined;
    if (several && to === undefined) paths.set(inode, path);
    const usual = inode !== root ? root : typeof options.owner === "object" ? options.owner : undefined;
    const owned = inode.uid !== usual?.uid || inode.gid !== usual?.gid;
    const file = inode.kind === "file" ? inode : undefined;
    entries.push({
      path,
      inode,
      mode: inode.mode,
      owner: owned && options.owner !== false ? { uid: inode.uid, gid: inode.gid } : undefined,
      xattrs: xattrsOf(inode, options.times === true),
      times: options.times === true ? timesOf(inode) : knownTimesOf(inode, options.unknownTime),
      state: file === undefined ? "static" : file.state === "generating" ? "pending" : file.state,
      error: file?.error,
      size: file?.size ?? 0,
      to,
    });
  }
  return entries;
}

/** When content was generated and how long it took: like times, these make every snapshot differ from the last. */
const VARYING: readonly string[] = [`${METADATA}at`, `${METADATA}ms`];

function xattrsOf(inode: Inode, varying: boolean): [string, Uint8Array][] | undefined {
  if (inode.xattrs === undefined) return undefined;
  const all = varying ? [...inode.xattrs] : [...inode.xattrs].filter(([name]) => !VARYING.includes(name));
  return all.map(([name, value]) => [name, name === DEPENDS ? currentPaths(inode, value) : value]);
}

function timesOf(inode: Inode): [string, number, number][] {
  const { atime, atimeNsec, mtime, mtimeNsec, ctime, ctimeNsec } = inode.times();
  return [
    ["atime", atime, atimeNsec],
    ["mtime", mtime, mtimeNsec],
    ["ctime", ctime, ctimeNsec],
  ];
}

function knownTimesOf(inode: Inode, unknown: number | undefined): [string, number, number][] | undefined {
  const { mtime, mtimeNsec } = inode.times();
  const known = unknown !== undefined && (mtime !== unknown || mtimeNsec !== 0);
  return known ? [["mtime", mtime, mtimeNsec]] : undefined;
}
