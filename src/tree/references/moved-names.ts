/**
 * References to files by path that follow renames.
 *
 * The text of a reference stays as somebody set it. A rename only notes in the old directory what had the name, so it takes
 * the same time however many references there are, and `currentPaths` finds the files when the references are used:
 *
 * - A name that is free refers to what had it, wherever that is now, and also if a directory above it was renamed.
 * - A name that has been taken again refers to the new file: editors and git save a file by replacing its name.
 * - After an exchange of two names, older references follow their file, and later ones mean the names.
 * - What has no name any more is not found, so the reference stays as it is.
 */
import { FsError } from "../../errno.ts";
import { pathOf } from "../dentries.ts";
import type { Directory } from "../directory.ts";
import type { Inode } from "../inode.ts";
import { components, join, toBytes, toText } from "../path.ts";
import { resolve } from "../resolve.ts";
import { XATTR_SIZE_MAX } from "../xattrs.ts";

/** What happened to a name. */
interface NameHistory {
  /** What had the name last. It counts while the name is free. */
  last?: Inode;
  /** What had the name before something else took it at once, oldest first, with the number of the exchange. */
  readonly exchanged: { readonly at: number; readonly inode: Inode }[];
}

/** When the references of an inode were set, and the directory that relative ones start from. */
interface Origin {
  readonly since: number;
  readonly base?: string;
}

/** Names that no reference contains are not noted, so that temporary files take no memory. */
const MOST_NAMES = 1_000_000;
const MOST_EXCHANGES = 32;

/** The references and the moved names of one tree. */
export class MovedNames {
  readonly #root: Directory;
  readonly #referred = new Set<string>();
  readonly #histories = new WeakMap<Directory, Map<string, NameHistory>>();
  readonly #origins = new WeakMap<Inode, Origin>();
  /** The inode that got all names of another one. */
  readonly #successors = new WeakMap<Inode, Inode>();
  /** The number of exchanges so far, and at the time of the newest reference. */
  #exchanges = 0;
  #newest = 0;
  #moved = false;

  constructor(root: Directory) {
    this.#root = root;
  }

  /** Call this when an attribute with one path a line was set. */
  noteReferences(inode: Inode, value: Uint8Array): void {
    const lines = linesOf(value);
    for (const line of lines) {
      for (const name of components(toBytes(line))) if (this.#referred.size < MOST_NAMES) this.#referred.add(name);
    }
    this.#newest = this.#exchanges;
    const base = lines.some((line) => !line.startsWith("/")) ? directoryOf(inode) : undefined;
    if (this.#exchanges > 0 || base !== undefined)
      this.#origins.set(inode, { since: this.#exchanges, ...(base !== undefined && { base }) });
    else this.#origins.delete(inode);
  }

  /** Call this after a rename. `taken`: something else got the name at the same time. */
  noteMove(directory: Directory, name: string, inode: Inode, taken: boolean): void {
    if (!this.#referred.has(name)) return;
    this.#moved = true;
    const history = this.#historyOf(directory, name);
    if (!taken) {
      history.last = inode;
      return;
    }
    this.#exchanges += 1;
    const before = history.exchanged.at(-1);
    // No reference is newer than that exchange, so none means what the name stood for since then.
    if (before !== undefined && before.at > this.#newest) return;
    history.exchanged.push({ at: this.#exchanges, inode });
    if (history.exchanged.length > MOST_EXCHANGES) history.exchanged.shift();
  }

  /** Call this after a name was removed. A file with other names is still there. */
  noteRemoval(directory: Directory, name: string, inode: Inode): void {
    if (inode.nlink > 0 && inode.kind !== "directory") this.noteMove(directory, name, inode, false);
    else delete this.#histories.get(directory)?.get(name)?.last;
  }

  /** Call this when another inode got all names of one. */
  noteSuccessor(inode: Inode, successor: Inode): void {
    this.#successors.set(inode, successor);
    const origin = this.#origins.get(inode);
    if (origin !== undefined) this.#origins.set(successor, origin);
  }

  /**
   * Returns the references of an inode, one path a line, with the current paths of files that were moved. `mayReveal`: whether
   * names in a directory may be shown; otherwise a reference into it stays as it is.
   */
  currentPaths(inode: Inode, value: Uint8Array, mayReveal?: (directory: Directory) => boolean): Uint8Array {
    const origin = this.#origins.get(inode);
    if (!this.#moved && origin === undefined) return value;
    const directory = directoryOf(inode);
    if (directory === undefined) return value;
    const { since, base = directory } = origin ?? { since: 0 };
    let changed = false;
    // Loaded when it is needed, because the filesystem thread loads this file when it starts.
    const { posix } = process.getBuiltinModule("node:path");
    const lines = linesOf(value).map((line) => {
      const path = posix.resolve(toText(base), line);
      const current = this.#follow(toBytes(path), since, mayReveal) ?? path;
      if (current === posix.resolve(toText(directory), line)) return line;
      changed = true;
      return current;
    });
    const text = Buffer.from(lines.join("\n"));
    return changed && text.length <= XATTR_SIZE_MAX ? text : value;
  }

  /** Returns undefined if nothing on the path was moved. */
  #follow(path: string, since: number, mayReveal: ((directory: Directory) => boolean) | undefined): string | undefined {
    const names = components(path);
    let at: Inode | undefined = this.#root;
    let place: string | undefined = "/";
    let hasMoved = false;
    for (const [index, name] of names.entries()) {
      const directory: Directory | undefined = at?.kind === "symlink" ? behind(this.#root, place) : directoryIn(at);
      const next: Inode | undefined = directory && this.#findMoved(directory, name, since);
      if (next === undefined) {
        at = directory?.get(name)?.inode;
        place = join(place, name);
        continue;
      }
      hasMoved = true;
      at = next;
      place = pathOf(next);
      if (place === undefined || !isRevealed(next, mayReveal)) return undefined;
      if (at.kind !== "directory" && index < names.length - 1) return undefined;
    }
    return hasMoved && !place.includes("\n") ? asLine(toText(place)) : undefined;
  }

  /** What a name of a directory meant, if that is elsewhere now. */
  #findMoved(directory: Directory, name: string, since: number): Inode | undefined {
    const history = this.#histories.get(directory)?.get(name);
    if (history === undefined) return undefined;
    const exchanged = history.exchanged.find(({ at }) => at > since)?.inode;
    const had = exchanged ?? (directory.get(name) === undefined ? history.last : undefined);
    const now = had && this.#currentOf(had);
    return now?.dentry === undefined ? undefined : now;
  }

  #currentOf(inode: Inode): Inode {
    let at = inode;
    for (
      let next = this.#successors.get(at);
      next !== undefined && at.dentry === undefined;
      next = this.#successors.get(at)
    )
      at = next;
    return at;
  }

  #historyOf(directory: Directory, name: string): NameHistory {
    const names = this.#histories.get(directory) ?? new Map<string, NameHistory>();
    this.#histories.set(directory, names);
    const history = names.get(name) ?? { exchanged: [] };
    names.set(name, history);
    return history;
  }
}

/** Spaces at the end of a line do not count, so a name that ends with one is not the end of its line. */
export function asLine(path: string): string {
  return path === path.trimEnd() ? path : `${path}/.`;
}

function isRevealed(inode: Inode, mayReveal: ((directory: Directory) => boolean) | undefined): boolean {
  if (mayReveal === undefined) return true;
  for (let at = inode.dentry?.parent; at !== undefined; at = at.dentry?.parent) if (!mayReveal(at)) return false;
  return true;
}

function behind(root: Directory, path: string): Directory | undefined {
  try {
    return directoryIn(resolve(root, path, { follow: true }));
  } catch (error) {
    if (error instanceof FsError) return undefined;
    throw error;
  }
}

function directoryIn(inode: Inode | undefined): Directory | undefined {
  return inode?.kind === "directory" ? inode : undefined;
}

function linesOf(value: Uint8Array): readonly string[] {
  const lines = Buffer.from(value.buffer, value.byteOffset, value.length).toString("utf8").split("\n");
  return lines.map((line) => line.trim()).filter((line) => line !== "");
}

/** Undefined for an inode without a name. */
function directoryOf({ dentry }: Inode): string | undefined {
  return dentry === undefined ? undefined : pathOf(dentry.parent);
}
