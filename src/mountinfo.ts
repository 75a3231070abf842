/** What is mounted where: /proc/self/mountinfo, as proc_pid_mountinfo(5) describes it. */
import { readFileSync } from "node:fs";

/** The type our mounts show. */
export const FS_TYPE = "fuse.llmfs";

export interface MountPoint {
  /** As "mnt_id" in /proc/PID/fdinfo has it. */
  readonly id: string;
  readonly path: string;
  /** What of the filesystem is mounted there: "/" for all of it, else a directory or a file in it (a bind mount). */
  readonly root: string;
  /** "major:minor": st_dev of everything in it, and its name while it lives. */
  readonly device: string;
  readonly type: string;
  /** What is mounted, in words of whoever mounted it. */
  readonly source: string;
  /** Of the mount itself, with commas: "rw,nosuid,nodev". */
  readonly options: string;
  /** Of the filesystem: "rw,lowerdir=/a:/b". */
  readonly superOptions: string;
}

/** All mounts this process sees, in the order they were made; a later one covers an earlier one at the same place. */
export function readMounts(text: string = readFileSync("/proc/self/mountinfo", "latin1")): readonly MountPoint[] {
  const found: MountPoint[] = [];
  for (const line of text.split("\n")) {
    const [id = "", , device = "", root = "/", path, options = "", ...more] = line.split(" ");
    // Optional fields, of any number, end at a lone hyphen.
    const separator = more.indexOf("-");
    const [type, source = "", superOptions = ""] = more.slice(separator + 1);
    if (path === undefined || type === undefined || separator < 0) continue;
    found.push({
      id,
      path: unescapeOctal(path),
      root: unescapeOctal(root),
      type: unescapeOctal(type),
      source: unescapeOctal(source),
      device,
      options,
      superOptions: unescapeOctal(superOptions),
    });
  }
  return found;
}

/** What is mounted at exactly this place, which must be an absolute path without symlinks; the topmost if several are. */
export function findMountAt(path: string): MountPoint | undefined {
  return readMounts().findLast((mount) => mount.path === path);
}

/** Blank, tab, newline and backslash stand as three octal digits. The bytes are UTF-8 to us. */
function unescapeOctal(field: string): string {
  const bytes = field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}
