/** Builds the request for a file's content. */

import { DEFAULT_GENERATOR, DEPENDS, DESCRIPTION, GENERATOR, METADATA, MODEL, OURS, PROMPT } from "../../attributes.ts";
import type { GenerationRequest } from "../../rpc/generation.ts";
import type { PendingFile } from "../../rpc/messages.ts";
import type { DetailedEntry, FileInfo, TreeEntry } from "../../rpc/tree-port.ts";
import { dentriesOf } from "../../tree/dentries.ts";
import type { Directory } from "../../tree/directory.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { FrozenInode } from "../../tree/frozen/frozen-tree.ts";
import type { Inode } from "../../tree/inode.ts";
import { toText } from "../../tree/path.ts";
import type { Tree } from "../../tree/tree.ts";
import type { Passthrough } from "../coherence/passthrough.ts";
import type { FsCore } from "../core.ts";
import type { FailedRenewals } from "../failed-renewals.ts";
import type { Authors } from "../permissions/authors.ts";
import { revealedBy, type View } from "../permissions/view.ts";
import type { Attempt } from "../waiting/attempt.ts";

/** What a request is built from. Without `passthrough`, the kernel writes nothing by itself. */
interface RequestContext extends Pick<FsCore, "tree" | "definitions" | "writes"> {
  readonly authors: Authors;
  readonly passthrough?: Pick<Passthrough, "bringIn">;
}

/** Returns an xattr as text; bytes that are not UTF-8 become "base64:…". */
function xattrText(value: Uint8Array): string {
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8");
  // This character may stand for invalid UTF-8; every file has a text in the outline.
  if (!text.includes("\uFFFD")) return text;
  return Buffer.from(text, "utf8").equals(value) ? text : `base64:${Buffer.from(value).toString("base64")}`;
}

export function textXattr(inode: Pick<Inode, "xattrs">, name: string): string | undefined {
  const value = inode.xattrs?.get(name);
  return value === undefined ? undefined : xattrText(value);
}

/** `frozen`: the attributes at an earlier moment. */
export function entryOf(path: string, inode: Inode, frozen?: FrozenInode): TreeEntry {
  const description = textXattr(frozen ?? inode, DESCRIPTION);
  const common = { path: toText(path), ...(description === undefined ? {} : { description }) };
  switch (inode.kind) {
    case "directory":
      return { ...common, type: "directory" };
    case "symlink":
      return { ...common, type: "symlink", target: toText(inode.target) };
    case "special":
      return { ...common, type: "other" };
    case "file": {
      const { state, size } = frozen ?? inode;
      const made = state === "static" || state === "ready";
      return { ...common, type: "file", state, ...(made ? { size } : {}) };
    }
  }
}

/** Facts about entries that the tree does not store: outdated files, and renewals that failed. */
interface EntryNotes {
  readonly outdated?: ReadonlyMap<RegularFile, unknown>;
  readonly failedRenewals?: Pick<FailedRenewals, "of">;
}

export function describeEntry(path: string, inode: Inode, { outdated, failedRenewals }: EntryNotes): DetailedEntry {
  const failedRenewal = failedRenewals?.of(inode);
  const entry = {
    ...entryOf(path, inode),
    mode: (inode.mode & 0o7777).toString(8).padStart(4, "0"),
    ...(failedRenewal === undefined ? {} : { failedRenewal }),
  };
  if (inode.kind !== "file" || inode.state === "static") return entry;
  const generator = textXattr(inode, `${METADATA}generator`) ?? textXattr(inode, GENERATOR);
  return {
    ...entry,
    ...(generator === undefined ? {} : { generator }),
    ...(outdated?.has(inode) === true ? { outdated: true } : {}),
  };
}

/** `mayReveal`: see `MovedNames.currentPaths`. */
export function infoOf(
  { movedNames }: Tree,
  path: string,
  inode: Inode,
  mayReveal?: (directory: Directory) => boolean,
): FileInfo {
  const xattrs = new Map<string, string>();
  for (const [name, value] of inode.xattrs ?? []) {
    xattrs.set(toText(name), xattrText(name === DEPENDS ? movedNames.currentPaths(inode, value, mayReveal) : value));
  }
  return { ...entryOf(path, inode), mode: inode.mode & 0o7777, uid: inode.uid, gid: inode.gid, xattrs };
}

type RunningAttempt = Pick<Attempt, "begun" | "stage" | "reads">;

interface PendingFilesContext extends Pick<FsCore, "tree"> {
  readonly waiters: { attemptsFor(inode: Inode): readonly RunningAttempt[] };
}

/**
 * Yields each file that has a name and no content yet once, oldest first, and undefined for every other inode. The tree
 * may change between the steps: a file that stays pending throughout is included, under whatever name it has by then.
 */
export function* findPendingFiles(mount: PendingFilesContext): Generator<PendingFile | undefined> {
  const { tree } = mount;
  for (const inode of tree.inodes()) {
    if (tree.space.lazyFiles === 0) return;
    yield inode.kind === "file" && inode.lazy ? pendingOf(mount, inode) : undefined;
  }
}

/** Returns undefined if the file has no name. */
function pendingOf(mount: PendingFilesContext, file: RegularFile): PendingFile | undefined {
  const path = firstPlace(mount, file)?.path ?? mount.tree.pathOf(file);
  if (path === undefined) return undefined;
  const value = file.xattrs?.get(DEPENDS);
  const depends = value && xattrText(mount.tree.movedNames.currentPaths(file, value));
  const attempts = file.state === "generating" ? mount.waiters.attemptsFor(file) : [];
  const waitsFor = readBy(attempts)
    .flatMap((inode) => mount.tree.pathOf(inode) ?? [])
    .map(toText);
  const [oldest] = attempts;
  return {
    path: toText(path),
    state: file.state === "failed" || file.state === "generating" ? file.state : "pending",
    generator: textXattr(file, GENERATOR) ?? DEFAULT_GENERATOR,
    ...(depends === undefined ? {} : { depends }),
    ...(oldest === undefined ? {} : { since: new Date(oldest.begun).toISOString() }),
    ...(oldest?.stage === "queued" ? { queued: true } : {}),
    ...(waitsFor.length === 0 ? {} : { waitsFor }),
    ...(file.error === undefined ? {} : { error: `${file.error.code}: ${file.error.message}` }),
  };
}

/** The inodes whose content is made first, because the attempts read them. */
export function readBy(attempts: readonly Pick<Attempt, "reads">[]): readonly Inode[] {
  return attempts.flatMap(({ reads }) => [...reads].map(({ inode }) => inode));
}

/**
 * Returns the prompts for a file, root first, the nearest model, and the other settings of the directories above; only
 * of directories that count for the file's owner and that the view shows.
 */
function collectInherited(
  { tree, authors }: Pick<RequestContext, "tree" | "authors">,
  file: RegularFile,
  within: Directory | undefined,
  view: View,
): Pick<GenerationRequest, "prompts" | "model" | "settings"> {
  const prompts: string[] = [];
  const settings = new Map<string, string>();
  let model: string | undefined;
  for (const at of [file, ...directoriesAbove(tree, file, within, view)]) {
    if (at !== file && !authors.heeds(at, file.uid)) continue;
    const prompt = textXattr(at, PROMPT);
    if (prompt !== undefined && prompt !== "") prompts.push(prompt);
    model ??= textXattr(at, MODEL);
    if (at === file) continue;
    for (const [name, value] of at.xattrs ?? []) {
      const ours = name.startsWith(OURS) && name !== PROMPT;
      if (ours && !settings.has(toText(name))) settings.set(toText(name), xattrText(value));
    }
  }
  return { prompts: prompts.reverse(), settings, ...(model === undefined ? {} : { model }) };
}

/** Returns the directories whose attributes can be read, nearest first. */
function directoriesAbove(
  tree: Tree,
  file: RegularFile,
  within: Directory | undefined,
  view: View,
): readonly Directory[] {
  const all = ancestorsOf(tree, within ?? file.dentry?.parent);
  // Below a closed directory nothing can be read.
  const closed = all.findLastIndex((directory) => !view.maySearch(directory));
  return all.filter((directory, index) => index >= closed && view.mayRead(directory));
}

/** Returns the directory and those above it. */
function ancestorsOf(tree: Tree, directory: Directory | undefined): readonly Directory[] {
  const all: Directory[] = [];
  for (let at = directory; at !== undefined; at = at.dentry?.parent) {
    all.push(at);
    if (at === tree.root) break;
  }
  return all;
}

/** Counts changes to the outline: see TreePort.layout. */
export function layoutOf({ tree, definitions }: Pick<FsCore, "tree" | "definitions">): number {
  return tree.changes + definitions;
}

/** Changes with everything that a request may contain. */
export function contentsOf(mount: Pick<FsCore, "tree" | "definitions" | "writes">): number {
  return layoutOf(mount) + mount.writes;
}

/** Returns the path of a file in the tree; undefined for a file without a name. */
export function pathToMake(mount: Pick<FsCore, "tree">, file: RegularFile): string | undefined {
  return firstPlace(mount, file)?.path ?? mount.tree.pathOf(file);
}

/**
 * Of several names the first in byte order counts, whichever was created last, as in a snapshot of the same tree. With
 * a view, it is the first that can be reached.
 */
function firstPlace({ tree }: Pick<FsCore, "tree">, file: RegularFile, view?: View) {
  if (file.nlink < 2) return undefined;
  let first: { readonly path: string; readonly directory: Directory; readonly order: string } | undefined;
  for (const dentry of dentriesOf(file)) {
    const path = tree.pathTo(dentry);
    // Directories come before their entries, and all entries of one directory before the next name.
    const order = path?.replaceAll("/", "\0");
    if (path === undefined || order === undefined || (first !== undefined && first.order <= order)) continue;
    if (view !== undefined && !ancestorsOf(tree, dentry.parent).every((above) => view.maySearch(above))) continue;
    first = { path, directory: dentry.parent, order };
  }
  return first;
}

/** `place` is the future path of a file that has no name yet. */
export function buildRequest(
  mount: RequestContext,
  file: RegularFile,
  ticket: number,
  pause: number,
  place?: { readonly path: string; readonly directory: Directory },
): GenerationRequest {
  // A request may contain what the kernel wrote by itself.
  mount.passthrough?.bringIn();
  const viewer = mount.authors.viewerOf(file);
  const view = mount.authors.viewFor(viewer);
  const at = place ?? firstPlace(mount, file, viewer === undefined ? undefined : view);
  const path = at?.path ?? mount.tree.pathOf(file) ?? `/${file.ino}`;
  return {
    ticket,
    ino: file.ino,
    path: toText(path),
    generator: textXattr(file, GENERATOR) ?? DEFAULT_GENERATOR,
    file: infoOf(mount.tree, path, file, viewer === undefined ? undefined : revealedBy(view)),
    ...collectInherited(mount, file, at?.directory, view),
    pause,
    layout: layoutOf(mount),
    contents: contentsOf(mount),
    ...(viewer === undefined ? {} : { viewer }),
  };
}
