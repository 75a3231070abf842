/**
 * Durations. A value that somebody sets has one notation everywhere, in flags, configurations and attributes: "500ms", "90s", "5m".
 * A time in a sentence has a space and the usual abbreviation: "90 s", "5 min".
 */

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

type Unit = keyof typeof UNITS;

/** The notation, as a part of a regular expression. */
export const DURATION = String.raw`(\d+(?:\.\d+)?)(ms|s|m|h|d|w)`;
const WHOLE = new RegExp(`^${DURATION}$`);

/** Converts "500ms", "90s", "1.5h" or "2w" to milliseconds. Undefined for anything else, such as a number without a unit. */
export function parseDuration(text: string): number | undefined {
  const [, number, unit] = WHOLE.exec(text) ?? [];
  return number === undefined || !isUnit(unit) ? undefined : Number(number) * UNITS[unit];
}

function isUnit(unit: string | undefined): unit is Unit {
  return unit !== undefined && Object.hasOwn(UNITS, unit);
}

/** The inverse of `parseDuration`, in the largest unit of which it is a whole number: 300,000 is "5m", and 90,000 is "90s". */
export function formatDuration(ms: number): string {
  const units = ["d", "h", "m", "s"] as const;
  const unit = units.find((one) => ms >= UNITS[one] && ms % UNITS[one] === 0) ?? (ms > 1000 ? "s" : "ms");
  return `${ms / UNITS[unit]}${unit}`;
}

/** For a sentence: 0.05 s, 90 s, 5 min, 2 h. */
export function formatTimeSpan(ms: number): string {
  if (ms >= UNITS.h && ms % UNITS.h === 0) return `${ms / UNITS.h} h`;
  if (ms >= UNITS.m && ms % UNITS.m === 0) return `${ms / UNITS.m} min`;
  return `${Number((ms / 1000).toPrecision(ms < 100_000 ? 3 : 6))} s`;
}

/** Seconds for JSON, in whole milliseconds. `begun` is of the monotonic clock, in milliseconds. */
export function secondsSince(begun: number): number {
  return Math.round(performance.now() - begun) / 1000;
}
