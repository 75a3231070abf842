/** Fifos, sockets and device nodes. The tree stores only their names; the kernel does the rest. */
import { type Clock, defineKind, InodeBase, type Owner } from "./inode.ts";

export class Special extends InodeBase {
  /** Device number in the kernel's 32-bit encoding (new_encode_dev); 0 for fifos and sockets. */
  readonly rdev: number;

  declare readonly kind: "special";
  static {
    defineKind(Special.prototype, "special");
  }

  /** `mode` includes the type: S_IFIFO, S_IFSOCK, S_IFCHR or S_IFBLK. */
  constructor(ino: number, mode: number, rdev: number, owner: Owner, clock: Clock) {
    super(ino, mode, owner, clock);
    this.rdev = rdev;
  }
}

/** The kernel's 32-bit encoding of a device number (new_encode_dev), and back. */
export function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

export function decodeDevice(rdev: number): { readonly major: number; readonly minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}
