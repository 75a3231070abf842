/** What programs do with system calls where the tree is mounted, for the main thread of a tree that is not. */
import { FsError } from "../../errno.ts";
import type { Adder } from "../../rpc/growth.ts";
import type { DetailedEntry } from "../../rpc/tree-port.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { FsContext } from "../context.ts";
import { addToMount } from "../lazy/added-entries.ts";
import { listEntries } from "./entries.ts";

export interface WriteRequest {
  readonly path: string;
  readonly content: Uint8Array;
  readonly writer: Adder;
}

/** Every entry but the root, as `.llmfs/tree.json` has it. */
export function listAll(mount: FsContext): readonly DetailedEntry[] {
  return [...listEntries(mount)].filter((entry) => entry !== undefined);
}

/**
 * Replaces the content of a file, and makes what is missing. The file counts as written by hand, so a generation that is
 * under way no longer changes it. Throws FsError, with the earlier content kept unless it is ENOSPC.
 */
export function writeFile(mount: FsContext, request: WriteRequest, resolve: (path: string) => RegularFile): void {
  const { path, content, writer } = request;
  addToMount(mount, [{ type: "file", path }], writer);
  const file = resolve(path);
  mount.beforeChange(file);
  file.truncate(0);
  mount.regen.discard(file);
  const written = content.length === 0 ? 0 : file.write(0, content);
  mount.onWrite(file);
  file.touchMtime(mount.tree.clock);
  if (written < content.length) throw new FsError("ENOSPC", "the tree is full", { path });
}
