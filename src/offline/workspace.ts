/**
 * A tree in the memory of this process, without a mount and without generators: to read and change a snapshot, and to
 * exchange it with directories and archives.
 */

import { copyDirectory } from "../disk/copy-directory.ts";
import { type Merged, mergeDirectory } from "../disk/merge-directory.ts";
import { readTar } from "../disk/read-tar.ts";
import { type WrittenDirectory, writeDirectory } from "../disk/write-directory.ts";
import { writeTar } from "../disk/write-tar.ts";
import { FsError } from "../errno.ts";
import { infoOf, listedEntryOf } from "../fs/lazy/request.ts";
import type { FileInfo, ListedEntry } from "../rpc/tree-port.ts";
import { loadSnapshot } from "../snapshot/read/load.ts";
import { SnapshotSaver } from "../snapshot/write/save.ts";
import type { Directory } from "../tree/directory.ts";
import type { RegularFile } from "../tree/file.ts";
import type { Inode, Owner } from "../tree/inode.ts";
import { components, toBytes } from "../tree/path.ts";
import { Tree } from "../tree/tree.ts";

export type WorkspaceSource =
  | { readonly file: string }
  | { readonly text: Uint8Array }
  | { readonly directory: string };

export interface WorkspaceOptions {
  /** Called with one sentence for everything that is left out or repaired. */
  readonly warn: (message: string) => void;
  /** The time of what has none, in seconds since 1970. Default: the current time. */
  readonly epoch?: number | undefined;
}

export interface WriteOptions {
  /** Keeps what is in the file. */
  readonly append?: boolean;
  /** Creates the directories above. */
  readonly parents?: boolean;
  /** Permission bits of a new file. */
  readonly mode?: number | undefined;
}

export class Workspace {
  readonly #tree: Tree;
  readonly #owner: Owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  readonly #options: WorkspaceOptions;
  /** The time of what has none. */
  readonly #epoch: number;

  /** Throws SnapshotError, or DirectoryCopyError. Without a source, the tree is empty. */
  constructor(source: WorkspaceSource | undefined, options: WorkspaceOptions) {
    const { warn, epoch = Math.floor(Date.now() / 1000) } = options;
    this.#options = options;
    this.#epoch = epoch;
    const owner = this.#owner;
    this.#tree = new Tree({ clock: (take) => take(epoch, 0), owner });
    if (source === undefined) return;
    if ("directory" in source) copyDirectory(this.#tree, source.directory, { owner, keepOwners: isRoot(), warn });
    else loadSnapshot(this.#tree, "file" in source ? source.file : source.text, { owner, warn });
  }

  /** Every entry below a directory. Throws FsError ENOENT, ENOTDIR. */
  entries(path = "/"): readonly ListedEntry[] {
    const from = this.#from(path);
    return [...this.#tree.walk(from.directory, from.path)]
      .filter(({ inode }) => inode !== from.directory)
      .map((at) => listedEntryOf(at.path, at.inode));
  }

  /** Symlinks are followed. Throws FsError ENOENT, ENOTDIR. */
  stat(path: string): FileInfo {
    return infoOf(toBytes(path), this.#resolve(path));
  }

  /** Undefined for a file without content. Throws FsError ENOENT, ENOTDIR, EISDIR, EINVAL. */
  read(path: string): Uint8Array | undefined {
    const file = this.#file(path);
    return file.lazy ? undefined : file.bytes();
  }

  /** Whatever was in the file, it is written by hand from then on. Throws FsError. */
  write(path: string, content: Uint8Array, { append = false, parents = false, mode = 0o644 }: WriteOptions = {}): void {
    const file = this.#fileToWrite(path, parents, mode);
    const start = append && !file.lazy ? file.size : 0;
    file.state = "static";
    file.error = undefined;
    if (start === 0) file.truncate(0);
    if (content.length > 0 && file.write(start, content) < content.length)
      throw new FsError("ENOSPC", "the tree is full");
  }

  /** Writes what is below `path` into an existing directory of the disk. */
  writeTo(target: string, path = "/"): WrittenDirectory {
    const { warn } = this.#options;
    return writeDirectory(this.#tree, this.#from(path), target, { keepOwners: isRoot(), warn });
  }

  /** What is below `path`, as a tar archive. */
  tar(path = "/"): AsyncGenerator<Uint8Array> {
    return writeTar(this.#tree, this.#from(path), this.#options);
  }

  /**
   * Adds a directory of the disk at `path`. With `replaces`, what it does not have is removed from the tree, and what this
   * user cannot read is made readable.
   */
  merge(source: string, path = "/", { replaces = false } = {}): Merged {
    const { warn } = this.#options;
    return mergeDirectory(this.#tree, this.#makeDirectory(path), source, {
      owner: this.#owner,
      keepOwners: isRoot(),
      removes: replaces,
      unlocks: replaces,
      warn,
    });
  }

  /** Adds an archive at `path`. Returns the number of its entries. */
  async addTar(source: AsyncIterable<Uint8Array>, path = "/"): Promise<number> {
    const { warn } = this.#options;
    return await readTar(this.#tree, this.#makeDirectory(path), source, {
      owner: this.#owner,
      keepOwners: isRoot(),
      warn,
    });
  }

  /** The tree as a snapshot. With `times`, it contains the modification times that were in a snapshot, directory or archive. */
  async *snapshot({ times = false } = {}): AsyncGenerator<Uint8Array> {
    using saver = new SnapshotSaver(this.#tree, times ? { unknownTime: this.#epoch } : {});
    for (let piece = saver.next(); piece !== undefined; piece = saver.next()) yield piece;
  }

  #resolve(path: string): Inode {
    return this.#tree.resolve(toBytes(path), { follow: true });
  }

  #file(path: string): RegularFile {
    const inode = this.#resolve(path);
    if (inode.kind === "directory") throw new FsError("EISDIR", "it is a directory", { path });
    if (inode.kind !== "file") throw new FsError("EINVAL", "it is not a regular file", { path });
    return inode;
  }

  #from(path: string): { readonly directory: Directory; readonly path: string } {
    const directory = this.#resolve(path);
    if (directory.kind !== "directory") throw new FsError("ENOTDIR", "it is not a directory", { path });
    return { directory, path: path === "/" ? "/" : `/${components(toBytes(path)).join("/")}` };
  }

  #fileToWrite(path: string, parents: boolean, mode: number): RegularFile {
    try {
      return this.#file(path);
    } catch (error) {
      if (!(error instanceof FsError) || error.code !== "ENOENT") throw error;
    }
    const above = `/${components(toBytes(path)).slice(0, -1).join("/")}`;
    const directory = parents ? this.#makeDirectoryAt(above) : this.#tree.resolve(above, { follow: true });
    if (directory.kind !== "directory") throw new FsError("ENOTDIR", "what is above it is not a directory", { path });
    return this.#tree.createFile(directory, components(toBytes(path)).at(-1) ?? "", mode, this.#owner);
  }

  #makeDirectory(path: string): Directory {
    return this.#makeDirectoryAt(toBytes(path));
  }

  #makeDirectoryAt(path: string): Directory {
    let at: Inode = this.#tree.root;
    for (const name of components(path)) {
      if (at.kind !== "directory") break;
      at = at.get(name)?.inode ?? this.#tree.mkdir(at, name, 0o755, this.#owner);
    }
    if (at.kind !== "directory") throw new FsError("ENOTDIR", "it is not a directory", { path });
    return at;
  }
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}
