/** Where large contents are stored. */
import { FsError } from "../errno.ts";
import * as libc from "../libc.ts";
import { heapPages } from "../tree/content/heap-store.ts";
import { createTmpfsFiles, PAGE, type Stores } from "../tree/content/store.ts";

/**
 * Chooses where large contents are stored. A privileged mount uses a tmpfs on which the kernel enforces the limit;
 * others use memory files, which we count.
 */
export function storesFor(size: number | undefined): { stores?: Stores } {
  // A file size limit also applies to the kernel's memory files, and would apply to every program that writes.
  if (libc.getLimit(libc.LIMITS.FSIZE).soft !== libc.UNLIMITED) return { stores: heapPages };
  try {
    return { stores: createTmpfsFiles(Math.ceil((size ?? Number.POSITIVE_INFINITY) / PAGE)) };
  } catch (error) {
    if (error instanceof FsError) return {};
    throw error;
  }
}
