/**
 * Saves a live tree, slice by slice: between two slices the tree may change, and what is saved is the tree as it was
 * when the saver was made.
 *
 * Names, attributes and xattrs are taken at once; contents are read when their turn comes, and files that are about to
 * change say so first (`beforeChange`), so that only what changes is held twice. The text is never held as a whole.
 */
import { CONTROL_NAME, METADATA } from "../../attributes.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Inode } from "../../tree/inode.ts";
import type { Tree } from "../../tree/tree.ts";
import { VERSION } from "../format.ts";
import { type Fragments, formatContent } from "./content.ts";
import { FrozenContent } from "./copy-on-write.ts";
import { type Captured, formatHead } from "./write-entry.ts";

export interface SaveOptions {
  /** Access, modification and change times, and when contents were made: they make every snapshot differ. */
  readonly times?: boolean;
  /** Who owns what; without it, who loads the snapshot will own all of it. */
  readonly owner?: boolean;
}

/** How much one call of `next` may do: whichever is reached first ends it. */
export interface Slice {
  /** Of the text made; 1 MiB unless stated. A call may go beyond it by one entry or 100 kB. */
  readonly bytes?: number;
  readonly milliseconds?: number;
}

const DEFAULT_BYTES = 1 << 20;
/**
 * Files that the kernel writes by itself (passthrough) change without `beforeChange`. So many bytes of them are copied
 * at once; larger ones are saved as they are when their turn comes.
 */
const UNASKED_LIMIT = 16 << 20;

export class SnapshotSaver implements Disposable {
  readonly #tree: Tree;
  readonly #entries: readonly Captured[];
  /** Files whose content is still to be written; what has it is held, so that it outlives its last name. */
  readonly #waiting = new Map<RegularFile, FrozenContent | number>();
  /** Of those whose content has moved since, where it is. */
  readonly #places = new Map<RegularFile, RegularFile>();
  readonly #fragments: Fragments;

  /** Captures everything but contents, at once. Dispose it where it is not read to the end. */
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
   * A file's bytes from `offset` on are about to change, to be cut off or to become a hole. Call it before every such
   * change, of the whole file where the place is not known; it costs nothing for a file that is written already.
   */
  beforeChange(file: RegularFile, offset = 0, length = Number.POSITIVE_INFINITY): void {
    const captured = this.#findCaptured(file);
    const waiting = captured && this.#waiting.get(captured);
    if (captured !== undefined && waiting !== undefined) this.#freeze(captured, waiting).keep(offset, length);
  }

  /** Two files are about to exchange their contents, or just have. */
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

  /** The file that was captured with the content that this one has now. */
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
    yield* formatContent(waiting === undefined ? new FrozenContent(file, 0) : this.#freeze(file, waiting));
    if (this.#waiting.delete(file)) this.#tree.drop(this.#placeOf(file));
    this.#places.delete(file);
  }

  #freeze(file: RegularFile, waiting: FrozenContent | number): FrozenContent {
    if (typeof waiting !== "number") return waiting;
    const frozen = new FrozenContent(this.#placeOf(file), waiting);
    this.#waiting.set(file, frozen);
    return frozen;
  }
}

/** The whole snapshot of a tree that does not change meanwhile. */
export function* saveSnapshot(tree: Tree, options: SaveOptions = {}): Generator<Uint8Array> {
  using saver = new SnapshotSaver(tree, options);
  for (let piece = saver.next(); piece !== undefined; piece = saver.next()) yield piece;
}

function capture(tree: Tree, options: SaveOptions): Captured[] {
  const entries: Captured[] = [];
  /** First path of what has several. */
  const paths = new Map<Inode, string>();
  const { root } = tree;
  const control = `/${CONTROL_NAME}`;
  for (const { path, inode } of tree.walk()) {
    // Only where a mount has no control directory can there be such a name, and it could not be loaded again.
    if (path === control || path.startsWith(`${control}/`)) continue;
    const several = inode.kind !== "directory" && inode.nlink > 1;
    const to = several ? paths.get(inode) : undefined;
    if (several && to === undefined) paths.set(inode, path);
    const owned = inode === root || inode.uid !== root.uid || inode.gid !== root.gid;
    const file = inode.kind === "file" ? inode : undefined;
    entries.push({
      path,
      inode,
      mode: inode.mode,
      owner: owned && options.owner !== false ? { uid: inode.uid, gid: inode.gid } : undefined,
      xattrs: xattrsOf(inode, options.times === true),
      times: options.times === true ? timesOf(inode) : undefined,
      state: file === undefined ? "static" : file.state === "generating" ? "pending" : file.state,
      error: file?.error,
      size: file?.size ?? 0,
      to,
    });
  }
  return entries;
}

/** What says when something was made, and how fast: it makes every snapshot differ from the last, as times do. */
const VARYING: readonly string[] = [`${METADATA}at`, `${METADATA}ms`];

function xattrsOf({ xattrs }: Inode, varying: boolean): [string, Uint8Array][] | undefined {
  if (xattrs === undefined) return undefined;
  return varying ? [...xattrs] : [...xattrs].filter(([name]) => !VARYING.includes(name));
}

function timesOf(inode: Inode): [string, number, number][] {
  const { atime, atimeNsec, mtime, mtimeNsec, ctime, ctimeNsec } = inode.times();
  return [
    ["atime", atime, atimeNsec],
    ["mtime", mtime, mtimeNsec],
    ["ctime", ctime, ctimeNsec],
  ];
}
