/**
 * Writes a file's content: text as lines, anything else as base64, holes as holes.
 *
 * These are generators, so that the saver can stop between any two fragments. They yield JSON text, or the number of
 * bytes examined while there is nothing to write yet. Content may be too large to fit into memory twice.
 */
import { isUtf8 } from "node:buffer";
import { BASE64_PIECE, TEXT_PIECE } from "../format.ts";
import type { FrozenFile } from "./copy-on-write.ts";

export type Fragments<T = void> = Generator<string | number, T>;

/** A multiple of BASE64_PIECE, and much larger than TEXT_PIECE. */
const WINDOW = BASE64_PIECE * 128;
const window = Buffer.alloc(WINDOW);
const NEWLINE = 0x0a;
const SEPARATOR = ",\n      ";
const BASE64_CHARACTERS = (BASE64_PIECE / 3) * 4;

/** `, "text": …` or `, "base64": …`, with each element on its own line. */
export function* formatContent(content: FrozenFile): Fragments {
  if (content.size === 0) yield ', "text": ""';
  else if (yield* isText(content)) yield* formatText(content);
  else yield* formatBase64(content);
}

/** Whether it is valid UTF-8 without NUL bytes. Holes read as NUL bytes. */
function* isText(content: FrozenFile): Fragments<boolean> {
  const [first] = content.extents();
  if (first?.start !== 0 || first.end !== content.size) return false;
  for (let at = 0; at < content.size; ) {
    const bytes = read(content, at, content.size);
    const last = at + bytes.length === content.size;
    const whole = last ? bytes.length : findCharacterStart(bytes, bytes.length);
    const part = bytes.subarray(0, whole);
    if (whole === 0 || part.includes(0) || !isUtf8(part)) return false;
    at += whole;
    if (!last) yield whole;
  }
  return true;
}

function* formatText(content: FrozenFile): Fragments {
  let opening = ', "text": [\n      ';
  for (let at = 0; at < content.size; ) {
    const bytes = read(content, at, content.size);
    const pieces = cutText(bytes, at + bytes.length === content.size);
    const [first = ""] = pieces.texts;
    if (at === 0 && pieces.length === content.size && pieces.texts.length === 1) {
      yield `, "text": ${JSON.stringify(first)}`;
      return;
    }
    // It was text when it was examined and is not any more: the kernel may write without asking (passthrough).
    if (!isUtf8(bytes.subarray(0, pieces.length))) {
      yield `${opening}{"base64": "${bytes.toString("base64")}"}`;
      at += bytes.length;
    } else {
      yield opening + pieces.texts.map((text) => JSON.stringify(text)).join(SEPARATOR);
      at += pieces.length;
    }
    opening = SEPARATOR;
  }
  yield "\n    ]";
}

interface Pieces {
  readonly texts: readonly string[];
  /** The total length in bytes. */
  readonly length: number;
}

/** Cuts text into pieces, up to the last boundary that is certain: all of it if these are the `last` bytes. */
function cutText(bytes: Buffer, last: boolean): Pieces {
  const end = last ? bytes.length : bytes.lastIndexOf(NEWLINE) + 1;
  // All at once if no line is too long, as in nearly every file.
  if (end > 0 && !hasLongLine(bytes.subarray(0, end)))
    return { texts: bytes.toString("utf8", 0, end).split(/(?<=\n)/), length: end };
  const texts: string[] = [];
  let done = 0;
  for (let next = findPieceEnd(bytes, done, last); next > done; next = findPieceEnd(bytes, done, last)) {
    texts.push(bytes.toString("utf8", done, next));
    done = next;
  }
  return { texts, length: done };
}

function hasLongLine(bytes: Buffer): boolean {
  for (let at = 0; bytes.length - at > TEXT_PIECE; ) {
    const newline = bytes.lastIndexOf(NEWLINE, at + TEXT_PIECE - 1);
    if (newline < at) return true;
    at = newline + 1;
  }
  return false;
}

/** The end of the piece of text that begins at `start`; `start` if it depends on bytes that are not here yet. */
function findPieceEnd(bytes: Buffer, start: number, last: boolean): number {
  const newline = bytes.indexOf(NEWLINE, start);
  const end = newline === -1 ? bytes.length : newline + 1;
  if (end - start > TEXT_PIECE) return findCharacterStart(bytes, start + TEXT_PIECE);
  return newline === -1 && !last ? start : end;
}

/** The start of the character that contains the byte at `at`. */
function findCharacterStart(bytes: Buffer, at: number): number {
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

function* formatBase64(content: FrozenFile): Fragments {
  const [only] = content.extents();
  if (only?.start === 0 && only.end === content.size && content.size <= BASE64_PIECE) {
    yield `, "base64": "${read(content, 0, content.size).toString("base64")}"`;
    return;
  }
  let opening = ', "base64": [\n      ';
  let at = 0;
  for (const { start, end } of content.extents()) {
    if (start > at) {
      yield `${opening}{"hole": ${start - at}}`;
      opening = SEPARATOR;
    }
    for (at = start; at < end; ) {
      const bytes = read(content, at, end);
      const text = bytes.toString("base64");
      let out = "";
      for (let done = 0; done < text.length; done += BASE64_CHARACTERS) {
        out += `${opening}"${text.slice(done, done + BASE64_CHARACTERS)}"`;
        opening = SEPARATOR;
      }
      at += bytes.length;
      yield out;
    }
  }
  if (at < content.size) yield `${opening}{"hole": ${content.size - at}}`;
  yield "\n    ]";
}

function read(content: FrozenFile, from: number, to: number): Buffer {
  const bytes = window.subarray(0, Math.min(WINDOW, to - from));
  content.read(from, bytes);
  return bytes;
}
