/**
 * What generators are shown of a file: what the tree's definition says of it, never what became of it.
 *
 * Whether a file was generated already, how large that made it, whether it failed, and what its generator said of it,
 * depend on who read what before. A generator that saw it would make other content in another order of reads.
 */
import { METADATA } from "../attributes.ts";
import type { FileInfo, TreeEntry } from "../rpc/tree-port.ts";

/** Every file whose content is not somebody's own is "pending", and has no size. */
export function stableEntry<T extends TreeEntry>(entry: T): T {
  if (entry.type !== "file" || entry.state === "static") return entry;
  const { size: _, ...rest } = entry;
  // Only a member that may be missing is left out.
  return { ...rest, state: "pending" } as T;
}

export function stableFile(file: FileInfo): FileInfo {
  const xattrs = new Map([...file.xattrs].filter(([name]) => !name.startsWith(METADATA)));
  return { ...stableEntry(file), xattrs };
}
