/** Points in time as decimal text: exact to the nanosecond, unlike a number. */
import type { Time } from "../tree/inode.ts";

const NANO = 1_000_000_000;

/** "1735689600.25": seconds since the epoch, with as many decimals as needed. */
export function formatTime(seconds: number, nanoseconds: number): string {
  if (nanoseconds === 0) return String(seconds);
  // Before the epoch, nanoseconds still count forwards: -2 s and 0.75 s is -1.25.
  const negative = seconds < 0;
  const whole = negative ? -seconds - 1 : seconds;
  const fraction = String(negative ? NANO - nanoseconds : nanoseconds).padStart(9, "0");
  return `${negative ? "-" : ""}${whole}.${fraction.replace(/0+$/, "")}`;
}

/** The inverse; more than nine decimals are cut off. Undefined if the text is not a time. */
export function parseTime(text: string): Time | undefined {
  const match = /^(-?)(\d{1,16})(?:\.(\d+))?$/.exec(text);
  if (match === null) return undefined;
  const [, sign, digits = "", decimals = ""] = match;
  const whole = Number(digits);
  const fraction = Number(decimals.slice(0, 9).padEnd(9, "0"));
  if (!Number.isSafeInteger(whole + 1)) return undefined;
  if (sign !== "-") return { seconds: whole, nanoseconds: fraction };
  return fraction === 0
    ? { seconds: 0 - whole, nanoseconds: 0 }
    : { seconds: -whole - 1, nanoseconds: NANO - fraction };
}
