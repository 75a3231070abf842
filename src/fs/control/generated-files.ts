/** What the main thread asks of files with generated content, to record all of it as the answers to their requests. */
import { METADATA } from "../../attributes.ts";
import { FsError } from "../../errno.ts";
import { type GenerationRequest, NO_TICKET } from "../../rpc/generation.ts";
import type { FileMetadata } from "../../rpc/messages.ts";
import type { RegularFile } from "../../tree/file.ts";
import { toBytes, toText } from "../../tree/path.ts";
import { removeXattr } from "../../tree/xattrs.ts";
import type { FsContext } from "../context.ts";
import { keepMetadata } from "../lazy/pending.ts";
import { buildRequest, contentsOf, pathToMake } from "../lazy/request.ts";
import { markCurrent } from "../outdated.ts";

/** Changes with the names and the contents of files. */
export function versionOf(mount: FsContext): number {
  // What the kernel wrote without a request counts too.
  mount.passthrough.bringIn();
  return contentsOf(mount);
}

/** Yields undefined for every other inode. */
export function* listGenerated(mount: FsContext): Generator<string | undefined> {
  for (const inode of mount.tree.inodes()) {
    const path = inode.kind === "file" && inode.state === "ready" ? pathToMake(mount, inode) : undefined;
    yield path === undefined ? undefined : toText(path);
  }
}

export function requestsFor(mount: FsContext, paths: readonly string[]): readonly GenerationRequest[] {
  return paths.flatMap((path) => {
    const file = findGenerated(mount, path);
    return file === undefined ? [] : [buildRequest(mount, file, NO_TICKET, 0)];
  });
}

/** Afterwards each file is up to date: its content fits the current content of the files that it uses. */
export function setMetadata(mount: FsContext, files: readonly FileMetadata[]): void {
  for (const { path, metadata } of files) {
    const file = findGenerated(mount, path);
    if (file === undefined) continue;
    const kept = new Map<string, string>();
    for (const [key, value] of metadata) {
      if (value !== undefined) kept.set(key, value);
      else if (file.xattrs?.has(`${METADATA}${key}`)) removeXattr(file, `${METADATA}${key}`);
    }
    for (const problem of keepMetadata(file, { metadata: kept })) mount.warn(`${path}: ${problem}`);
    markCurrent(mount.tree, file);
  }
}

function findGenerated({ tree }: FsContext, path: string): RegularFile | undefined {
  try {
    const inode = tree.resolve(toBytes(path), { follow: false });
    return inode.kind === "file" && inode.state === "ready" ? inode : undefined;
  } catch (error) {
    if (error instanceof FsError) return undefined;
    throw error;
  }
}
