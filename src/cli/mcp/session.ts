/** The tree that tools work on: that of a mount, or of a snapshot that is not mounted. */
import type { Looking } from "../../app/inspect.ts";
import { type FoundEntries, findEntries } from "../../app/place.ts";
import { FsError } from "../../errno.ts";
import type { Growth } from "../../rpc/growth.ts";
import type { RegenerateOptions } from "../../rpc/messages.ts";
import type { DetailedEntry } from "../../rpc/tree-port.ts";
import type { Live, LiveState } from "../output/provenance-report.ts";

/** Paths begin with "/" and are those in the tree. Methods reject with an Error whose message is for people. */
export interface TreeSession extends AsyncDisposable {
  /** What the user named, for messages. */
  readonly name: string;
  /** Every entry but the root. Generates nothing. */
  entries(): Promise<readonly DetailedEntry[]>;
  /** Symlinks are followed as long as they stay in the tree. A pending file is generated. */
  read(path: string, signal: AbortSignal): Promise<Uint8Array>;
  /** Replaces the content, and makes the file and the directories above it if they are missing. */
  write(path: string, content: Uint8Array): Promise<void>;
  regenerate(path: string, options: RegenerateOptions, signal: AbortSignal): Promise<void>;
  /** Lays out more files below a directory. With `dry`, they are not added. */
  grow(path: string, prompt: string, dry: boolean, signal: AbortSignal): Promise<Growth>;
  /** What `plan` and `why` look at, as the tree is now. */
  look(): Promise<Looking>;
  /** Attributes that only a mount has. */
  readonly live: (path: string) => Live;
  waits(path: string): Promise<LiveState>;
}

/** The entries at and below a path. Rejects with FsError ENOENT. */
export async function findInSession(session: TreeSession, path: string): Promise<FoundEntries> {
  const found = findEntries(await session.entries(), path);
  if (found === undefined) throw new FsError("ENOENT", "it does not exist", { path });
  return found;
}

/** "src/main.c", "./src/main.c" and "/src/main.c" name the same file. Throws FsError for a path that leaves the tree. */
export function normalizePath(path: string): string {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name !== "..") names.push(name);
    else if (names.pop() === undefined) throw new FsError("EINVAL", "the path leads out of the tree", { path });
  }
  return `/${names.join("/")}`;
}
