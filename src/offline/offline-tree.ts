/**
 * A tree in the memory of this process, without a mount: for plans and previews, to read and change a snapshot, and to
 * exchange it with directories and archives. It generates nothing.
 */

import { createReadStream, statSync } from "node:fs";
import { type AttributeName, attribute } from "../attributes.ts";
import { copyDirectory } from "../disk/copy-directory.ts";
import { type Merged, mergeDirectory } from "../disk/merge-directory.ts";
import { readTar } from "../disk/read-tar.ts";
import { isZip, readZip } from "../disk/read-zip.ts";
import { type WrittenDirectory, writeDirectory } from "../disk/write-directory.ts";
import { writeTar } from "../disk/write-tar.ts";
import { writeZip } from "../disk/write-zip.ts";
import { FsError } from "../errno.ts";
import { addEntries } from "../fs/lazy/added-entries.ts";
import { listsDirectories, plant } from "../fs/lazy/planted-files.ts";
import { buildRequest, describeEntry, entryOf, infoOf, textXattr } from "../fs/lazy/request.ts";
import { collectOutdated } from "../fs/outdated.ts";
import { Authors } from "../fs/permissions/authors.ts";
import { resolveDirectory, resolveFile } from "../fs/permissions/visible-tree.ts";
import type { GenerationRequest, Plant } from "../rpc/generation.ts";
import type { Added, NewEntry } from "../rpc/growth.ts";
import type { StartingTree } from "../rpc/messages.ts";
import type { DetailedEntry, FileInfo, TreeEntry, TreePort } from "../rpc/tree-port.ts";
import { loadSnapshot } from "../snapshot/read/load.ts";
import { type SaveOptions, saveSnapshot } from "../snapshot/write/save.ts";
import type { Directory } from "../tree/directory.ts";
import type { RegularFile } from "../tree/file.ts";
import { fixedClock, type Inode, type Owner } from "../tree/inode.ts";
import { components, toBytes, toText } from "../tree/path.ts";
import { Space, type SpaceOptions } from "../tree/space.ts";
import { Tree } from "../tree/tree.ts";
import { createOfflinePort } from "./offline-port.ts";

export interface OfflineTreeOptions {
  /** Called with one sentence for everything that is left out or repaired. */
  readonly warn?: (message: string) => void;
  /** The time of what has none, in seconds since 1970. Default: the current time. */
  readonly epoch?: number | undefined;
  /** The tree is written as a snapshot again, in which all that is not changed stays as it was: see `snapshot`. */
  readonly rewrites?: boolean;
  /** The limits of the tree. Default: none. */
  readonly space?: SpaceOptions;
  /** The user who mounted the tree with --allow-other. */
  readonly sharedBy?: number | undefined;
  /** What rules add to the tree, as when it is mounted. */
  readonly plants?: readonly Plant[] | undefined;
  /** Whether generators list directories. Default: if `plants` has such a directory. */
  readonly listing?: boolean;
}

/** The content of a file, as far as it can be looked at. It is valid until the tree is changed. */
export type FileContent = Pick<RegularFile, "size" | "bytes" | "read" | "nextData">;

export interface WriteOptions {
  /** Keeps what is in the file. */
  readonly append?: boolean;
  /** Creates the directories above. */
  readonly parents?: boolean;
  /** Permission bits of a new file. */
  readonly mode?: number | undefined;
}

/** A value of `user.llmfs.*`, and the file or directory that sets it. */
export interface Setting {
  readonly from: string;
  readonly value: string;
}

/** Stands for the user who will load a rewritten snapshot: the highest possible user id. */
const LOADER: Owner = { uid: 2 ** 32 - 2, gid: 2 ** 32 - 2 };

/** Paths are absolute within the tree. Symlinks are followed. All methods throw FsError: ENOENT, ENOTDIR, EISDIR, EINVAL. */
export class OfflineTree {
  readonly #tree: Tree;
  readonly #owner: Owner;
  readonly #authors: Authors;
  /** Whether generators list directories. */
  readonly #listing: boolean;
  readonly #warn: (message: string) => void;
  /** How the tree is written as a snapshot. */
  readonly #save: SaveOptions;

  /** Throws SnapshotError, or DirectoryCopyError. Without a source, the tree is empty. */
  constructor(source: StartingTree | undefined, options: OfflineTreeOptions = {}) {
    const { warn = () => {}, rewrites = false, space, sharedBy, plants = [], listing } = options;
    // One moment, so that it also marks entries whose times are not in the snapshot.
    const epoch = options.epoch ?? Math.floor(Date.now() / 1000);
    this.#warn = warn;
    this.#listing = listing ?? listsDirectories(plants);
    this.#authors = new Authors(sharedBy);
    this.#owner = rewrites ? LOADER : { uid: sharedBy ?? process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const owner = this.#owner;
    this.#tree = new Tree({
      clock: fixedClock(epoch),
      owner,
      ...(space && { space: new Space(space) }),
    });
    if (source !== undefined && "directory" in source) {
      copyDirectory(this.#tree, source.directory, { owner, keepOwners: !rewrites && isRoot(), warn });
      this.#save = rewrites ? { owner } : {};
    } else {
      if (source !== undefined) loadSnapshot(this.#tree, "file" in source ? source.file : source.text, { owner, warn });
      const known = hasAllTimes(this.#tree, epoch) ? { times: true } : { unknownTime: epoch };
      this.#save = rewrites ? { owner, ...known } : {};
    }
    for (const problem of plant(this.#tree, plants, owner)) warn(problem);
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Reading
  // ---------------------------------------------------------------------------------------------------------------

  /** The tree as an engine sees it. It is valid until the tree is changed. */
  get port(): TreePort {
    return createOfflinePort({ tree: this.#tree, authors: this.#authors, listing: this.#listing });
  }

  /** Every regular file once, under the first of its names. */
  get files(): readonly TreeEntry[] {
    const linked = new Set<Inode>();
    const found: TreeEntry[] = [];
    for (const { path, inode } of this.#tree.walk()) {
      if (inode.kind !== "file" || linked.has(inode)) continue;
      if (inode.nlink > 1) linked.add(inode);
      found.push(entryOf(path, inode));
    }
    return found;
  }

  /** Every entry below a directory, for people and scripts. */
  entries(path = "/"): readonly DetailedEntry[] {
    const from = this.#from(path);
    const outdated = collectOutdated(this.#tree);
    return [...this.#tree.walk(from.directory, from.path)]
      .filter(({ inode }) => inode !== from.directory)
      .map((at) => describeEntry(at.path, at.inode, { outdated }));
  }

  stat(path: string): FileInfo {
    return infoOf(this.#tree, toBytes(path), this.#resolve(path));
  }

  /** Undefined for a file without content. */
  read(path: string): Uint8Array | undefined {
    return this.content(path)?.bytes();
  }

  /** Undefined for a file without content. */
  content(path: string): FileContent | undefined {
    const file = this.#file(path);
    return file.lazy ? undefined : file;
  }

  /** The request that the first read of a file causes. */
  request(path: string): GenerationRequest {
    const file = this.#file(path);
    const parts = { tree: this.#tree, authors: this.#authors, definitions: 0, writes: 0 };
    return buildRequest(parts, file, file.ino, 0);
  }

  /** Who sets `user.llmfs.<name>` for a path: itself first, then the directories above it. */
  settings(path: string, name: AttributeName): readonly Setting[] {
    const found: Setting[] = [];
    let at: Inode | undefined = this.#resolve(path);
    while (at !== undefined) {
      const value = textXattr(at, attribute(name));
      if (value !== undefined && value !== "") found.push({ from: toText(this.#tree.pathOf(at) ?? path), value });
      at = at === this.#tree.root ? undefined : at.dentry?.parent;
    }
    return found;
  }

  /** The files that a generated file was made from and that have changed since: see fs/outdated.ts. */
  changedUses(path: string): readonly string[] {
    return collectOutdated(this.#tree).get(this.#file(path))?.changed ?? [];
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Changing
  // ---------------------------------------------------------------------------------------------------------------

  /** Whatever was in the file, it is written by hand from then on. Throws FsError ENOSPC. */
  write(path: string, content: Uint8Array, { append = false, parents = false, mode = 0o644 }: WriteOptions = {}): void {
    const file = this.#fileToWrite(path, parents, mode);
    const start = append && !file.lazy ? file.size : 0;
    file.state = "static";
    file.error = undefined;
    if (start === 0) file.truncate(0);
    if (content.length > 0 && file.write(start, content) < content.length)
      throw new FsError("ENOSPC", "the tree is full");
  }

  /** Adds entries that a model has laid out, or nothing if it throws. */
  add(entries: readonly NewEntry[]): Added {
    return addEntries(this.#tree, entries, { owner: this.#tree.root });
  }

  /**
   * Adds a directory of the disk at `path`. With `replaces`, what it does not have is removed from the tree, and what this
   * user cannot read is made readable.
   */
  merge(source: string, path = "/", { replaces = false } = {}): Merged {
    const how = { ...this.#diskOptions, removes: replaces, unlocks: replaces };
    return mergeDirectory(this.#tree, this.#makeDirectory(toBytes(path)), source, how);
  }

  /** Adds an archive at `path`: a file, or the bytes of a tar. Returns the number of its entries. Rejects with ArchiveError. */
  async addArchive(source: string | AsyncIterable<Uint8Array>, path = "/"): Promise<number> {
    const parts = [this.#tree, this.#makeDirectory(toBytes(path))] as const;
    if (typeof source !== "string") return await readTar(...parts, source, this.#diskOptions);
    // Reading the beginning of a pipe would take it away.
    const start = statSync(source).isFile() ? await Bun.file(source).slice(0, 4).bytes() : undefined;
    if (start !== undefined && isZip(start)) return await readZip(...parts, Bun.file(source), this.#diskOptions);
    return await readTar(...parts, createReadStream(source), this.#diskOptions);
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Writing it elsewhere
  // ---------------------------------------------------------------------------------------------------------------

  /**
   * Writes what is below `path` into an existing directory of the disk. With `privileges`, setuid files and devices are
   * written too.
   */
  writeTo(target: string, path = "/", { privileges = false } = {}): WrittenDirectory {
    return writeDirectory(this.#tree, this.#from(path), target, { ...this.#diskOptions, privileges });
  }

  /** What is below `path`, as a tar archive. */
  tar(path = "/"): AsyncGenerator<Uint8Array> {
    return writeTar(this.#tree, this.#from(path), { warn: this.#warn });
  }

  /** What is below `path`, as a zip archive. Throws ZipNameError while it is read. */
  zip(path = "/"): AsyncGenerator<Uint8Array> {
    return writeZip(this.#tree, this.#from(path), { warn: this.#warn });
  }

  /**
   * The tree as a snapshot. With `rewrites`, it contains the times and owners that were in a snapshot, directory or archive;
   * otherwise the owners alone.
   */
  async *snapshot(): AsyncGenerator<Uint8Array> {
    yield* saveSnapshot(this.#tree, this.#save);
  }

  get #diskOptions() {
    return { owner: this.#owner, keepOwners: isRoot(), warn: this.#warn };
  }

  #resolve(path: string): Inode {
    return this.#tree.resolve(toBytes(path), { follow: true });
  }

  #file(path: string): RegularFile {
    return resolveFile(this.#tree, path, this.#authors.viewFor(undefined));
  }

  #from(path: string): { readonly directory: Directory; readonly path: string } {
    const directory = resolveDirectory(this.#tree, path, this.#authors.viewFor(undefined));
    return { directory, path: path === "/" ? "/" : `/${components(toBytes(path)).join("/")}` };
  }

  #fileToWrite(path: string, parents: boolean, mode: number): RegularFile {
    try {
      return this.#file(path);
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== "ENOENT") throw error;
    }
    const above = `/${components(toBytes(path)).slice(0, -1).join("/")}`;
    const directory = parents ? this.#makeDirectory(above) : this.#tree.resolve(above, { follow: true });
    if (directory.kind !== "directory") throw new FsError("ENOTDIR", "what is above it is not a directory", { path });
    return this.#tree.createFile(directory, components(toBytes(path)).at(-1) ?? "", mode, this.#owner);
  }

  /** `path`: bytes. */
  #makeDirectory(path: string): Directory {
    let at: Inode = this.#tree.root;
    for (const name of components(path)) {
      if (at.kind !== "directory") break;
      at = at.get(name)?.inode ?? this.#tree.mkdir(at, name, 0o755, this.#owner);
    }
    if (at.kind !== "directory") throw new FsError("ENOTDIR", "it is not a directory", { path: toText(path) });
    return at;
  }
}

/** Whether it was loaded from a snapshot that has more than modification times: see SaveOptions.times. */
function hasAllTimes(tree: Tree, epoch: number): boolean {
  return tree.walk().some(({ inode }) => {
    const { atime, ctime } = inode.times();
    return atime !== epoch || ctime !== epoch;
  });
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}
