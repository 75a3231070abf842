/** Returns the candidate that was probably meant, for "did you mean …?"; undefined if none is similar enough. */
export function findNearest(typed: string, candidates: readonly string[]): string | undefined {
  // Any two letters differ by one edit, so for a single letter only the case may differ.
  if (/^-?.$/.test(typed)) return candidates.find((one) => one.toLowerCase() === typed.toLowerCase());
  let best: string | undefined;
  let least = Math.max(1, Math.floor(typed.replace(/^-+/, "").length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(typed, candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  if (best !== undefined) return best;
  const longer = candidates.filter((candidate) => typed.length > 3 && candidate.startsWith(typed));
  return longer.length === 1 ? longer[0] : undefined;
}

/** Counts insertions, deletions, replacements, and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1] ? 0 : 1;
      let cost = Math.min((last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, (last[column - 1] ?? 0) + same);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, (before[column - 2] ?? 0) + 1);
      }
      current.push(cost);
    }
    [before, last] = [last, current];
  }
  return last[b.length] ?? 0;
}
