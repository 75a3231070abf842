/** Loads a snapshot into an empty tree, and checks everything that the file contains on the way. */
import { FsError } from "../../errno.ts";
import type { Owner } from "../../tree/inode.ts";
import type { Tree } from "../../tree/tree.ts";
import { AncestorReader } from "../ancestor.ts";
import { quote, type SnapshotError, SnapshotPosition } from "../error.ts";
import { EntryReader } from "./entries.ts";
import { JsonReader } from "./json.ts";
import { openSource } from "./source.ts";

export interface SnapshotLoadOptions {
  /** The name of the source in messages; by default, the file's path. */
  readonly name?: string;
  /** The owner of entries that name no owner; by default, the owner of the tree's root. */
  readonly owner?: Owner;
  /** Called with one sentence for each thing that was dropped or repaired. Our own format never needs it. */
  readonly warn?: (message: string) => void;
}

export type SnapshotFormat = "llmfs" | "ancestor";

/**
 * Reads a file, or bytes, into `tree`: either format, any layout of the JSON, any size.
 *
 * Throws SnapshotError if the source cannot be read, is not a snapshot or does not fit; the tree is then empty again.
 * Precondition: the tree is empty.
 */
export function loadSnapshot(
  tree: Tree,
  source: string | Uint8Array,
  options: SnapshotLoadOptions = {},
): SnapshotFormat {
  if (tree.root.size > 0) throw new Error("loadSnapshot: the tree is not empty");
  const place = new SnapshotPosition(options.name ?? (typeof source === "string" ? source : "snapshot"));
  const input = openSource(source, place.source);
  let part: AncestorReader | EntryReader | undefined;
  try {
    const reader = new JsonReader(input, place);
    let format: SnapshotFormat | undefined;
    reader.readObject("the snapshot", (key) => {
      format ??= formatOf(key, place);
      part ??=
        format === "llmfs"
          ? new EntryReader(tree, reader, place, options)
          : new AncestorReader(tree, reader, place, options);
      part.readMember(key);
    });
    reader.finish();
    if (part === undefined || format === undefined)
      throw place.createError('is empty: not even a version ("llmfs": 1)');
    part.finish();
    return format;
  } catch (error) {
    if (part instanceof EntryReader) part.abandon();
    clear(tree);
    throw error instanceof FsError ? createSpaceError(tree, place, error) : error;
  } finally {
    input.close();
  }
}

/** The format of a file or of bytes, judged by the first key. Throws SnapshotError for anything else. */
export function sniff(source: string | Uint8Array, name?: string): SnapshotFormat {
  const place = new SnapshotPosition(name ?? (typeof source === "string" ? source : "snapshot"));
  const input = openSource(source, place.source);
  try {
    return formatOf(new JsonReader(input, place).readFirstKey("the snapshot"), place);
  } finally {
    input.close();
  }
}

function formatOf(key: string | undefined, place: SnapshotPosition): SnapshotFormat {
  if (key === "llmfs" || key === "entries") return "llmfs";
  if (key === "data" || key === "files" || key === "description" || key?.startsWith("/")) return "ancestor";
  throw place.createError(
    key === undefined
      ? "is an empty object, not a snapshot"
      : `is not a snapshot: it begins with the key ${quote(key)}`,
    'a snapshot begins with "llmfs", the older format with "data", "files" or a path',
  );
}

function createSpaceError(tree: Tree, place: SnapshotPosition, error: FsError): SnapshotError {
  if (error.code !== "ENOSPC") return place.createError(error.message, undefined, { cause: error });
  return place.createError(
    `does not fit into the filesystem, which has room for ${tree.space.describeRoom()}`,
    "mount with a larger --size",
    {
      cause: error,
    },
  );
}

/** Removes what was loaded, so that a refused snapshot leaves nothing behind. */
function clear(tree: Tree): void {
  const found = [...tree.walk()].reverse();
  for (const { path, inode } of found) {
    if (inode === tree.root) continue;
    const slash = path.lastIndexOf("/");
    const parent = tree.resolve(path.slice(0, slash), { follow: false });
    if (parent.kind !== "directory") continue;
    const name = path.slice(slash + 1);
    if (inode.kind === "directory") tree.rmdir(parent, name);
    else tree.unlink(parent, name);
  }
}
