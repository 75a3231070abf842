/** What is wanted of a page: its items, and what leads to the next one. In the helper, if the page is large. */
import type { JSONValue } from "json-p3";
import { FsError } from "../../../errno.ts";
import { parseExactJson } from "../../formats/json.ts";

/** JSONPath ("$.results[*]") or JSON pointer ("/results") each; absent: the whole answer, and nothing. */
export interface PageQuestion {
  readonly items?: string;
  readonly next?: string;
}

export interface PageAnswer {
  readonly items: readonly unknown[];
  /** Undefined where there is nothing. */
  readonly next: unknown;
}

/** Rejects with FsError EIO for what is no JSON, or has no list where the items should be. */
export async function pageIn(text: string, { items, next }: PageQuestion): Promise<PageAnswer> {
  const document = parseDocument(text);
  return {
    items: await findItems(document, items),
    next: next === undefined ? undefined : await valueAt(document, next),
  };
}

/** A path that goes straight to its place: others may take time by the square of the page, or a power of it. */
export function isStraight(path: string | undefined): boolean {
  return path?.startsWith("$") !== true || /^\$(?:\.[A-Za-z_]\w{0,99}|\[\*\]|\[\d{1,9}\]|\.\*){0,20}$/.test(path);
}

function parseDocument(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch (cause) {
    const why = cause instanceof RangeError ? "is nested too deeply" : "is no JSON";
    throw new FsError("EIO", `the answer ${why}`, { cause });
  }
}

/** The items: what the JSONPath finds, or the elements of the list the pointer leads to. */
async function findItems(document: unknown, where: string | undefined): Promise<readonly unknown[]> {
  if (where?.startsWith("$") === true) {
    const { jsonpath } = await import("json-p3");
    const values: unknown[] = jsonpath.query(where, jsonOf(document)).values();
    const [only] = values;
    return values.length === 1 && Array.isArray(only) ? only : values;
  }
  const value = where === undefined ? document : await valueAt(document, where);
  if (Array.isArray(value)) return value;
  throw new FsError("EIO", `the option "items": there is no list at ${where ?? "the top of the answer"}`);
}

/** Undefined where there is nothing. */
async function valueAt(document: unknown, where: string): Promise<unknown> {
  const { jsonpath, JSONPointer } = await import("json-p3");
  const whole = jsonOf(document);
  return where.startsWith("$")
    ? jsonpath.query(where, whole).values()[0]
    : new JSONPointer(where).resolve(whole, undefined);
}

function jsonOf(document: unknown): JSONValue {
  // It was parsed from JSON.
  return document as JSONValue;
}
