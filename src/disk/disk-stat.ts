/** The result of lstat(2) for an entry on disk, in the terms of a tree. */
import { lstatSync } from "node:fs";
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
