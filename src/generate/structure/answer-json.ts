/**
 * Reads the JSON of a layout's answer.
 *
 * Models that are not held to the schema often return the right lists in a slightly wrong form. A form that can only mean
 * one thing is accepted here instead of being sent back, because an answer can only be corrected a few times.
 */
import { extractJson } from "../../generators/builtin/clean-answer.ts";

/** The lists of an answer. */
const LISTS: ReadonlySet<string> = new Set(["files", "directories", "symlinks", "executable", "unfinished"]);

/** How many objects around the answer are removed. */
const MOST_WRAPPERS = 3;

/** Returns the members of the answer by name, or the reason why there are none. */
export function readLists(answer: string): ReadonlyMap<string, unknown> | string {
  let value: unknown;
  try {
    value = parseJson(answer);
  } catch (error) {
    return `it is not JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
  const lists = unwrap(value);
  return lists ?? "it is not a JSON object";
}

/** Throws the error of JSON.parse, whose words do not depend on the other attempts. */
function parseJson(answer: string): unknown {
  const text = extractJson(answer);
  try {
    return JSON.parse(text);
  } catch (error) {
    for (const other of [listIn(answer), text]) {
      try {
        if (other !== undefined) return Bun.JSONC.parse(other);
      } catch {
        // It is not JSON with trailing commas or comments either.
      }
    }
    throw error;
  }
}

/** A list without an object around it. A list that follows a brace may be a part of an answer that was cut off. */
function listIn(answer: string): string | undefined {
  const [start, end] = [answer.indexOf("["), answer.lastIndexOf("]")];
  const brace = answer.indexOf("{");
  return start >= 0 && start < brace && end > brace ? answer.slice(start, end + 1) : undefined;
}

/** `{"tree": {"files": …}}`, `[{"files": …}]` and `[{"path": …}]` all have one meaning. */
function unwrap(value: unknown): ReadonlyMap<string, unknown> | undefined {
  let inner = value;
  for (let wrappers = 0; wrappers <= MOST_WRAPPERS; wrappers += 1) {
    if (Array.isArray(inner)) {
      if (inner.length > 0 && inner.every(isFile)) return new Map([["files", inner]]);
      if (inner.length !== 1) return undefined;
      inner = inner[0];
    }
    if (typeof inner !== "object" || inner === null) return undefined;
    const members = new Map<string, unknown>(Object.entries(inner));
    if ([...members.keys()].some((name) => LISTS.has(name))) return members;
    if (isFile(inner)) return new Map([["files", [inner]]]);
    const nested = [...members.values()].filter((member) => typeof member === "object" && member !== null);
    if (nested.length !== 1) return members;
    inner = nested[0];
  }
  return undefined;
}

function isFile(item: unknown): boolean {
  return typeof item === "object" && item !== null && "path" in item && typeof item.path === "string";
}
