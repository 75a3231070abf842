/** How much the tree may hold: pages of content and inodes, as tmpfs counts them (`size=`, `nr_inodes=`). */
import { FsError } from "../errno.ts";

export const PAGE = 4096;

export class Space {
  /** Invariant: pages of all contents together, at most `pageLimit` but for a limit set lower later. */
  pages = 0;
  inodes = 0;
  readonly pageLimit: number;
  readonly inodeLimit: number;

  /** `bytes` is rounded up to whole pages. */
  constructor(bytes: number = Number.POSITIVE_INFINITY, inodes: number = Number.POSITIVE_INFINITY) {
    this.pageLimit = Math.ceil(bytes / PAGE);
    this.inodeLimit = inodes;
  }

  get freePages(): number {
    return Math.max(0, this.pageLimit - this.pages);
  }

  takePages(count: number): void {
    if (count > this.freePages) throw new FsError("ENOSPC");
    this.pages += count;
  }

  givePages(count: number): void {
    this.pages -= count;
  }

  takeInode(): void {
    if (this.inodes >= this.inodeLimit) throw new FsError("ENOSPC");
    this.inodes++;
  }

  giveInode(): void {
    this.inodes--;
  }
}
