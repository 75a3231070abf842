/**
 * 64-bit sizes and offsets. A value that a number represents exactly is a number; beyond 2^53 it is a bigint. So files
 * can be as large as on tmpfs, 2^63 - 1, and only such files pay for it.
 *
 * Numbers and bigints can be compared (`<`, `>=`); arithmetic uses `plus` and `minus`. Imports nothing.
 */
export type Wide = number | bigint;

/** The largest size of a file, and the largest offset after its last byte: the kernel's MAX_LFS_FILESIZE. */
export const MAX_WIDE = 2n ** 63n - 1n;

/** Invariant: every Wide is a bigint only if a number would not be exact. */
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

/** The smaller one. `limit` is a number, so the result is one too. */
export function atMost(a: Wide, limit: number): number {
  return a < limit ? Number(a) : limit;
}
