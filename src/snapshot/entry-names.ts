/** Paths as a snapshot spells them: which are allowed, and how bytes that are not text are escaped. */

import { CONTROL_NAME } from "../attributes.ts";
import { NAME_MAX } from "../tree/path.ts";
import { quote, type SnapshotPosition } from "./error.ts";

/** Splits an absolute, normalised path of bytes; the root has no parts. Throws SnapshotError for any other path. */
export function splitPath(path: string, limit: number, place: SnapshotPosition): string[] {
  if (path === "/") return [];
  if (path.length > limit) throw place.createError(`the path ${quote(path)} is longer than ${limit} bytes`);
  if (!path.startsWith("/"))
    throw place.createError(`the path ${quote(path)} is not absolute`, `write ${quote(`/${path}`)}`);
  const names = path.slice(1).split("/");
  for (const name of names) {
    const wrong = nameFault(name);
    if (wrong !== undefined) throw place.createError(`the path ${quote(path)} ${wrong}`);
  }
  if (names[0] === CONTROL_NAME)
    throw place.createError(`/${CONTROL_NAME} is reserved for llmfs and cannot be restored`, "remove the entry");
  return names;
}

/** Why these bytes cannot be a file name; undefined if they can. */
function nameFault(name: string): string | undefined {
  if (name === "") return 'has an empty component ("//", or "/" at the end)';
  if (name === "." || name === "..") return `has a component "${name}"; paths must be normalised`;
  if (name.length > NAME_MAX) return `has a component of ${name.length} bytes; the maximum is ${NAME_MAX}`;
  if (name.includes("\0")) return "contains a NUL byte";
  return undefined;
}

/** Bytes as ASCII: each backslash is doubled, and each byte that is not printable ASCII becomes \xNN. */
export function escapeBytes(bytes: string): string {
  let text = "";
  for (let at = 0; at < bytes.length; at++) {
    const code = bytes.charCodeAt(at);
    if (code === 0x5c) text += "\\\\";
    else if (code >= 0x20 && code < 0x7f) text += bytes.charAt(at);
    else text += `\\x${code.toString(16).padStart(2, "0")}`;
  }
  return text;
}

/** The inverse of escapeBytes; other bytes stay as they are. Undefined if a backslash is followed by neither. */
export function unescapeBytes(text: string): string | undefined {
  if (!text.includes("\\")) return text;
  let wrong = false;
  const bytes = text.replace(/\\(\\|x([0-9a-fA-F]{2}))?/g, (_match, what?: string, digits?: string) => {
    if (what === undefined) wrong = true;
    return digits === undefined ? "\\" : String.fromCharCode(Number.parseInt(digits, 16));
  });
  return wrong ? undefined : bytes;
}
