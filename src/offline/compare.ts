/** Compares two trees by names, types, modes, contents and targets of symlinks. */
import type { FileContent, OfflineTree } from "./offline-tree.ts";

export type Aspect = "type" | "mode" | "content" | "target";

export interface Side {
  readonly type: "file" | "directory" | "symlink" | "other";
  readonly mode: string;
  /** Of a file. Absent if it has no content yet. */
  readonly size?: number;
  /** Of a file. Absent if it has no content yet, or more than LARGEST_WHOLE bytes. */
  readonly content?: Uint8Array;
  /** Whether a file waits to be generated. */
  readonly pending?: true;
  readonly target?: string;
}

export interface Difference {
  /** Relative to what is compared: "src/main.c". */
  readonly path: string;
  readonly change: "added" | "removed" | "changed";
  /** What differs, if both have it. */
  readonly aspects: readonly Aspect[];
  readonly before?: Side;
  readonly after?: Side;
}

export interface ComparedTree {
  readonly tree: OfflineTree;
  /** The directory that is compared. */
  readonly path: string;
}

/** Larger contents are compared piece by piece, and are not part of the result. */
export const LARGEST_WHOLE = 64 * 2 ** 20;
const PIECE = 2 ** 20;

/** In byte order of the paths. Throws FsError if a path is not there. */
export function compareTrees(before: ComparedTree, after: ComparedTree): readonly Difference[] {
  const [old, now] = [entriesOf(before), entriesOf(after)];
  const paths = [...new Set([...old.keys(), ...now.keys()])].sort();
  return paths.flatMap((path): Difference[] => {
    const [one, other] = [old.get(path), now.get(path)];
    if (one === undefined) return other ? [{ path, change: "added", aspects: [], after: sideOf(other) }] : [];
    if (other === undefined) return [{ path, change: "removed", aspects: [], before: sideOf(one) }];
    const aspects = aspectsOf(one, other);
    if (aspects.length === 0) return [];
    return [{ path, change: "changed", aspects, before: sideOf(one), after: sideOf(other) }];
  });
}

/** An entry of one of the trees. Its content is read only while it is compared. */
interface Entry {
  readonly type: Side["type"];
  readonly mode: string;
  readonly target: string | undefined;
  /** Undefined if it has no content. */
  content(): FileContent | undefined;
}

function entriesOf({ tree, path: from }: ComparedTree): ReadonlyMap<string, Entry> {
  const base = from === "/" ? "/" : `${from}/`;
  const entries = new Map<string, Entry>();
  for (const { path, type, mode, state, target } of tree.entries(from)) {
    const hasContent = type === "file" && state !== "pending" && state !== "failed";
    entries.set(path.slice(base.length), {
      type,
      mode: type === "symlink" ? "0777" : mode,
      target,
      content: () => (hasContent ? tree.content(path) : undefined),
    });
  }
  return entries;
}

function sideOf({ type, mode, target, ...entry }: Entry): Side {
  const common = { type, mode, ...(target === undefined ? {} : { target }) };
  if (type !== "file") return common;
  const content = entry.content();
  if (content === undefined) return { ...common, pending: true };
  const { size } = content;
  return { ...common, size, ...(size <= LARGEST_WHOLE && { content: content.bytes() }) };
}

function aspectsOf(one: Entry, other: Entry): readonly Aspect[] {
  if (one.type !== other.type) return ["type"];
  return [
    ...(one.mode === other.mode ? [] : (["mode"] as const)),
    ...(one.target === other.target ? [] : (["target"] as const)),
    ...(isSameContent(one.content(), other.content()) ? [] : (["content"] as const)),
  ];
}

/** Two files that wait to be generated are the same. */
function isSameContent(one: FileContent | undefined, other: FileContent | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  const { size } = one;
  if (size !== other.size) return false;
  const length = Math.min(size, PIECE);
  const [left, right] = [new Uint8Array(length), new Uint8Array(length)];
  for (let offset = 0; offset < size; offset += length) {
    offset = Math.min(findData(one, offset), findData(other, offset));
    const read = one.read(offset, left);
    other.read(offset, right);
    if (Buffer.compare(left.subarray(0, read), right.subarray(0, read)) !== 0) return false;
  }
  return true;
}

/** Where the next bytes are that are not a hole, or the end. Precondition: `offset` is below the size. */
function findData(content: FileContent, offset: number): number {
  return Number(content.nextData(offset) ?? content.size);
}
