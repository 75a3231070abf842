/**
 * Reports whether a tree may have changed since it was saved. In doubt it says yes, because an unnecessary save costs
 * little.
 *
 * It counts the kernel's requests that may change something, and the results of generators. The kernel can write
 * through a file that is open for writing without sending a request (passthrough, mappings), so while such a file
 * exists, the tree counts as changed.
 */
import { OPS, type OpName } from "../fuse/ops.ts";

/** Operations that change nothing that a snapshot contains. An unknown operation is assumed to change something. */
const READ_ONLY_OPERATIONS: readonly OpName[] = [
  "lookup",
  "forget",
  "getattr",
  "readlink",
  "read",
  "statfs",
  "release",
  "fsync",
  "getxattr",
  "listxattr",
  "flush",
  "init",
  "opendir",
  "readdir",
  "releasedir",
  "fsyncdir",
  "getlk",
  "setlk",
  "setlkw",
  "access",
  "interrupt",
  "destroy",
  "poll",
  "batchForget",
  "readdirplus",
  "lseek",
  "syncfs",
  "statx",
];

const readOnlyOpcodes = new Set(READ_ONLY_OPERATIONS.map((name) => OPS[name].opcode));

/** Returns how many of these requests, counted by opcode, may have changed something. */
export function countChanges(counts: Uint32Array): number {
  return counts.reduce((sum, count, opcode) => (readOnlyOpcodes.has(opcode) ? sum : sum + count), 0);
}
