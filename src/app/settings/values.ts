/** Values as people write them: sizes, times, counts, paths. Every reader names the flag in its error. */

import { createValueError } from "../errors.ts";
import { absolutePath } from "../machine/current-directory.ts";

const UNITS = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 } as const;
const SECONDS = { ms: 0.001, s: 1, "": 1, m: 60, h: 3600 } as const;

/** No file with content takes less memory. */
const PAGE = 4096;
/** What a number without a unit means is bytes, and fewer than this are more likely a forgotten unit. */
const BARE_LEAST = 2 ** 20;

/** `512M`, `2GiB`, `1048576`, `65536B`, or a share of `whole`: `50%`. Bytes, a page or more. */
export function parseSize(flag: string, text: string, whole: () => number): number {
  const share = /^(\d+(?:\.\d+)?)%$/.exec(text);
  if (share?.[1] !== undefined) {
    const percent = Number(share[1]);
    if (percent > 0 && percent <= 100) return requireRoom(flag, text, Math.floor((whole() * percent) / 100));
  }
  const [, number, unit = "", b = ""] = /^(\d+(?:\.\d+)?)\s*([kmgt]?)((?:i?b)?)$/i.exec(text) ?? [];
  const factor = lookUp(UNITS, unit.toLowerCase());
  const bytes = number === undefined || factor === undefined ? Number.NaN : Math.floor(Number(number) * factor);
  if (!Number.isSafeInteger(bytes) || bytes < 0 || Number(number) === 0) {
    throw createValueError(flag, `${flag} ${text}: expected a size, as 512M, 2G or 25%`);
  }
  if (unit === "" && b === "" && bytes < BARE_LEAST) {
    throw createValueError(
      flag,
      `${flag} ${text}: a number without a unit is bytes; did you mean ${text}M? For bytes write ${text}B`,
    );
  }
  return requireRoom(flag, text, bytes);
}

function requireRoom(flag: string, text: string, bytes: number): number {
  if (bytes >= PAGE) return bytes;
  throw createValueError(flag, `${flag} ${text}: ${bytes} bytes cannot hold a single file; the least is 4K`);
}

/** `30s`, `10m`, `1h`, `500ms`; a bare number is seconds. Milliseconds, `least` or more. */
export function parseDuration(flag: string, text: string, least = 1): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h|)$/.exec(text) ?? [];
  const factor = lookUp(SECONDS, unit);
  const milliseconds = number === undefined || factor === undefined ? 0 : Math.round(Number(number) * factor * 1000);
  // A timer's longest delay: 2^31 - 1 ms, nearly 25 days.
  if (milliseconds >= least && milliseconds < 2 ** 31) return milliseconds;
  if (milliseconds > 0 && milliseconds < least) {
    throw createValueError(
      flag,
      `${flag} ${text}: too short; the least is ${least < 1000 ? `${least}ms` : `${least / 1000}s`}`,
    );
  }
  throw createValueError(flag, `${flag} ${text}: expected a time, as 30s, 10m or 1h`);
}

/** A whole number from `least` up. */
export function parseCount(flag: string, text: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  const range = most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `from ${least} to ${most}`;
  throw createValueError(flag, `${flag} ${text}: expected a whole number, ${range}`);
}

/** An amount of money, "5", "0.25" or "$2". */
export function parseAmount(flag: string, text: string): number {
  const number = /^\$?\d+(\.\d+)?$/.test(text) ? Number(text.replace("$", "")) : Number.NaN;
  if (Number.isFinite(number)) return number;
  throw createValueError(flag, `${flag} ${text}: expected an amount in dollars, as 5 or 0.25`);
}

export function parseAbsolutePath(flag: string, text: string): string {
  if (text === "") throw createValueError(flag, `${flag} is empty; a path is needed`);
  return absolutePath(text);
}

export function parseOptional<T>(text: string | undefined, read: (text: string) => T): T | undefined {
  return text === undefined ? undefined : read(text);
}

function lookUp<T extends Record<string, number>>(table: T, key: string): number | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
