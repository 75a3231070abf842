import type { Pace } from "./pace.ts";

/** Sorted at once: well below a millisecond. */
const RUN = 512;

/** The same as `toSorted`. Everything else may run in between, so nothing may change the items. */
export async function sortInSlices<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number,
  pace: Pace,
): Promise<readonly T[]> {
  let runs: (readonly T[])[] = [];
  for (let at = 0; at < items.length; at += RUN) {
    runs.push(items.slice(at, at + RUN).sort(compare));
    if (pace.due) await pace.pause();
  }
  while (runs.length > 1) {
    const merged: (readonly T[])[] = [];
    for (let at = 0; at < runs.length; at += 2)
      merged.push(await merge(runs[at] ?? [], runs[at + 1] ?? [], compare, pace));
    runs = merged;
  }
  return runs[0] ?? [];
}

async function merge<T>(
  left: readonly T[],
  right: readonly T[],
  compare: (a: T, b: T) => number,
  pace: Pace,
): Promise<readonly T[]> {
  const out: T[] = [];
  let at = 0;
  for (const item of left) {
    for (let next = right[at]; at < right.length && next !== undefined && compare(next, item) < 0; next = right[at]) {
      out.push(next);
      at++;
      if (pace.due) await pace.pause();
    }
    out.push(item);
    if (pace.due) await pace.pause();
  }
  return out.concat(right.slice(at));
}
