/** Parses sizes, times, counts and paths. Every error names the flag. */

import { formatDuration, parseDuration } from "../../text/duration.ts";
import { createValueError } from "../errors.ts";
import { absolutePath } from "../machine/current-directory.ts";

const UNITS = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 } as const;

/** The smallest amount of memory for a file with content. */
const PAGE = 4096;
/** A number without a unit is in bytes. Fewer than this are probably a forgotten unit. */
const BARE_LEAST = 2 ** 20;

/** Parses `512M`, `2GiB`, `1048576`, `65536B`, or a share of `whole` such as `50%`. Returns bytes, at least one page. */
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
    throw createValueError(flag, `${flag} ${text}: expected a size such as 512M, 2G or 25%`);
  }
  if (unit === "" && b === "" && bytes < BARE_LEAST) {
    throw createValueError(
      flag,
      `${flag} ${text}: a number without a unit is in bytes; did you mean ${text}M? For bytes, write ${text}B`,
    );
  }
  return requireRoom(flag, text, bytes);
}

function requireRoom(flag: string, text: string, bytes: number): number {
  if (bytes >= PAGE) return bytes;
  throw createValueError(flag, `${flag} ${text}: ${bytes} bytes cannot hold a single file; the minimum is 4K`);
}

/** Parses `30s`, `10m`, `1d`, `500ms`; a number without a unit is in seconds. Returns milliseconds, at least `least`. */
export function parseTimeLimit(flag: string, text: string, least = 1): number {
  const milliseconds = Math.round(parseDuration(withUnit(text)) ?? 0);
  // The longest delay of a timer is 2^31 - 1 ms, nearly 25 days.
  if (milliseconds >= least && milliseconds < 2 ** 31) return milliseconds;
  if (milliseconds > 0 && milliseconds < least) {
    throw createValueError(flag, `${flag} ${text}: too short; the minimum is ${formatDuration(least)}`);
  }
  throw createValueError(flag, `${flag} ${text}: expected a time such as 30s, 10m or 1h`);
}

/** Parses an age: `30s`, `12h`, `1d`, `2w` or `0`; a number without a unit is in seconds. Returns milliseconds. */
export function parseAge(flag: string, text: string): number {
  const age = parseDuration(withUnit(text));
  if (age !== undefined) return age;
  throw createValueError(flag, `${flag} ${text}: expected an age such as 12h, 1d, 2w or 0`);
}

function withUnit(text: string): string {
  return /^\d+(?:\.\d+)?$/.test(text) ? `${text}s` : text;
}

/** Parses a whole number, at least `least`. */
export function parseCount(flag: string, text: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  const range = most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `from ${least} to ${most}`;
  throw createValueError(flag, `${flag} ${text}: expected a whole number, ${range}`);
}

/** Parses an amount of money: "5", "0.25" or "$2". */
export function parseAmount(flag: string, text: string): number {
  const number = /^\$?\d+(\.\d+)?$/.test(text) ? Number(text.replace("$", "")) : Number.NaN;
  if (Number.isFinite(number)) return number;
  throw createValueError(flag, `${flag} ${text}: expected an amount in dollars such as 5 or 0.25`);
}

/** `folder`: what a relative path starts from, if not the current directory. */
export function parseAbsolutePath(flag: string, text: string, folder?: string): string {
  if (text === "") throw createValueError(flag, `${flag} is empty; expected a path`);
  return absolutePath(text, folder);
}

export function parseSwitch(source: string, text: string): boolean {
  if (/^(0|false|no|off)$/i.test(text)) return false;
  if (/^(1|true|yes|on)$/i.test(text)) return true;
  throw createValueError(source, `${source} ${text}: expected 1 or 0`);
}

export function parseOptional<T>(text: string | undefined, read: (text: string) => T): T | undefined {
  return text === undefined ? undefined : read(text);
}

function lookUp<T extends Record<string, number>>(table: T, key: string): number | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
