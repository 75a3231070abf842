/** Builds the request for a file's content. */

import { DEFAULT_GENERATOR, DEPENDS, DESCRIPTION, GENERATOR, MODEL, OURS, PROMPT } from "../../attributes.ts";
import type { GenerationRequest } from "../../rpc/generation.ts";
import type { PendingFile } from "../../rpc/messages.ts";
import type { FileInfo, TreeEntry } from "../../rpc/tree-port.ts";
import { dentriesOf } from "../../tree/dentries.ts";
import type { Directory } from "../../tree/directory.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Inode } from "../../tree/inode.ts";
import { toText } from "../../tree/path.ts";
import type { Tree } from "../../tree/tree.ts";
import type { Passthrough } from "../coherence/passthrough.ts";
import type { FsCore } from "../core.ts";
import type { Authors } from "../permissions/authors.ts";
import type { View } from "../permissions/view.ts";

/** What a request is made from. Without `passthrough`, the kernel writes nothing by itself. */
interface RequestContext extends Pick<FsCore, "tree" | "definitions" | "writes"> {
  readonly authors: Authors;
  readonly passthrough?: Pick<Passthrough, "bringIn">;
}

/** An xattr as text; bytes that are not UTF-8 as "base64:…". */
function xattrText(value: Uint8Array): string {
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8");
  // What is no UTF-8 shows by that character; the layout has a text for every file.
  if (!text.includes("\uFFFD")) return text;
  return Buffer.from(text, "utf8").equals(value) ? text : `base64:${Buffer.from(value).toString("base64")}`;
}

export function textXattr(inode: Inode, name: string): string | undefined {
  const value = inode.xattrs?.get(name);
  return value === undefined ? undefined : xattrText(value);
}

export function entryOf(path: string, inode: Inode): TreeEntry {
  const description = textXattr(inode, DESCRIPTION);
  const common = { path: toText(path), ...(description === undefined ? {} : { description }) };
  switch (inode.kind) {
    case "directory":
      return { ...common, type: "directory" };
    case "symlink":
      return { ...common, type: "symlink", target: toText(inode.target) };
    case "special":
      return { ...common, type: "other" };
    case "file":
      return { ...common, type: "file", state: inode.state, ...(inode.lazy ? {} : { size: inode.size }) };
  }
}

export function infoOf(path: string, inode: Inode): FileInfo {
  const xattrs = new Map<string, string>();
  for (const [name, value] of inode.xattrs ?? []) xattrs.set(toText(name), xattrText(value));
  return { ...entryOf(path, inode), mode: inode.mode & 0o7777, uid: inode.uid, gid: inode.gid, xattrs };
}

/**
 * Every file that has a name and no content yet, once, the oldest first; undefined for every other inode. The tree may
 * change between the steps: a file that waits for its content all the while is among them, whatever its name is by then.
 */
export function* pendingFiles(mount: Pick<FsCore, "tree">): Generator<PendingFile | undefined> {
  const { tree } = mount;
  for (const inode of tree.inodes()) {
    if (tree.space.lazyFiles === 0) return;
    yield inode.kind === "file" && inode.lazy ? pendingOf(mount, inode) : undefined;
  }
}

/** Undefined where the file has no name. */
function pendingOf(mount: Pick<FsCore, "tree">, file: RegularFile): PendingFile | undefined {
  const path = firstPlace(mount, file)?.path ?? mount.tree.pathOf(file);
  if (path === undefined) return undefined;
  const depends = textXattr(file, DEPENDS);
  return {
    path: toText(path),
    state: file.state === "failed" || file.state === "generating" ? file.state : "pending",
    generator: textXattr(file, GENERATOR) ?? DEFAULT_GENERATOR,
    ...(depends === undefined ? {} : { depends }),
    ...(file.error === undefined ? {} : { error: `${file.error.code}: ${file.error.message}` }),
  };
}

/**
 * The prompts that reach a file, root first, the nearest model, and what else the directories above set; of directories
 * that count for the file's owner, and that the view shows.
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

/** Those whose attributes can be read, the nearest first. */
function directoriesAbove(
  tree: Tree,
  file: RegularFile,
  within: Directory | undefined,
  view: View,
): readonly Directory[] {
  const all = ancestorsOf(tree, within ?? file.dentry?.parent);
  // Behind a directory that is closed nothing can be read.
  const closed = all.findLastIndex((directory) => !view.maySearch(directory));
  return all.filter((directory, index) => index >= closed && view.mayRead(directory));
}

/** The directory and those above it. */
function ancestorsOf(tree: Tree, directory: Directory | undefined): readonly Directory[] {
  const all: Directory[] = [];
  for (let at = directory; at !== undefined; at = at.dentry?.parent) {
    all.push(at);
    if (at === tree.root) break;
  }
  return all;
}

/** Counts what changes the layout: see TreePort.layout. */
export function layoutOf({ tree, definitions }: Pick<FsCore, "tree" | "definitions">): number {
  return tree.changes + definitions;
}

/** Changes with everything that may go into a request. */
export function contentsOf(mount: Pick<FsCore, "tree" | "definitions" | "writes">): number {
  return layoutOf(mount) + mount.writes;
}

/** As the tree has it. Undefined for a file without a name. */
export function pathToMake(mount: Pick<FsCore, "tree">, file: RegularFile): string | undefined {
  return firstPlace(mount, file)?.path ?? mount.tree.pathOf(file);
}

/**
 * Of several names the first in byte order counts, whichever was made last: as in a snapshot of the same tree. With a
 * view, the first that can be reached.
 */
function firstPlace({ tree }: Pick<FsCore, "tree">, file: RegularFile, view?: View) {
  if (file.nlink < 2) return undefined;
  let first: { readonly path: string; readonly directory: Directory; readonly order: string } | undefined;
  for (const dentry of dentriesOf(file)) {
    const path = tree.pathTo(dentry);
    // Directories come before what is in them, and everything in one before the next name, whatever that is.
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
  // What the kernel wrote without a request is part of what the request is made from.
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
    file: infoOf(path, file),
    ...collectInherited(mount, file, at?.directory, view),
    pause,
    layout: layoutOf(mount),
    contents: contentsOf(mount),
    ...(viewer === undefined ? {} : { viewer }),
  };
}
