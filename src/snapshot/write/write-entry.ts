/** Writes the fields of an entry that come before its content. */
import { isUtf8 } from "node:buffer";
import type { FsError } from "../../errno.ts";
import type { FileState } from "../../tree/content/file-state.ts";
import { decodeDevice } from "../../tree/device-node.ts";
import { type Inode, type Owner, S_IFBLK, S_IFCHR, S_IFMT } from "../../tree/inode.ts";
import { compareBytes } from "../../tree/path.ts";
import { escapeBytes } from "../entry-names.ts";
import { BASE64_PIECE, SPECIAL_MODES, TEXT_PIECE } from "../format.ts";
import { formatTime } from "../timestamps.ts";

/** What is written of an inode. */
export interface Described {
  readonly path: string;
  readonly inode: Inode;
  readonly mode: number;
  readonly owner: Owner | undefined;
  readonly xattrs: readonly (readonly [string, Uint8Array])[] | undefined;
  readonly times: readonly [string, number, number][] | undefined;
  readonly state: FileState;
  readonly error: FsError | undefined;
  readonly size: number;
  /** The path that has the content, if this is another name of the same inode. */
  readonly to: string | undefined;
}

/** The members of an entry's object in the format's order, without the content and the closing brace. */
export function formatHead(entry: Described): string {
  const { inode } = entry;
  const target = inode.kind === "symlink" ? inode.target : undefined;
  const escaped = [entry.path, entry.to, target, ...(entry.xattrs ?? []).map(([name]) => name)].some(
    (bytes) => bytes !== undefined && !isText(bytes),
  );
  const spelt = (bytes: string) => JSON.stringify(escaped ? escapeBytes(bytes) : toText(bytes));
  let head = `"path": ${spelt(entry.path)}`;
  if (escaped) head += ', "escaped": true';
  if (entry.to !== undefined) return `${head}, "type": "link", "to": ${spelt(entry.to)}`;
  head += `, "type": "${entryType(entry)}"`;
  if (target !== undefined) head += `, "target": ${spelt(target)}`;
  else head += `, "mode": "${(entry.mode & 0o7777).toString(8).padStart(4, "0")}"`;
  if (entry.owner !== undefined) head += `, "uid": ${entry.owner.uid}, "gid": ${entry.owner.gid}`;
  const type = entry.mode & S_IFMT;
  if (inode.kind === "special" && (type === S_IFCHR || type === S_IFBLK)) {
    const { major, minor } = decodeDevice(inode.rdev);
    head += `, "rdev": "${major}:${minor}"`;
  }
  for (const [name, seconds, nanoseconds] of entry.times ?? [])
    head += `, "${name}": "${formatTime(seconds, nanoseconds)}"`;
  if (entry.state !== "static") head += `, "state": "${entry.state}"`;
  if (entry.error !== undefined)
    head += `, "error": {"code": "${entry.error.code}", "message": ${JSON.stringify(entry.error.message.toWellFormed())}}`;
  if (entry.xattrs !== undefined && entry.xattrs.length > 0) {
    const xattrs = [...entry.xattrs].sort(([a], [b]) => compareBytes(a, b));
    const lines = xattrs.map(([name, value]) => `\n      ${spelt(name)}: ${formatXattr(value)}`);
    head += `, "xattrs": {${lines.join(",")}\n    }`;
  }
  return head;
}

function entryType({ inode, mode }: Described): string {
  if (inode.kind !== "special") return inode.kind;
  for (const [type, bits] of SPECIAL_MODES) if (bits === (mode & S_IFMT)) return type;
  throw new Error(`inode ${inode.ino}: the mode ${mode.toString(8)} is not that of a special file`);
}

/** Text of several lines becomes an array of lines, like content. */
function formatXattr(value: Uint8Array): string {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  if (bytes.includes(0) || !isUtf8(bytes)) {
    const pieces: string[] = [];
    for (let at = 0; at < bytes.length; at += BASE64_PIECE)
      pieces.push(`"${bytes.toString("base64", at, Math.min(at + BASE64_PIECE, bytes.length))}"`);
    return `{"base64": ${formatList(pieces)}}`;
  }
  const pieces: string[] = [];
  for (const line of bytes.toString("utf8").split(/(?<=\n)/))
    for (let at = 0; at < line.length || at === 0; ) {
      // Characters, not bytes: it only matters that the same text is always cut at the same places.
      const cut = Math.min(line.length, at + TEXT_PIECE);
      const end = cut < line.length && isHighSurrogate(line.charCodeAt(cut - 1)) ? cut - 1 : cut;
      pieces.push(JSON.stringify(line.slice(at, end)));
      at = Math.max(end, 1);
    }
  return formatList(pieces);
}

function formatList(pieces: readonly string[]): string {
  return pieces.length === 1 ? (pieces[0] ?? "") : `[\n        ${pieces.join(",\n        ")}\n      ]`;
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}

function isText(bytes: string): boolean {
  for (let at = 0; at < bytes.length; at++) if (bytes.charCodeAt(at) > 127) return isUtf8(Buffer.from(bytes, "latin1"));
  return true;
}

function toText(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}
