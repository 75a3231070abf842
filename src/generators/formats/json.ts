import { FsError } from "../../errno.ts";

declare global {
  /** From ECMAScript's "JSON.parse source text access", which TypeScript does not support yet. */
  interface JSON {
    rawJSON(text: string): object;
    isRawJSON(value: unknown): boolean;
  }
}

/** Parses a document and keeps numbers as written if JavaScript cannot represent them. Throws SyntaxError. */
export function parseExactJson(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, about?: { readonly source?: string }) =>
    typeof value === "number" && about?.source !== undefined && about.source !== String(value)
      ? JSON.rawJSON(about.source)
      : value,
  );
}

/** Formats a value as indented JSON with a final newline. Throws FsError EIO if JSON cannot represent it. */
export function formatJsonFile(value: unknown, origin: string): string {
  let compact: string | undefined;
  try {
    // Without indentation, JavaScriptCore detects a cycle immediately. With indentation, it first fills the stack, which takes seconds.
    compact = JSON.stringify(value);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new FsError("EIO", `${origin} returned a value that JSON cannot represent: ${why}`, { cause });
  }
  // JSON cannot represent a Map, a Set or a Promise, and formats them as "{}"; NaN becomes null, and a buffer a list.
  if (compact === "{}" && !isPlain(value)) compact = undefined;
  if (ArrayBuffer.isView(value) || (typeof value === "number" && !Number.isFinite(value))) compact = undefined;
  if (compact === undefined) {
    throw new FsError(
      "EIO",
      `${origin} returned ${kindOf(value)}; expected text, bytes (a Uint8Array) or a JSON value`,
    );
  }
  return `${JSON.stringify(JSON.parse(compact), null, 2)}\n`;
}

function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // A plain object from another realm has a prototype whose prototype is null.
  return "toJSON" in value || prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** The kind of a value for messages. */
export function kindOf(value: unknown): string {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return value === null
    ? "null"
    : typeof value === "undefined"
      ? "nothing"
      : typeof value === "object"
        ? "an object"
        : `a ${typeof value}`;
}
