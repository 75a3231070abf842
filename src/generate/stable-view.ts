/**
 * The view of files that generators get: only their definition, not the results of generation.
 *
 * Whether a file has been generated, its size, its failures and its metadata depend on earlier reads. A generator that saw
 * them would return different content for a different order of reads.
 */
import { METADATA } from "../attributes.ts";
import type { FileInfo, TreeEntry } from "../rpc/tree-port.ts";

/** Every file that was not written by a program is "pending" and has no size. */
export function stableEntry<T extends TreeEntry>(entry: T): T {
  if (entry.type !== "file" || entry.state === "static") return entry;
  const { size: _, ...rest } = entry;
  // Only optional members are omitted, so the type still holds.
  return { ...rest, state: "pending" } as T;
}

export function stableFile(file: FileInfo): FileInfo {
  const xattrs = new Map([...file.xattrs].filter(([name]) => !name.startsWith(METADATA)));
  return { ...stableEntry(file), xattrs };
}
