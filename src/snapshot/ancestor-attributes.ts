/** The ancestor's `attrs`: decimal text. */
import { type Inode, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, type Time } from "../tree/inode.ts";
import { quote, type SnapshotPosition } from "./error.ts";
import { ID_MAX } from "./format.ts";
import type { ParsedJson } from "./read/json.ts";
import { parseTime } from "./timestamps.ts";

const IGNORED: ReadonlySet<string> = new Set(["st_nlink", "st_size"]);

export interface AttributeCallbacks {
  onDropped(name: string): void;
  warn(message: string): void;
}

/** Throws SnapshotError if a value does not have the type that its name implies. */
export function applyAttributes(
  inode: Inode,
  attrs: Map<string, ParsedJson>,
  place: SnapshotPosition,
  tell: AttributeCallbacks,
): void {
  for (const [name, value] of attrs) {
    if (IGNORED.has(name)) continue;
    const text = typeof value === "number" ? String(value) : value;
    if (typeof text !== "string") throw place.createError(`its ${quote(name)} is not decimal text`);
    switch (name) {
      case "st_mode": {
        const mode = parseDecimal(name, text, 0o177777, place);
        const type = mode & S_IFMT;
        if (type !== 0 && type !== typeBits(inode))
          tell.warn(`the st_mode of ${quote(place.entry ?? "")} does not match its "type"; the "type" was used`);
        if (inode.kind !== "symlink") inode.setMode((inode.mode & S_IFMT) | (mode & 0o7777));
        break;
      }
      case "st_uid":
        inode.setOwner({ uid: parseDecimal(name, text, ID_MAX, place) });
        break;
      case "st_gid":
        inode.setOwner({ gid: parseDecimal(name, text, ID_MAX, place) });
        break;
      case "st_atime":
        inode.setTimes({ atime: parseTimeAttribute(name, text, place) });
        break;
      case "st_mtime":
        inode.setTimes({ mtime: parseTimeAttribute(name, text, place) });
        break;
      case "st_ctime":
        inode.setTimes({ ctime: parseTimeAttribute(name, text, place) });
        break;
      default:
        tell.onDropped(name);
    }
  }
}

function typeBits(inode: Inode): number {
  return inode.kind === "directory" ? S_IFDIR : inode.kind === "symlink" ? S_IFLNK : S_IFREG;
}

function parseDecimal(name: string, text: string, max: number, place: SnapshotPosition): number {
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= max)) throw place.createError(`its ${name} is ${quote(text)}, not a whole number up to ${max}`);
  return value;
}

function parseTimeAttribute(name: string, text: string, place: SnapshotPosition): Time {
  // A float as Python prints it may have an exponent.
  const parsed =
    parseTime(text) ?? (/^-?[\d.]+e[+-]?\d+$/i.test(text) ? parseTime(Number(text).toFixed(9)) : undefined);
  if (parsed === undefined) throw place.createError(`its ${name} is ${quote(text)}, not seconds since 1970`);
  return parsed;
}
