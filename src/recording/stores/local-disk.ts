/** Whether a folder is on a disk of this machine, where a look at a file is faster than a wait for another thread. */
import { statfsSync } from "node:fs";

/** The types of file systems behind a network or another program, which may not answer: see statfs(2). */
const DISTANT = new Set([
  0x6969, // NFS
  0x517b, // SMB
  0xfe534d42, // SMB2
  0xff534d42, // CIFS
  0x00c36400, // Ceph
  0x01021997, // 9P
  0x5346414f, // AFS
  0x0bd00bd0, // Lustre
  0x65735546, // FUSE
]);

/** Undefined if there is no such folder yet. */
export function isOnLocalDisk(folder: string): boolean | undefined {
  try {
    return !DISTANT.has(Number(statfsSync(folder).type) >>> 0);
  } catch {
    return undefined;
  }
}
