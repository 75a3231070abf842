/** Reads and checks the options of a rule. Each message names the option and the expected value. */
import { parseDuration } from "../../text/duration.ts";

export type Options = Readonly<Record<string, unknown>>;

export function readText(options: Options, name: string): string | undefined {
  const value = options[name];
  if (value === undefined || typeof value === "string") return value;
  throw new Error(`the option "${name}" must be text`);
}

export function requireText(options: Options, name: string, example: string): string {
  const value = readText(options, name);
  if (value === undefined || value === "") throw new Error(`the option "${name}" is missing, such as ${example}`);
  return value;
}

export function readFlag(options: Options, name: string): boolean {
  const value = options[name];
  if (value === undefined) return false;
  if (typeof value === "boolean") return value;
  throw new Error(`the option "${name}" must be true or false`);
}

export function readCount(options: Options, name: string, otherwise: number, least = 0): number {
  const value = options[name];
  if (value === undefined) return otherwise;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`the option "${name}" must be a whole number, ${least} or more`);
}

export function readTexts(options: Options, name: string): readonly string[] {
  const value = options[name];
  if (value === undefined) return [];
  if (typeof value === "string") return [value];
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw new Error(`the option "${name}" must be a list of texts`);
}

/** Reads an object whose values are strings, numbers or booleans, and converts the values to strings. */
export function readTextMap(options: Options, name: string): ReadonlyMap<string, string> {
  const value = options[name];
  const map = new Map<string, string>();
  if (value === undefined) return map;
  if (!isRecord(value)) throw new Error(`the option "${name}" must be an object of texts`);
  for (const [key, one] of Object.entries(value)) {
    if (typeof one !== "string" && typeof one !== "number" && typeof one !== "boolean") {
      throw new Error(`"${key}" in the option "${name}" must be text`);
    }
    map.set(key, String(one));
  }
  return map;
}

/** Rejects options that the generator does not know, which are usually misspelt. */
export function refuseUnknownOptions(options: Options, known: readonly string[]): void {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`unknown option "${unknown}"; expected one of: ${known.join(", ")}`);
}

/** The longest delay of a timer. */
const LONGEST_MS = 2 ** 31 - 1;

/** Reads a time limit: more than zero, and at most the longest delay of a timer. */
export function readDuration(options: Options, name: string): number | undefined {
  const text = readText(options, name);
  if (text === undefined) return undefined;
  const found = parseDuration(text);
  if (found !== undefined && found >= 1 && found <= LONGEST_MS) return found;
  throw new Error(`the option "${name}" is "${text}"; expected a time from 1ms to 24d, such as "30s"`);
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
