/** Extended attributes of an entry: text where they are text, else base64. */
import { XATTR_LIST_MAX, XATTR_NAME_MAX, XATTR_SIZE_MAX } from "../tree/xattrs.ts";
import { unescapeBytes } from "./entry-names.ts";
import { quote, type SnapshotPlace } from "./error.ts";
import type { JsonReader } from "./read/json.ts";
import { decodeBase64 } from "./read/read-content.ts";

/** The namespaces Linux has; a name in none of them cannot be asked for. */
const NAMESPACES = ["user.", "trusted.", "security.", "system."];

/** Names are not checked: they may be escaped, which may be said behind them. */
export function readXattrs(reader: JsonReader, place: SnapshotPlace): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  reader.readObject('"xattrs"', (name) => {
    if (reader.surrogates)
      throw place.createError(`the xattr ${quote(name)} holds half a character`, 'it needs "escaped": true');
    xattrs.set(name, readValue(reader, place, name));
  });
  return xattrs;
}

/** The same with names as bytes, if all of them can be names. Throws SnapshotError. */
export function checkXattrs(
  xattrs: Map<string, Uint8Array>,
  escaped: boolean,
  place: SnapshotPlace,
): Map<string, Uint8Array> {
  const checked = new Map<string, Uint8Array>();
  let total = 0;
  for (const [text, value] of xattrs) {
    const name = escaped ? unescapeBytes(text) : text;
    if (name === undefined) throw place.createError(`the xattr ${quote(text)} has a backslash that escapes nothing`);
    if (name.length > XATTR_NAME_MAX || name.includes("\0"))
      throw place.createError(`the xattr ${quote(name)} is longer than ${XATTR_NAME_MAX} bytes or holds a NUL byte`);
    if (!NAMESPACES.some((prefix) => name.startsWith(prefix) && name.length > prefix.length))
      throw place.createError(
        `the xattr ${quote(name)} is in no namespace of Linux's`,
        `such as ${quote(`user.${name}`)}`,
      );
    total += name.length + 1;
    if (total > XATTR_LIST_MAX)
      throw place.createError(`the names of its xattrs are longer than ${XATTR_LIST_MAX} bytes`);
    checked.set(name, value);
  }
  if (checked.size < xattrs.size) throw place.createError("an xattr comes twice, escaped in two ways");
  return checked;
}

function readValue(reader: JsonReader, place: SnapshotPlace, name: string): Uint8Array {
  const what = `the xattr ${quote(name)}`;
  const parts: Uint8Array[] = [];
  let total = 0;
  const part = (decode: (bytes: Buffer) => Uint8Array) => {
    const bytes = decode(reader.readBytes(what, XATTR_SIZE_MAX * 2));
    total += bytes.length;
    if (total > XATTR_SIZE_MAX) throw place.createError(`${what} is longer than ${XATTR_SIZE_MAX} bytes`);
    parts.push(bytes);
  };
  const parse = (decode: (bytes: Buffer) => Uint8Array) => {
    if (reader.peek() === "array") reader.readArray(what, () => part(decode));
    else part(decode);
  };
  if (reader.peek() === "object") {
    let given = false;
    reader.readObject(what, (key) => {
      given = key === "base64";
      if (given) parse((bytes) => decodeBase64(bytes.toString("latin1"), place));
      else throw place.createError(`${what} is text or {"base64": …}`);
    });
    if (!given) throw place.createError(`${what} is text or {"base64": …}`);
  } else
    parse((bytes) => {
      if (reader.surrogates) throw place.createError(`${what} holds half a character`, 'use {"base64": …}');
      return Uint8Array.from(bytes);
    });
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : Uint8Array.from(Buffer.concat(parts));
}
