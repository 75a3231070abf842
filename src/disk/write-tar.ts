/**
 * Writes a tree as a tar archive in the pax format: names of any bytes, modes, owners, times to the nanosecond, symlinks,
 * hard links, fifos, device nodes and extended attributes. Files without content are left out.
 */

import { OURS } from "../attributes.ts";
import { decodeDevice } from "../tree/device-node.ts";
import type { Directory } from "../tree/directory.ts";
import { type Inode, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT } from "../tree/inode.ts";
import { isAcl } from "../tree/permissions/acl.ts";
import type { Tree } from "../tree/tree.ts";
import { EXACT_LINK, EXACT_PATH, XATTR } from "./archive.ts";
import { chunksOf } from "./file-chunks.ts";
import { BLOCK, encodeTarBlock, type TarBlock } from "./tar-format.ts";

export interface TarOptions {
  /** Called with one sentence for each entry that is left out. */
  readonly warn: (message: string) => void;
}

/** The archive of the entries below `from`, in pieces. */
export async function* writeTar(
  tree: Tree,
  from: { readonly directory: Directory; readonly path: string },
  { warn }: TarOptions,
): AsyncGenerator<Uint8Array> {
  const linked = new Map<Inode, string>();
  const prefix = from.path === "/" ? 1 : from.path.length + 1;
  for (const { path, inode } of tree.walk(from.directory, from.path)) {
    if (inode === from.directory || (inode.kind === "file" && inode.lazy)) continue;
    const name = path.slice(prefix);
    const type = typeOf(inode);
    if (type === undefined) {
      warn(`${name}: left out, because an archive cannot hold a socket`);
      continue;
    }
    const first = linked.get(inode);
    if (first !== undefined) {
      yield* headersOf({ name, inode, type: "link", target: first });
      continue;
    }
    if (inode.kind !== "directory" && inode.nlink > 1) linked.set(inode, name);
    for (const xattr of inode.xattrs?.keys() ?? []) {
      if (isAcl(xattr)) warn(`${name}: its attribute ${xattr} is left out, because an archive cannot hold it`);
    }
    yield* headersOf({ name, inode, type, ...(inode.kind === "symlink" && { target: inode.target }) });
    if (inode.kind === "file") {
      yield* chunksOf(inode);
      yield createPadding(inode.size);
    }
  }
  // The end of an archive.
  yield new Uint8Array(2 * BLOCK);
}

type TarEntryType = Exclude<TarBlock["type"], "extended-header">;

function typeOf(inode: Inode): TarEntryType | undefined {
  if (inode.kind !== "special") return inode.kind;
  const type = inode.mode & S_IFMT;
  if (type === S_IFIFO) return "fifo";
  if (type === S_IFCHR) return "character-device";
  return type === S_IFBLK ? "block-device" : undefined;
}

interface TarEntry {
  /** Bytes. */
  readonly name: string;
  readonly inode: Inode;
  readonly type: TarEntryType;
  /** Bytes; of links. */
  readonly target?: string;
}

function* headersOf(entry: TarEntry): Generator<Uint8Array> {
  const { name, inode, type, target } = entry;
  const { mtime } = inode.times();
  const extended = createExtendedHeader(entry);
  const common = {
    mode: inode.mode & 0o7777,
    uid: inode.uid,
    gid: inode.gid,
    mtime: Math.max(0, mtime),
  };
  if (extended.length > 0) {
    yield encodeTarBlock({ ...common, name: "PaxHeader", type: "extended-header", size: extended.length });
    yield extended;
    yield createPadding(extended.length);
  }
  const device = inode.kind === "special" ? decodeDevice(inode.rdev) : undefined;
  yield encodeTarBlock({
    ...common,
    name: type === "directory" ? `${fitPlainHeader(name, PLAIN_NAME - 1)}/` : fitPlainHeader(name),
    type,
    size: type === "file" && inode.kind === "file" ? inode.size : 0,
    ...(target === undefined ? {} : { linkname: fitPlainHeader(target) }),
    ...(device === undefined ? {} : { devmajor: device.major, devminor: device.minor }),
  });
}

function createPadding(length: number): Uint8Array {
  return new Uint8Array((BLOCK - (length % BLOCK)) % BLOCK);
}

/** The longest name and the highest number that the plain header holds. */
const PLAIN_NAME = 100;
const PLAIN_ID = 0o777777;

/** What the plain header cannot hold, as records of the pax format: "LENGTH NAME=VALUE\n". */
function createExtendedHeader({ name, inode, target, type }: TarEntry): Buffer {
  const records: Buffer[] = [];
  const add = (key: string, value: Uint8Array | string) =>
    records.push(recordOf(key, typeof value === "string" ? Buffer.from(value) : Buffer.from(value)));
  if (name !== fitPlainHeader(name, PLAIN_NAME - 1)) add("path", Buffer.from(name, "latin1"));
  if (target !== undefined && target !== fitPlainHeader(target)) add("linkpath", Buffer.from(target, "latin1"));
  if (!isUtf8(name)) add(EXACT_PATH, Buffer.from(name, "latin1").toString("base64"));
  if (target !== undefined && !isUtf8(target)) add(EXACT_LINK, Buffer.from(target, "latin1").toString("base64"));
  if (type === "link") return Buffer.concat(records);
  const { mtime, mtimeNsec } = inode.times();
  if (mtimeNsec !== 0 || mtime < 0) add("mtime", `${mtime}.${String(mtimeNsec).padStart(9, "0")}`);
  if (inode.uid > PLAIN_ID) add("uid", String(inode.uid));
  if (inode.gid > PLAIN_ID) add("gid", String(inode.gid));
  for (const [xattr, value] of inode.xattrs ?? []) {
    // What llmfs knows about a file means nothing outside of a mount.
    if (xattr.startsWith("user.") && !xattr.startsWith(OURS))
      add(`${XATTR}${Buffer.from(xattr, "latin1").toString()}`, value);
  }
  return Buffer.concat(records);
}

/** The length includes itself. */
function recordOf(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length + String(rest.length).length;
  if (String(length).length > String(rest.length).length) length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** ASCII of at most 100 characters, for readers that do not know the extended header. */
function fitPlainHeader(name: string, length = PLAIN_NAME): string {
  return name.replace(/[^\x20-\x7e]/g, "_").slice(-length);
}

function isUtf8(bytes: string): boolean {
  const buffer = Buffer.from(bytes, "latin1");
  return Buffer.from(buffer.toString("utf8"), "utf8").equals(buffer);
}
