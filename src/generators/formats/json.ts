import { FsError } from "../../errno.ts";

declare global {
  /** Of ECMAScript's "JSON.parse source text access", of which TypeScript does not know yet. */
  interface JSON {
    rawJSON(text: string): object;
    isRawJSON(value: unknown): boolean;
  }
}

/** A parsed document in which numbers that JavaScript cannot hold stay as they are written. Throws SyntaxError. */
export function parseExactJson(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, about?: { readonly source?: string }) =>
    typeof value === "number" && about?.source !== undefined && about.source !== String(value)
      ? JSON.rawJSON(about.source)
      : value,
  );
}

/** A value as indented JSON with a final newline. Throws FsError EIO for what JSON cannot hold. */
export function formatJsonFile(value: unknown, origin: string): string {
  let compact: string | undefined;
  try {
    // A circle is found at once here; with indentation, JavaScriptCore first fills the stack (seconds).
    compact = JSON.stringify(value);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FsError("EIO", `${origin} returned a value that JSON cannot hold: ${why}`, { cause });
  }
  // A Map, a Set, a Promise: JSON has no words for them, and says "{}".
  if (compact === "{}" && !isPlain(value)) compact = undefined;
  if (compact === undefined) {
    throw new FsError("EIO", `${origin} returned ${kindOf(value)} where text, bytes or a JSON value is expected`);
  }
  return `${JSON.stringify(JSON.parse(compact), null, 2)}\n`;
}

function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // Of an object from another realm the prototype's own prototype is null.
  return "toJSON" in value || prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** What kind of value it is, for messages. */
export function kindOf(value: unknown): string {
  return value === null
    ? "null"
    : typeof value === "undefined"
      ? "nothing"
      : typeof value === "object"
        ? "an object"
        : `a ${typeof value}`;
}
