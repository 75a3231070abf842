/**
 * Writes a file's content: text as lines, anything else as base64, holes as holes.
 *
 * Generators, so that the saver can stop between any two fragments: they yield JSON text, or, where bytes were looked at
 * and nothing is to be written yet, how many. Content may be larger than memory has room for a second time.
 */
import { isUtf8 } from "node:buffer";
import { BASE64_PIECE, TEXT_PIECE } from "./format.ts";
import type { FrozenContent } from "./frozen.ts";

export type Fragments<T = void> = Generator<string | number, T>;

/** A multiple of BASE64_PIECE, and a good deal larger than TEXT_PIECE. */
const WINDOW = BASE64_PIECE * 128;
const window = Buffer.alloc(WINDOW);
const NEWLINE = 0x0a;

/** `, "text": …` or `, "base64": …`, elements on lines of their own. */
export function* contentFragments(content: FrozenContent): Fragments {
  if (content.size === 0) yield ', "text": ""';
  else if (yield* isText(content)) yield* textFragments(content);
  else yield* base64Fragments(content);
}

/** Valid UTF-8 without NUL, and without holes, which are NULs. */
function* isText(content: FrozenContent): Fragments<boolean> {
  const [first] = content.extents();
  if (first?.start !== 0 || first.end !== content.size) return false;
  for (let at = 0; at < content.size; ) {
    const bytes = read(content, at, content.size);
    const last = at + bytes.length === content.size;
    const whole = last ? bytes.length : characterStart(bytes, bytes.length);
    const part = bytes.subarray(0, whole);
    if (whole === 0 || part.includes(0) || !isUtf8(part)) return false;
    at += whole;
    if (!last) yield whole;
  }
  return true;
}

function* textFragments(content: FrozenContent): Fragments {
  const separator = ",\n      ";
  let pieces = 0;
  let out = "";
  for (let at = 0; at < content.size; ) {
    const bytes = read(content, at, content.size);
    const last = at + bytes.length === content.size;
    let done = 0;
    for (let end = pieceEnd(bytes, done, last); end > done; end = pieceEnd(bytes, done, last)) {
      const piece = JSON.stringify(bytes.toString("utf8", done, end));
      if (pieces === 0 && at + end === content.size) {
        yield `, "text": ${piece}`;
        return;
      }
      out += pieces === 0 ? `, "text": [\n      ${piece}` : separator + piece;
      pieces++;
      done = end;
    }
    at += done;
    yield out;
    out = "";
  }
  yield "\n    ]";
}

/** Where the piece of text that begins at `start` ends; `start` where more bytes must be seen to know. */
function pieceEnd(bytes: Buffer, start: number, last: boolean): number {
  const newline = bytes.indexOf(NEWLINE, start);
  const end = newline === -1 ? bytes.length : newline + 1;
  if (end - start > TEXT_PIECE) return characterStart(bytes, start + TEXT_PIECE);
  return newline === -1 && !last ? start : end;
}

/** The beginning of the character that the byte at `at` belongs to, or would if there were one. */
function characterStart(bytes: Buffer, at: number): number {
  for (let back = 1; back <= 3 && back <= at; back++) {
    const byte = bytes[at - back] ?? 0;
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length > back ? at - back : at;
    }
    if (byte < 0x80) return at;
  }
  return at;
}

function* base64Fragments(content: FrozenContent): Fragments {
  const [first] = content.extents();
  if (first?.start === 0 && first.end === content.size && content.size <= BASE64_PIECE) {
    yield `, "base64": "${read(content, 0, content.size).toString("base64")}"`;
    return;
  }
  let separator = ', "base64": [\n      ';
  let at = 0;
  for (const { start, end } of content.extents()) {
    if (start > at) {
      yield `${separator}{"hole": ${start - at}}`;
      separator = ",\n      ";
    }
    for (at = start; at < end; ) {
      const bytes = read(content, at, end);
      let out = "";
      for (let done = 0; done < bytes.length; done += BASE64_PIECE) {
        out += `${separator}"${bytes.toString("base64", done, Math.min(done + BASE64_PIECE, bytes.length))}"`;
        separator = ",\n      ";
      }
      at += bytes.length;
      yield out;
    }
  }
  if (at < content.size) yield `${separator}{"hole": ${content.size - at}}`;
  yield "\n    ]";
}

function read(content: FrozenContent, from: number, to: number): Buffer {
  const bytes = window.subarray(0, Math.min(WINDOW, to - from));
  content.read(from, bytes);
  return bytes;
}
