/**
 * Saves a live tree in slices. The tree may change between two slices; the result is the tree as it was when the saver
 * was created.
 *
 * Nothing is copied at the beginning. Until an entry is written, its first change is noted, with what was there before:
 * names and attributes by the frozen tree, contents here. `beforeChange` must be called before a file's content changes;
 * only changed parts are in memory twice. The text is never in memory as a whole.
 */
import { CONTROL_NAME, DEPENDS, METADATA } from "../../attributes.ts";
import { MAX_FILE_SIZE, type RegularFile } from "../../tree/file.ts";
import { type FrozenEntry, FrozenTree } from "../../tree/frozen/frozen-tree.ts";
import type { Owner } from "../../tree/inode.ts";
import type { MovedNames } from "../../tree/references/moved-names.ts";
import type { Tree } from "../../tree/tree.ts";
import { VERSION } from "../format.ts";
import { type Fragments, formatContent } from "./content.ts";
import { FrozenFile } from "./copy-on-write.ts";
import { type Described, formatHead } from "./write-entry.ts";

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
const UNASKED_LIMIT = 4 << 20;

export class SnapshotSaver implements Disposable {
  readonly #tree: Tree;
  readonly #frozen: FrozenTree;
  /** Contents that have changed since, of files that are not written yet, and the one that is being written. */
  readonly #contents = new Map<RegularFile, FrozenFile>();
  /** Where the content is now, for files whose content has moved. The files that have it are held. */
  readonly #places = new Map<RegularFile, RegularFile>();
  readonly #fragments: Fragments;

  /**
   * Dispose it if it is not read to the end. `unasked`: the files that the kernel may write by itself.
   */
  constructor(tree: Tree, options: SaveOptions = {}, unasked: Iterable<RegularFile> = []) {
    this.#tree = tree;
    this.#frozen = new FrozenTree(tree);
    let left = UNASKED_LIMIT;
    for (const file of unasked) {
      const size = this.#frozen.keep(file)?.size ?? 0;
      if (size === 0 || size > left) continue;
      left -= size;
      this.beforeChange(file);
    }
    this.#fragments = this.#formatAll(options);
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

  /** Whether the content of the file still has to be written, so that changes of it must be reported. */
  needs(file: RegularFile): boolean {
    const captured = this.#findCaptured(file);
    return captured !== undefined && (this.#contents.has(captured) || this.#sizeOf(captured) > 0);
  }

  /**
   * Call this before bytes of a file change, are cut off or become a hole: from `offset` on, or the whole file if the
   * range is unknown. It costs nothing for a file that is already written.
   */
  beforeChange(file: RegularFile, offset = 0, length = Number.POSITIVE_INFINITY): void {
    const captured = this.#findCaptured(file);
    if (captured === undefined) return;
    const size = this.#sizeOf(captured);
    const content = this.#contents.get(captured) ?? (size > 0 ? this.#freeze(captured, size) : undefined);
    content?.keep(offset, length);
  }

  /** Call this before two files exchange their contents. */
  beforeExchange(one: RegularFile, other: RegularFile): void {
    const [first, second] = [this.#findCaptured(one), this.#findCaptured(other)];
    if (first !== undefined) this.#move(first, other);
    if (second !== undefined) this.#move(second, one);
  }

  [Symbol.dispose](): void {
    this.#fragments.return();
    this.#release();
  }

  #release(): void {
    for (const place of this.#places.values()) this.#tree.drop(place);
    this.#places.clear();
    this.#contents.clear();
    this.#frozen[Symbol.dispose]();
  }

  /** The size that the file had, if it is not written yet; otherwise, and if it is too large for a snapshot, 0. */
  #sizeOf(captured: RegularFile): number {
    const size = this.#frozen.keep(captured)?.size ?? 0;
    return size > MAX_FILE_SIZE ? 0 : size;
  }

  /** The file that was captured with the content that `file` has now. */
  #findCaptured(file: RegularFile): RegularFile | undefined {
    for (const [captured, place] of this.#places) if (place === file) return captured;
    return this.#places.has(file) ? undefined : file;
  }

  #move(captured: RegularFile, place: RegularFile): void {
    const content = this.#contents.get(captured);
    if (content === undefined && this.#sizeOf(captured) === 0) return;
    const earlier = this.#places.get(captured);
    if (place === captured) this.#places.delete(captured);
    else {
      this.#tree.hold(place);
      this.#places.set(captured, place);
    }
    if (earlier !== undefined) this.#tree.drop(earlier);
    content?.onMove(place);
  }

  *#formatAll(options: SaveOptions): Fragments {
    yield `{\n  "llmfs": ${VERSION},\n  "entries": [`;
    let separator = "\n    ";
    let root: FrozenEntry | undefined;
    for (const entry of this.#frozen.visit()) {
      if (entry === undefined) {
        yield 0;
        continue;
      }
      root ??= entry;
      if (isControl(entry.path)) continue;
      // From now on, the frozen tree no longer notes its changes.
      const file = entry.first === undefined && entry.inode.kind === "file" ? entry.inode : undefined;
      const content = file && this.#contentOf(entry, file);
      yield `${separator}{${formatHead(describe(entry, root, options, this.#tree.movedNames))}`;
      separator = ",\n    ";
      if (content !== undefined) yield* formatContent(content);
      if (file !== undefined) this.#finish(file);
      yield "}";
    }
    yield "\n  ]\n}\n";
    this.#release();
  }

  #contentOf({ state, size }: FrozenEntry, file: RegularFile): FrozenFile | undefined {
    if (state !== "static" && state !== "ready") return undefined;
    return this.#contents.get(file) ?? this.#freeze(file, size);
  }

  #finish(file: RegularFile): void {
    this.#contents.delete(file);
    const place = this.#places.get(file);
    if (place === undefined) return;
    this.#places.delete(file);
    this.#tree.drop(place);
  }

  #freeze(file: RegularFile, size: number): FrozenFile {
    const content = new FrozenFile(this.#places.get(file) ?? file, size);
    this.#contents.set(file, content);
    return content;
  }
}

/** The whole snapshot of a tree that does not change in the meantime. */
export function* saveSnapshot(tree: Tree, options: SaveOptions = {}): Generator<Uint8Array> {
  using saver = new SnapshotSaver(tree, options);
  for (let piece = saver.next(); piece !== undefined; piece = saver.next()) yield piece;
}

/** Only a mount without a control directory can have this name, and such a snapshot could not be loaded again. */
function isControl(path: string): boolean {
  return path === CONTROL || path.startsWith(`${CONTROL}/`);
}

const CONTROL = `/${CONTROL_NAME}`;

function describe(entry: FrozenEntry, root: FrozenEntry, options: SaveOptions, moved: MovedNames): Described {
  const { uid, gid, state, first, ...rest } = entry;
  const usual = entry !== root ? root : typeof options.owner === "object" ? options.owner : undefined;
  const owned = uid !== usual?.uid || gid !== usual?.gid;
  return {
    ...rest,
    to: first,
    owner: owned && options.owner !== false ? { uid, gid } : undefined,
    xattrs: xattrsOf(entry, options.times === true, moved),
    times: options.times === true ? timesOf(entry) : knownTimesOf(entry, options.unknownTime),
    state: state === "generating" ? "pending" : state,
  };
}

/** When content was generated and how long it took: like times, these make every snapshot differ from the last. */
const VARYING: readonly string[] = [`${METADATA}at`, `${METADATA}ms`];

/** Dependencies on files that were moved follow them, also if they are moved during the save. */
function xattrsOf(
  { inode, xattrs }: FrozenEntry,
  varying: boolean,
  moved: MovedNames,
): [string, Uint8Array][] | undefined {
  if (xattrs === undefined) return undefined;
  const all = varying ? [...xattrs] : [...xattrs].filter(([name]) => !VARYING.includes(name));
  return all.map(([name, value]) => [name, name === DEPENDS ? moved.currentPaths(inode, value) : value]);
}

function timesOf({ times }: FrozenEntry): [string, number, number][] {
  const { atime, atimeNsec, mtime, mtimeNsec, ctime, ctimeNsec } = times;
  return [
    ["atime", atime, atimeNsec],
    ["mtime", mtime, mtimeNsec],
    ["ctime", ctime, ctimeNsec],
  ];
}

function knownTimesOf({ times }: FrozenEntry, unknown: number | undefined): [string, number, number][] | undefined {
  const { mtime, mtimeNsec } = times;
  const known = unknown !== undefined && (mtime !== unknown || mtimeNsec !== 0);
  return known ? [["mtime", mtime, mtimeNsec]] : undefined;
}
