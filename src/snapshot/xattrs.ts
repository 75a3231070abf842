/** Extended attributes of an entry: text if they are valid text, otherwise base64. */
import { XATTR_NAME_MAX, XATTR_SIZE_MAX } from "../tree/xattrs.ts";
import { unescapeBytes } from "./entry-names.ts";
import { quote, type SnapshotPosition } from "./error.ts";
import type { JsonReader } from "./read/json.ts";
import { decodeBase64 } from "./read/read-content.ts";

/** The xattr namespaces of Linux. A name outside of them cannot be read by any program. */
const NAMESPACES = ["user.", "trusted.", "security.", "system."];

/** Does not check the names: they may be escaped, and "escaped" may follow later in the entry. */
export function readXattrs(reader: JsonReader, place: SnapshotPosition): Map<string, Uint8Array> {
  const xattrs = new Map<string, Uint8Array>();
  reader.readObject('"xattrs"', (name) => {
    if (reader.surrogates)
      throw place.createError(`the xattr ${quote(name)} contains a lone surrogate`, 'add "escaped": true to the entry');
    xattrs.set(name, readValue(reader, place, name));
  });
  return xattrs;
}

/** The same with names as bytes, if all of them are valid. Throws SnapshotError. */
export function checkXattrs(
  xattrs: Map<string, Uint8Array>,
  escaped: boolean,
  place: SnapshotPosition,
): Map<string, Uint8Array> {
  // Only listxattr(2) limits the length of all names together; setxattr(2) does not, here and on tmpfs.
  const checked = new Map<string, Uint8Array>();
  for (const [text, value] of xattrs) {
    const name = escaped ? unescapeBytes(text) : text;
    if (name === undefined) throw place.createError(`the xattr ${quote(text)} has a backslash that escapes nothing`);
    if (name.length > XATTR_NAME_MAX || name.includes("\0"))
      throw place.createError(`the xattr ${quote(name)} is longer than ${XATTR_NAME_MAX} bytes or contains a NUL byte`);
    if (!NAMESPACES.some((prefix) => name.startsWith(prefix) && name.length > prefix.length))
      throw place.createError(
        `the xattr ${quote(name)} is in no xattr namespace of Linux`,
        `rename it, such as to ${quote(`user.${name}`)}`,
      );
    checked.set(name, value);
  }
  if (checked.size < xattrs.size) throw place.createError("an xattr occurs twice, escaped in two ways");
  return checked;
}

function readValue(reader: JsonReader, place: SnapshotPosition, name: string): Uint8Array {
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
      else throw place.createError(`${what} must be text or {"base64": …}`);
    });
    if (!given) throw place.createError(`${what} must be text or {"base64": …}`);
  } else
    parse((bytes) => {
      if (reader.surrogates) throw place.createError(`${what} contains a lone surrogate`, 'use {"base64": …}');
      return Uint8Array.from(bytes);
    });
  const [only] = parts;
  return parts.length === 1 && only !== undefined ? only : Uint8Array.from(Buffer.concat(parts));
}
