/**
 * Adds the entries of an archive to a tree. An archive is not trusted: its names cannot lead out of the directory, nor through
 * a symlink. A later entry replaces an earlier one of the same name, as tar does it.
 */
import { CONTROL_NAME, OURS } from "../attributes.ts";
import { FsError } from "../errno.ts";
import { encodeDevice } from "../tree/device-node.ts";
import type { Directory } from "../tree/directory.ts";
import { type Inode, type Owner, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT } from "../tree/inode.ts";
import { toBytes, toText } from "../tree/path.ts";
import type { Tree } from "../tree/tree.ts";
import { setXattr } from "../tree/xattrs.ts";

/** The records of an extended header with attributes, and with names that are not UTF-8, for readers that take all records for UTF-8. */
export const XATTR = "SCHILY.xattr.";
export const EXACT_PATH = "LLMFS.path";
export const EXACT_LINK = "LLMFS.linkpath";

export interface ArchiveOptions {
  readonly owner: Owner;
  readonly keepOwners: boolean;
  readonly warn: (message: string) => void;
}

/** What an archive says about an entry, in the words of tar. Names have one character for each byte. */
export interface ArchiveHeader {
  readonly name: string;
  readonly type?: string | null;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  readonly mtime?: Date;
  readonly linkname?: string | null;
  readonly devmajor?: number;
  readonly devminor?: number;
  /** The records of the extended header of a tar archive, decoded as UTF-8. */
  readonly pax?: Readonly<Record<string, string>> | null;
}

/** The archive is damaged, or contains something that a tree cannot store. The message is for people. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
}

export class ArchiveReader {
  readonly #tree: Tree;
  readonly #into: Directory;
  readonly #options: ArchiveOptions;
  readonly #times = new Map<Directory, ArchiveHeader>();
  count = 0;

  constructor(tree: Tree, into: Directory, options: ArchiveOptions) {
    this.#tree = tree;
    this.#into = into;
    this.#options = options;
  }

  async take(header: ArchiveHeader, content: AsyncIterable<Uint8Array>): Promise<void> {
    const parts = partsOf(nameOf(header, EXACT_PATH, "path", header.name));
    const shown = toText(parts.join("/"));
    const inode = await this.#create(header, parts, content);
    // Skips unread bytes.
    for await (const _ of content);
    if (inode === undefined) return;
    this.count += 1;
    if (header.type === "link") return;
    this.#setAttributes(inode, header, shown);
  }

  /** Adding an entry changes the times of its directory. */
  finish(): void {
    for (const [directory, header] of this.#times) directory.setTimes(timesOf(header));
  }

  async #create(
    header: ArchiveHeader,
    parts: string[],
    content: AsyncIterable<Uint8Array>,
  ): Promise<Inode | undefined> {
    const { owner, warn } = this.#options;
    const name = parts.pop();
    if (name === undefined) return header.type === "directory" ? this.#into : undefined;
    const shown = toText([...parts, name].join("/"));
    if ((parts[0] ?? name) === CONTROL_NAME && this.#into === this.#tree.root) {
      warn(`${shown}: left out, because a mount has its control files under this name`);
      return undefined;
    }
    const directory = this.#directory(parts);
    const there = directory.get(name)?.inode;
    if (header.type === "directory" && there?.kind === "directory") return there;
    const linked = header.type === "link" ? this.#find(partsOf(targetOf(header))) : undefined;
    if (header.type === "link" && linked === there && there !== undefined) return there;
    if (there !== undefined) this.#remove(directory, name, there);
    const mode = header.mode ?? 0o644;
    switch (header.type) {
      case "directory":
        return this.#tree.mkdir(directory, name, 0o700, owner);
      case "symlink":
        return this.#tree.symlink(directory, name, targetOf(header), owner);
      case "link":
        if (linked === undefined || linked.kind === "directory") {
          throw new ArchiveError(
            `${shown} is a link to ${toText(targetOf(header))}, which is not in the archive before it`,
          );
        }
        this.#tree.link(linked, directory, name);
        return linked;
      case "fifo":
        return this.#tree.mknod(directory, name, S_IFIFO | mode, 0, owner);
      case "character-device":
      case "block-device": {
        const type = header.type === "block-device" ? S_IFBLK : S_IFCHR;
        return this.#tree.mknod(
          directory,
          name,
          type | mode,
          encodeDevice(header.devmajor ?? 0, header.devminor ?? 0),
          owner,
        );
      }
      case "file":
      case "contiguous-file":
      case undefined: {
        if (header.pax?.["GNU.sparse.major"] !== undefined)
          throw new ArchiveError(`${shown} is sparse; create the archive without --sparse`);
        const file = this.#tree.createFile(directory, name, 0o600, owner);
        let at = 0;
        for await (const bytes of content) {
          if (file.write(at, bytes) < bytes.length) throw new FsError("ENOSPC", "the tree is full", { path: shown });
          at += bytes.length;
        }
        return file;
      }
      default:
        warn(`${shown}: left out, because it is of an unknown type`);
        return undefined;
    }
  }

  /** Creates directories that the archive does not mention. */
  #directory(parts: readonly string[]): Directory {
    let at = this.#into;
    for (const part of parts) {
      const there = at.get(part)?.inode;
      if (there !== undefined && there.kind !== "directory") {
        throw new ArchiveError(`${toText(parts.join("/"))} leads through ${toText(part)}, which is not a directory`);
      }
      at = there ?? this.#tree.mkdir(at, part, 0o755, this.#options.owner);
    }
    return at;
  }

  #find(parts: readonly string[]): Inode | undefined {
    let at: Inode | undefined = this.#into;
    for (const part of parts) at = at?.kind === "directory" ? at.get(part)?.inode : undefined;
    return at;
  }

  #remove(directory: Directory, name: string, inode: Inode): void {
    if (inode.kind !== "directory") {
      this.#tree.unlink(directory, name);
      return;
    }
    for (const entry of [...inode.entries()]) this.#remove(inode, entry.name, entry.inode);
    this.#tree.rmdir(directory, name);
  }

  #setAttributes(inode: Inode, header: ArchiveHeader, shown: string): void {
    if (this.#options.keepOwners) {
      inode.setOwner({ uid: numberOf(header.pax?.uid, header.uid), gid: numberOf(header.pax?.gid, header.gid) });
    }
    if (inode.kind !== "symlink") inode.setMode((inode.mode & S_IFMT) | ((header.mode ?? 0o644) & 0o7777));
    for (const [key, value] of Object.entries(header.pax ?? {})) {
      const xattr = key.startsWith(XATTR) ? key.slice(XATTR.length) : "";
      if (!xattr.startsWith("user.") || xattr.startsWith(OURS)) continue;
      if (value.includes("\uFFFD"))
        this.#options.warn(`${shown}: its attribute ${xattr} is left out, because it is not text`);
      else setXattr(inode, toBytes(xattr), Buffer.from(value));
    }
    inode.setTimes(timesOf(header));
    if (inode.kind === "directory") this.#times.set(inode, header);
  }
}

function numberOf(text: string | undefined, otherwise: number | undefined): number {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : (otherwise ?? 0);
}

/** The bytes of a name: tar-stream decodes records of the extended header as UTF-8, and the rest as Latin-1. */
function nameOf({ pax }: ArchiveHeader, exact: string, record: string, plain: string): string {
  const encoded = pax?.[exact];
  if (encoded !== undefined) return Buffer.from(encoded, "base64").toString("latin1");
  const text = pax?.[record];
  if (text === undefined) return plain;
  if (text.includes("\uFFFD")) throw new ArchiveError(`${text}: a name in an extended header is not UTF-8`);
  return toBytes(text);
}

function targetOf(header: ArchiveHeader): string {
  return nameOf(header, EXACT_LINK, "linkpath", header.linkname ?? "");
}

function partsOf(name: string): string[] {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new ArchiveError(`${toText(name)} leads out of the archive`);
  return parts;
}

function timesOf({ mtime, pax }: ArchiveHeader) {
  const [, sign = "", whole = "", decimals = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(pax?.mtime ?? "") ?? [];
  // A time that JavaScript cannot hold is not a number.
  if (whole === "") return { mtime: { seconds: Math.floor((mtime?.getTime() || 0) / 1000), nanoseconds: 0 } };
  // In our own archives, nanoseconds before 1970 count forwards too. With others, the time is wrong by at most a second.
  const seconds = Number(`${sign}${whole}`);
  return { mtime: { seconds, nanoseconds: Number(decimals.slice(0, 9).padEnd(9, "0")) } };
}
