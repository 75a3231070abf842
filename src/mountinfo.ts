/** The list of mounts: /proc/self/mountinfo, as described in proc_pid_mountinfo(5). */
import { readFileSync } from "node:fs";

/** The filesystem type of our mounts. */
export const FS_TYPE = "fuse.llmfs";

export interface MountPoint {
  /** As "mnt_id" in /proc/PID/fdinfo. */
  readonly id: string;
  readonly path: string;
  /**
   * The part of the filesystem that is mounted: "/" for all of it, otherwise a directory or file in it (a bind mount).
   */
  readonly root: string;
  /** "major:minor": st_dev of everything in the mount, and its identifier while it exists. */
  readonly device: string;
  readonly type: string;
  /** The source, as named by the program that mounted it. */
  readonly source: string;
  /** Options of the mount, separated by commas: "rw,nosuid,nodev". */
  readonly options: string;
  /** Options of the filesystem: "rw,lowerdir=/a:/b". */
  readonly superOptions: string;
}

/**
 * All mounts that this process sees, in the order in which they were made. A later one covers an earlier one at the
 * same place.
 */
export function readMounts(text: string = readFileSync("/proc/self/mountinfo", "latin1")): readonly MountPoint[] {
  const found: MountPoint[] = [];
  // Usually nothing has to be converted, and one look at all of it is faster than one at each field.
  const plain = PLAIN.test(text);
  for (const line of text.split("\n")) {
    const [id = "", , device = "", root = "/", path, options = "", ...more] = line.split(" ");
    // Any number of optional fields end with a single hyphen.
    const separator = more.indexOf("-");
    const [type, source = "", superOptions = ""] = more.slice(separator + 1);
    if (path === undefined || type === undefined || separator < 0) continue;
    found.push({
      id,
      path: plain ? path : unescapeOctal(path),
      root: plain ? root : unescapeOctal(root),
      type: plain ? type : unescapeOctal(type),
      source: plain ? source : unescapeOctal(source),
      device,
      options,
      superOptions: plain ? superOptions : unescapeOctal(superOptions),
    });
  }
  return found;
}

/** The mount at exactly this path, which must be absolute and without symlinks; the topmost if there are several. */
export function findMountAt(path: string): MountPoint | undefined {
  return readMounts().findLast((mount) => mount.path === path);
}

/** Needs no conversion: ASCII without a backslash. */
const PLAIN = /^[\n -[\]-~]*$/;

/** Blanks, tabs, newlines and backslashes are written as three octal digits. We read the bytes as UTF-8. */
function unescapeOctal(field: string): string {
  const bytes = field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}
