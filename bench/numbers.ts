/** What the reports do with measured numbers. */

/** The middle one; if there are two in the middle, the higher. NaN without any numbers. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Ignores NaN. */
export function geometricMean(numbers: readonly number[]): number {
  const known = numbers.filter((number) => !Number.isNaN(number));
  return Math.exp(known.reduce((sum, number) => sum + Math.log(number), 0) / known.length);
}

/** Three significant digits, or all digits before the point. */
export function formatNumber(number: number): string {
  if (Number.isNaN(number)) return "–";
  return number >= 100 ? number.toFixed(0) : number >= 10 ? number.toFixed(1) : number.toFixed(2);
}
