/**
 * Names are bytes; people, models and JSON use text.
 *
 * In the tree a name is a string with one character for each byte (Latin-1): lossless, and fast as a key. As text it is
 * UTF-8; a byte that is not part of valid UTF-8 becomes a lone surrogate U+DC80 to U+DCFF (as in Python's PEP 383), so
 * that any name can be converted to text and back.
 */

/** Longest name, in bytes. */
export const NAME_MAX = 255;

/** Bytes as text. */
export function toText(bytes: string): string {
  if (isAscii(bytes)) return bytes;
  const buffer = Buffer.from(bytes, "latin1");
  const text = buffer.toString("utf8");
  if (!text.includes("\uFFFD")) return text;
  return decodeEscaping(buffer);
}

/** Text as bytes; the inverse of toText. */
export function toBytes(text: string): string {
  if (isAscii(text)) return text;
  if (text.isWellFormed()) return Buffer.from(text, "utf8").toString("latin1");
  let bytes = "";
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    bytes +=
      code >= 0xdc80 && code <= 0xdcff
        ? String.fromCharCode(code - 0xdc00)
        : Buffer.from(character, "utf8").toString("latin1");
  }
  return bytes;
}

/** The components of a path, without "" and ".". */
export function components(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/** `parent` + "/" + `name`; the root is "/". */
export function join(parent: string, name: string): string {
  return parent === "/" ? `/${name}` : `${parent}/${name}`;
}

/** Orders names by their bytes, the same on every machine and in every locale. */
export function compareBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 127) return false;
  return true;
}

function decodeEscaping(bytes: Buffer): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    text += length === 0 ? String.fromCharCode(0xdc00 + (bytes[at] ?? 0)) : bytes.toString("utf8", at, at + length);
    at += Math.max(1, length);
  }
  return text;
}

/** The length of the valid UTF-8 sequence at `at` in bytes; 0 if there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || at + length > bytes.length) return 0;
  const text = bytes.toString("utf8", at, at + length);
  return Buffer.from(text, "utf8").equals(bytes.subarray(at, at + length)) ? length : 0;
}
