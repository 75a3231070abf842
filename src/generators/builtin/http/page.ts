/** Extracts from a page its items and the link to the next page. Runs in the helper if the page is large. */
import type { JSONValue } from "json-p3";
import { FsError } from "../../../errno.ts";
import { parseExactJson } from "../../formats/json.ts";

/** A JSONPath ("$.results[*]") or JSON pointer ("/results") each; absent: the whole response, and no next page. */
export interface PageQuestion {
  readonly items?: string;
  readonly next?: string;
}

export interface PageAnswer {
  readonly items: readonly unknown[];
  /** Undefined if there is none. */
  readonly next: unknown;
}

/** Rejects with FsError EIO if the text is not JSON, or has no list at the place of the items. */
export async function pageIn(text: string, { items, next }: PageQuestion): Promise<PageAnswer> {
  const document = parseDocument(text);
  return {
    items: await findItems(document, items),
    next: next === undefined ? undefined : await valueAt(document, next),
  };
}

/** Whether a path leads directly to one place: others may take quadratic time in the size of the page, or worse. */
export function isStraight(path: string | undefined): boolean {
  return path?.startsWith("$") !== true || /^\$(?:\.[A-Za-z_]\w{0,99}|\[\*\]|\[\d{1,9}\]|\.\*){0,20}$/.test(path);
}

function parseDocument(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch (cause) {
    const why = cause instanceof RangeError ? "is nested too deeply" : "is not JSON";
    throw new FsError("EIO", `the response ${why}`, { cause });
  }
}

/** The items: the matches of the JSONPath, or the elements of the list that the pointer leads to. */
async function findItems(document: unknown, where: string | undefined): Promise<readonly unknown[]> {
  if (where?.startsWith("$") === true) {
    const { jsonpath } = await import("json-p3");
    const values: unknown[] = jsonpath.query(where, jsonOf(document)).values();
    const [only] = values;
    return values.length === 1 && Array.isArray(only) ? only : values;
  }
  const value = where === undefined ? document : await valueAt(document, where);
  if (Array.isArray(value)) return value;
  throw new FsError("EIO", `the option "items": there is no list at ${where ?? "the top of the response"}`);
}

/** Undefined if there is none. */
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
