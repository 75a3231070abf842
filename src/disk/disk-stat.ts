/** Entries on disk, in the terms of a tree: the result of lstat(2), and directories that are held open. */
import { closeSync, constants, existsSync, fstatSync, lstatSync, openSync, readdirSync } from "node:fs";
import { encodeDevice } from "../tree/device-node.ts";
import type { SomeTimes, Time } from "../tree/inode.ts";

export type DiskStat = ReturnType<typeof statOf>;

export function statOf(path: string) {
  return lstatSync(onDisk(path), { bigint: true });
}

/** The bytes of a path, for system calls. */
export function onDisk(path: string): Buffer {
  return Buffer.from(path, "latin1");
}

export interface HeldDirectory extends Disposable {
  /** By which the directory and its entries are found, whatever happens to its path. */
  readonly place: string;
}

const DESCRIPTORS = "/proc/self/fd";
const isHeldByDescriptor = existsSync(DESCRIPTORS);

/**
 * Opens a directory. `known`: what lstat(2) reported about it: somebody may have replaced it, or a directory above it, by a
 * symlink to a place that only this user can read. Throws an Error in that case, and errors of the disk.
 */
export function holdDirectory(path: string, known: Pick<DiskStat, "dev" | "ino"> | undefined): HeldDirectory {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const fd = openSync(onDisk(path), O_RDONLY | O_DIRECTORY | (known === undefined ? 0 : O_NOFOLLOW));
  const { dev, ino } = fstatSync(fd, { bigint: true });
  if (known !== undefined && (known.dev !== dev || known.ino !== ino)) {
    closeSync(fd);
    throw new Error("it was replaced in the meantime");
  }
  const place = isHeldByDescriptor ? `${DESCRIPTORS}/${fd}` : path;
  return { place, [Symbol.dispose]: () => closeSync(fd) };
}

/** The names in a directory, as bytes. */
export function namesIn({ place }: HeldDirectory): readonly string[] {
  return readdirSync(onDisk(place), { encoding: "buffer" }).map((name) => name.toString("latin1"));
}

export function timesOf(stat: DiskStat): SomeTimes {
  return { atime: timeOf(stat.atimeNs), mtime: timeOf(stat.mtimeNs) };
}

const SECOND = 1_000_000_000n;

function timeOf(nanoseconds: bigint): Time {
  const rest = ((nanoseconds % SECOND) + SECOND) % SECOND;
  return { seconds: Number((nanoseconds - rest) / SECOND), nanoseconds: Number(rest) };
}

/** The C library's st_rdev (gnu_dev_makedev) is wider than the kernel's number. */
export function deviceNumber(rdev: bigint): number {
  return encodeDevice(Number((rdev >> 8n) & 0xfffn), Number((rdev & 0xffn) | ((rdev >> 12n) & 0xfff00n)));
}
