/** Paths as a snapshot spells them: what is allowed, and how bytes that are no text are written. */

import { CONTROL_NAME } from "../attributes.ts";
import { NAME_MAX } from "../tree/path.ts";
import { quote, type SnapshotPlace } from "./error.ts";

/** Splits an absolute, normalised path of bytes; none for the root. Throws SnapshotError where it is anything else. */
export function splitPath(path: string, limit: number, place: SnapshotPlace): string[] {
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
    throw place.createError(`/${CONTROL_NAME} is llmfs's own and cannot be restored`, "remove the entry");
  return names;
}

/** Why bytes can be no name of a file, or undefined if they can. */
function nameFault(name: string): string | undefined {
  if (name === "") return 'has an empty component ("//", or "/" at the end)';
  if (name === "." || name === "..") return `has a component "${name}"; paths are normalised and stay in the tree`;
  if (name.length > NAME_MAX) return `has a component of ${name.length} bytes; at most ${NAME_MAX} are possible`;
  if (name.includes("\0")) return "holds a NUL byte";
  return undefined;
}

/** Bytes as ASCII: a backslash doubled, a byte that is not printable ASCII as \xNN. */
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

/** The inverse of escapeBytes; other bytes stand for themselves. Undefined where a backslash is followed by neither. */
export function unescapeBytes(text: string): string | undefined {
  if (!text.includes("\\")) return text;
  let wrong = false;
  const bytes = text.replace(/\\(\\|x([0-9a-fA-F]{2}))?/g, (_match, what?: string, digits?: string) => {
    if (what === undefined) wrong = true;
    return digits === undefined ? "\\" : String.fromCharCode(Number.parseInt(digits, 16));
  });
  return wrong ? undefined : bytes;
}
