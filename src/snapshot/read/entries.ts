/** Reads our own format: a version and a list of entries. Each inode is created as soon as its entry is read. */
import { FsError, isErrnoName } from "../../errno.ts";
import type { FileState } from "../../tree/content/file-state.ts";
import { encodeDevice } from "../../tree/device-node.ts";
import type { Directory } from "../../tree/directory.ts";
import type { RegularFile } from "../../tree/file.ts";
import { type Inode, type Owner, S_IFMT, type Time } from "../../tree/inode.ts";
import type { Tree } from "../../tree/tree.ts";
import { splitPath, unescapeBytes } from "../entry-names.ts";
import { quote, type SnapshotPosition } from "../error.ts";
import { FIELDS, ID_MAX, PATH_LIMIT, SPECIAL_MODES, TARGET_MAX, VERSION } from "../format.ts";
import { parseTime } from "../timestamps.ts";
import { checkXattrs, readXattrs } from "../xattrs.ts";
import type { JsonReader } from "./json.ts";
import { PieceReader } from "./read-content.ts";

/** The fields of an entry, before they are checked against each other. */
interface EntryDraft {
  readonly fields: string[];
  path?: string;
  type?: string;
  escaped?: boolean;
  mode?: number;
  uid?: number;
  gid?: number;
  atime?: Time;
  mtime?: Time;
  ctime?: Time;
  target?: string;
  to?: string;
  rdev?: number;
  state?: FileState;
  error?: FsError;
  xattrs?: Map<string, Uint8Array>;
  /** The content, in a file that has no name yet: `text` may come before `path`. */
  file?: RegularFile;
}

export class EntryReader {
  readonly #tree: Tree;
  readonly #reader: JsonReader;
  readonly #place: SnapshotPosition;
  readonly #pieces: PieceReader;
  #owner: Owner;
  #version: number | undefined;
  #listed = false;
  #count = 0;
  #unnamed: RegularFile | undefined;
  /** Applied at the end: creating an entry changes its directory's times, and a link changes the file's times. */
  readonly #times: [Inode, EntryDraft][] = [];
  #parentPath = "";
  #parent: Directory;

  constructor(tree: Tree, reader: JsonReader, place: SnapshotPosition, options: { readonly owner?: Owner }) {
    this.#tree = tree;
    this.#reader = reader;
    this.#place = place;
    this.#pieces = new PieceReader(reader, place);
    this.#owner = options.owner ?? tree.root;
    this.#parent = tree.root;
  }

  /** Reads the value of one key of the snapshot. */
  readMember(key: string): void {
    if (key === "llmfs") {
      this.#version = this.#reader.readInteger('the version, "llmfs"', 1, Number.MAX_SAFE_INTEGER);
      if (this.#version > VERSION)
        throw this.#place.createError(
          `was written by a newer version of llmfs (format ${this.#version}; this version reads format ${VERSION})`,
          "update llmfs",
        );
    } else if (key === "entries") {
      this.#listed = true;
      this.#reader.readArray('"entries"', () => this.#readEntry());
    } else throw this.#createUnknownKeyError(key, "the snapshot");
  }

  finish(): void {
    this.#place.entry = undefined;
    if (this.#version === undefined) throw this.#place.createError("has no version", 'add "llmfs": 1');
    if (!this.#listed) throw this.#place.createError("has no entries", 'an empty tree needs "entries": []');
    for (const [inode, draft] of this.#times) inode.setTimes(draft);
  }

  /** Releases what is not in the tree yet, after a failure. */
  abandon(): void {
    if (this.#unnamed === undefined) return;
    this.#tree.hold(this.#unnamed);
    this.#tree.drop(this.#unnamed);
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Reading an entry
  // ---------------------------------------------------------------------------------------------------------------

  #readEntry(): void {
    this.#place.entry = undefined;
    const draft: EntryDraft = { fields: [] };
    this.#reader.readObject("an entry", (key) => {
      this.#readField(draft, key);
      draft.fields.push(key);
    });
    this.#make(draft);
    this.#unnamed = undefined;
    this.#count++;
  }

  #readField(draft: EntryDraft, key: string): void {
    switch (key) {
      case "path":
        draft.path = this.#readBytes(key, PATH_LIMIT * 4);
        this.#place.entry = draft.path;
        return;
      case "type":
        draft.type = this.#readBytes(key, 100);
        return;
      case "escaped":
        draft.escaped = this.#reader.readBoolean('"escaped"');
        return;
      case "mode":
        draft.mode = this.#readMode();
        return;
      case "uid":
      case "gid":
        draft[key] = this.#reader.readInteger(`"${key}"`, 0, ID_MAX);
        return;
      case "atime":
      case "mtime":
      case "ctime":
        draft[key] = this.#readTime(key);
        return;
      case "target":
      case "to":
        draft[key] = this.#readBytes(key, key === "to" ? PATH_LIMIT * 4 : TARGET_MAX * 4);
        return;
      case "rdev":
        draft.rdev = this.#readRdev();
        return;
      case "state":
        draft.state = this.#readState();
        return;
      case "error":
        draft.error = this.#readError();
        return;
      case "xattrs":
        draft.xattrs = readXattrs(this.#reader, this.#place);
        return;
      case "text":
      case "base64":
        if (draft.file !== undefined) throw this.#place.createError('has both "text" and "base64"', "remove one");
        draft.file = this.#unnamed = this.#tree.tmpfile(this.#tree.root, 0, this.#owner);
        this.#pieces.read(draft.file, key);
        return;
      default:
        throw this.#createUnknownKeyError(key, "an entry");
    }
  }

  /** A string that must not contain lone surrogates, unless the caller expects escaped bytes. */
  #readBytes(key: string, limit: number): string {
    const bytes = this.#reader.readString(`"${key}"`, limit);
    if (this.#reader.surrogates)
      throw this.#place.createError(
        `"${key}" contains a lone surrogate`,
        'a name that is not UTF-8 needs "escaped": true',
      );
    return bytes;
  }

  #readMode(): number {
    const text = this.#reader.peek() === "string" ? this.#readBytes("mode", 100) : "";
    if (!/^[0-7]{1,5}$/.test(text) || Number.parseInt(text, 8) > 0o7777)
      throw this.#place.createError(`"mode" is not octal text up to "7777"`, 'write it as "0644"');
    return Number.parseInt(text, 8);
  }

  #readTime(key: string): Time {
    const text = this.#readBytes(key, 100);
    const time = parseTime(text);
    if (time === undefined)
      throw this.#place.createError(
        `"${key}" is ${quote(text)}, which is not a time: expected seconds since 1970, as text`,
        'such as "1735689600.25"',
      );
    return time;
  }

  #readRdev(): number {
    const text = this.#readBytes("rdev", 100);
    const match = /^(\d{1,4}):(\d{1,7})$/.exec(text);
    const [major, minor] = [Number(match?.[1]), Number(match?.[2])];
    if (!(major <= 0xfff && minor <= 0xfffff))
      throw this.#place.createError(`"rdev" is ${quote(text)}, not major:minor`, 'such as "1:3"');
    return encodeDevice(major, minor);
  }

  #readState(): FileState {
    const text = this.#readBytes("state", 100);
    if (text === "static" || text === "pending" || text === "ready" || text === "failed") return text;
    throw this.#place.createError(`"state" is ${quote(text)}, not "static", "pending", "ready" or "failed"`);
  }

  #readError(): FsError {
    let code = "";
    let message: string | undefined;
    this.#reader.readObject('"error"', (key) => {
      if (key === "code") code = this.#readBytes("code", 100);
      else if (key === "message") message = this.#reader.readBytes('"message"', 1 << 20).toString("utf8");
      else throw this.#createUnknownKeyError(key, '"error"');
    });
    if (!isErrnoName(code))
      throw this.#place.createError(`"error" has the code ${quote(code)}, which is not an errno name`);
    return new FsError(code, message);
  }

  #createUnknownKeyError(key: string, what: string): Error {
    return this.#place.createError(
      `${quote(key)} is not a key of ${what}`,
      "check the spelling; a newer version of llmfs may support it",
    );
  }

  // ---------------------------------------------------------------------------------------------------------------
  // Creating inodes
  // ---------------------------------------------------------------------------------------------------------------

  #make(draft: EntryDraft): void {
    const path = this.#unescape(draft, "path");
    if (path === undefined) throw this.#place.createError('an entry has no "path"');
    this.#place.entry = path;
    const type = draft.type ?? "";
    const allowed = FIELDS.get(type);
    if (allowed === undefined)
      throw this.#place.createError(
        draft.type === undefined ? 'has no "type"' : `has the type ${quote(type)}, which does not exist`,
        `types are ${[...FIELDS.keys()].join(", ")}`,
      );
    for (const field of draft.fields)
      if (field !== "path" && field !== "type" && field !== "escaped" && !allowed.has(field))
        throw this.#place.createError(`a ${type} cannot have "${field}"`, "remove it, or change the type");
    const names = splitPath(path, PATH_LIMIT, this.#place);
    const name = names.pop();
    const inode = name === undefined ? this.#makeRoot(draft) : this.#makeChild(draft, path, names, name);
    if (inode === undefined) return;
    if (inode.kind !== "symlink") inode.setMode((inode.mode & S_IFMT) | (draft.mode ?? defaultMode(inode)));
    inode.setOwner({ uid: draft.uid ?? this.#owner.uid, gid: draft.gid ?? this.#owner.gid });
    if (name === undefined) this.#owner = { uid: inode.uid, gid: inode.gid };
    if (draft.xattrs !== undefined && draft.xattrs.size > 0)
      inode.replaceXattrs(checkXattrs(draft.xattrs, draft.escaped === true, this.#place));
    if (draft.atime !== undefined || draft.mtime !== undefined || draft.ctime !== undefined)
      this.#times.push([inode, draft]);
  }

  #makeRoot(draft: EntryDraft): Directory {
    if (draft.type !== "directory") throw this.#place.createError("the root is not a directory");
    if (this.#count > 0)
      throw this.#place.createError("the root is not the first entry", "move it before all other entries");
    return this.#tree.root;
  }

  /** The new inode, or undefined if the entry is another name of an existing inode. */
  #makeChild(draft: EntryDraft, path: string, names: readonly string[], name: string): Inode | undefined {
    const directory = this.#findDirectory(path, names);
    if (directory.get(name) !== undefined)
      throw this.#place.createError("this path occurs twice", "remove one of the entries");
    switch (draft.type) {
      case "directory":
        return this.#tree.mkdir(directory, name, 0o755, this.#owner);
      case "file": {
        const file = this.#makeFile(draft);
        this.#tree.link(file, directory, name);
        return file;
      }
      case "symlink":
        return this.#tree.symlink(directory, name, this.#requireTarget(draft), this.#owner);
      case "link":
        this.#tree.link(this.#findLinked(draft), directory, name);
        return undefined;
      default: {
        if (draft.rdev === undefined && (draft.type === "chardev" || draft.type === "blockdev"))
          throw this.#place.createError(`a ${draft.type} needs an "rdev"`, 'such as "1:3"');
        const mode = SPECIAL_MODES.get(draft.type ?? "") ?? 0;
        return this.#tree.mknod(directory, name, mode, draft.rdev ?? 0, this.#owner);
      }
    }
  }

  /** The parent directory of an entry. Entries of one directory follow each other, so the last parent is cached. */
  #findDirectory(path: string, names: readonly string[]): Directory {
    const parentPath = path.slice(0, path.lastIndexOf("/"));
    if (parentPath === this.#parentPath) return this.#parent;
    const inode = this.#find(names);
    if (inode === undefined)
      throw this.#place.createError(
        `its parent ${quote(parentPath)} has no entry before it`,
        "add an entry for the directory",
      );
    if (inode.kind !== "directory") throw this.#place.createError(`its parent ${quote(parentPath)} is not a directory`);
    this.#parentPath = parentPath;
    this.#parent = inode;
    return inode;
  }

  /** The inode that an earlier entry created at this path. Does not follow symlinks. */
  #find(names: readonly string[]): Inode | undefined {
    let inode: Inode = this.#tree.root;
    for (const name of names) {
      if (inode.kind !== "directory") return undefined;
      const next: Inode | undefined = inode.get(name)?.inode;
      if (next === undefined) return undefined;
      inode = next;
    }
    return inode;
  }

  #makeFile(draft: EntryDraft): RegularFile {
    const state = draft.state ?? "static";
    const lazy = state === "pending" || state === "failed";
    if (lazy && draft.file !== undefined)
      throw this.#place.createError(`is ${state} and has content`, 'remove the content or the "state"');
    if (!lazy && draft.file === undefined)
      throw this.#place.createError(
        "has no content",
        'add "text": "" for an empty file, or "state": "pending" to generate it',
      );
    if ((state === "failed") !== (draft.error !== undefined))
      throw this.#place.createError('"state": "failed" needs an "error", and "error" needs "state": "failed"');
    const file = draft.file ?? this.#tree.tmpfile(this.#tree.root, 0, this.#owner);
    file.state = state;
    file.error = draft.error;
    return file;
  }

  #requireTarget(draft: EntryDraft): string {
    const target = this.#unescape(draft, "target");
    if (target === undefined || target === "") throw this.#place.createError('a symlink needs a "target"');
    if (target.length > TARGET_MAX) throw this.#place.createError(`its target is longer than ${TARGET_MAX} bytes`);
    if (target.includes("\0")) throw this.#place.createError("its target contains a NUL byte");
    return target;
  }

  #findLinked(draft: EntryDraft): Inode {
    const to = this.#unescape(draft, "to");
    if (to === undefined) throw this.#place.createError('a link needs "to": the path of the entry with the content');
    const inode = this.#find(splitPath(to, PATH_LIMIT, this.#place));
    if (inode === undefined) throw this.#place.createError(`is a link to ${quote(to)}, which has no entry before it`);
    if (inode.kind === "directory") throw this.#place.createError(`is a link to ${quote(to)}, which is a directory`);
    return inode;
  }

  #unescape(draft: EntryDraft, key: "path" | "target" | "to"): string | undefined {
    const text = draft[key];
    if (text === undefined || draft.escaped !== true) return text;
    const bytes = unescapeBytes(text);
    if (bytes === undefined)
      throw this.#place.createError(`"${key}" has a backslash followed by neither "\\" nor "xNN"`, 'see "escaped"');
    return bytes;
  }
}

function defaultMode(inode: Inode): number {
  return inode.kind === "directory" ? 0o755 : 0o644;
}
