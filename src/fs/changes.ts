/**
 * Whether a tree may have changed since it was saved. The answer errs on the side of yes: a save too many costs a moment.
 *
 * Counted are the requests of the kernel that may change something, and what generators answer. Through a file that is
 * open for writing the kernel may write without a request (passthrough, mappings), so while there is one, nothing is
 * certain.
 */
import { OPS, type OpName } from "../fuse/ops.ts";

/** Operations that change nothing that a snapshot holds. An unknown operation is assumed to change something. */
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

/** How many of these requests, counted by opcode, may have changed something. */
export function countChanges(counts: Uint32Array): number {
  return counts.reduce((sum, count, opcode) => (readOnlyOpcodes.has(opcode) ? sum : sum + count), 0);
}
