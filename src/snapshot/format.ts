/**
 * The snapshot: a tree as JSON that people can read, edit and compare. docs/snapshot.md is the specification.
 *
 * This folder holds the words and limits of the format (this file), saving a live tree in slices (write/save.ts),
 * loading (read/load.ts, ancestor.ts), and writing a file atomically (write/write.ts). It knows trees, but neither the
 * kernel nor models. The contents of a file are hostile until they are checked, and trusted afterwards.
 */
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK } from "../tree/inode.ts";

export const VERSION = 1;

/** Kinds of entry, as `type` spells them. */
export type EntryType = "directory" | "file" | "symlink" | "link" | SpecialType;
export type SpecialType = "fifo" | "socket" | "chardev" | "blockdev";

/** Type bits of everything that is not a file, directory or symlink. */
export const SPECIAL_MODES: ReadonlyMap<string, number> = new Map([
  ["fifo", S_IFIFO],
  ["socket", S_IFSOCK],
  ["chardev", S_IFCHR],
  ["blockdev", S_IFBLK],
] satisfies [SpecialType, number][]);

/** The fields that each type may have in addition to `path`, `type` and `escaped`. */
const COMMON = ["mode", "uid", "gid", "atime", "mtime", "ctime", "xattrs"];
export const FIELDS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ["directory", new Set(COMMON)],
  ["file", new Set([...COMMON, "state", "error", "text", "base64"])],
  ["symlink", new Set(["uid", "gid", "atime", "mtime", "ctime", "xattrs", "target"])],
  ["link", new Set(["to"])],
  ["fifo", new Set(COMMON)],
  ["socket", new Set(COMMON)],
  ["chardev", new Set([...COMMON, "rdev"])],
  ["blockdev", new Set([...COMMON, "rdev"])],
] satisfies [EntryType, Set<string>][]);

/** A piece of text ends after a newline, or before it would exceed this many bytes. */
export const TEXT_PIECE = 4096;
/** Bytes in one piece of base64: 1,024 characters. */
export const BASE64_PIECE = 768;

/**
 * A path longer than PATH_MAX can be created step by step, and survives a round trip; beyond this limit it is refused.
 * Every directory needs its own entry before its contents, so a long path alone creates nothing deep.
 */
export const PATH_LIMIT = 1 << 20;
/** Maximum length of a symlink's target in bytes: PATH_MAX without its NUL. */
export const TARGET_MAX = 4095;
/** Maximum length of one string of content. A reader may hold this much; our own writer stays below TEXT_PIECE. */
export const STRING_LIMIT = 256 << 20;
export const ID_MAX = 2 ** 32 - 2;
