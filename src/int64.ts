/**
 * Sizes and offsets of 64 bits. What a number holds exactly is a number; beyond 2^53 they are bigints. So files reach
 * the size that tmpfs allows, 2^63 - 1, and only those that do pay for it.
 *
 * The two compare with one another (`<`, `>=`); arithmetic goes through `plus` and `minus`. Imports nothing.
 */
export type Wide = number | bigint;

/** The largest size of a file, and the largest offset behind its last byte: the kernel's MAX_LFS_FILESIZE. */
export const MAX_WIDE = 2n ** 63n - 1n;

/** Invariant of every Wide: it is a bigint only where a number would not be exact. */
export function toWide(value: bigint): Wide {
  return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER ? Number(value) : value;
}

export function plus(a: Wide, b: Wide): Wide {
  if (typeof a === "number" && typeof b === "number") {
    const sum = a + b;
    if (sum <= Number.MAX_SAFE_INTEGER) return sum;
  }
  return toWide(BigInt(a) + BigInt(b));
}

export function minus(a: Wide, b: Wide): Wide {
  return typeof a === "number" && typeof b === "number" ? a - b : toWide(BigInt(a) - BigInt(b));
}

/** The smaller one; `limit` is a number, and so is what comes back if `a` is no less. */
export function atMost(a: Wide, limit: number): number {
  return a < limit ? Number(a) : limit;
}
