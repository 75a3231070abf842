/**
 * Reads JSON from a stream, one value after the other, so that the text is never in memory as a whole.
 *
 * Stricter than JSON.parse where that helps people: a duplicate key is an error, every error names a line, and values
 * longer or deeper than the caller allows are refused before they are read. Strings are byte strings (Latin-1
 * characters that stand for UTF-8 bytes), like names in the tree. This file knows nothing about snapshots.
 */
import { isUtf8 } from "node:buffer";
import type { SnapshotPosition } from "../error.ts";
import { quote } from "../error.ts";
import type { ByteSource } from "./source.ts";

export type Kind = "object" | "array" | "string" | "number" | "literal";

/** A JSON value with its objects as maps; strings are byte strings. */
export type ParsedJson = string | number | boolean | null | ParsedJson[] | Map<string, ParsedJson>;

const KEY_MAX = 1 << 20;
const DEPTH_MAX = 64;
const [QUOTE, BACKSLASH, SLASH, COMMA, COLON, SPACE, NEWLINE] = [0x22, 0x5c, 0x2f, 0x2c, 0x3a, 0x20, 0x0a];
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY] = [0x7b, 0x7d, 0x5b, 0x5d];
/** How tar, gzip and zstd begin. */
const ARCHIVES = [
  { at: 257, magic: Buffer.from("ustar") },
  { at: 0, magic: Buffer.from([0x1f, 0x8b]) },
  { at: 0, magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) },
];
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

export class JsonReader {
  readonly #source: ByteSource;
  readonly #place: SnapshotPosition;
  #buffer = Buffer.alloc(1 << 18);
  #at = 0;
  #end = 0;
  #ended = false;
  #depth = 0;
  #scratch = Buffer.alloc(1 << 12);
  /**
   * The last string contained a lone surrogate U+DC80 to U+DCFF, which was read as the byte 80 to FF (Python's
   * "surrogateescape"). The caller decides whether that is allowed.
   */
  surrogates = false;

  constructor(source: ByteSource, place: SnapshotPosition) {
    this.#source = source;
    this.#place = place;
    this.#place.line = 1;
    this.#fill();
    if (this.#end === 0) throw place.createError("the file is empty");
    if (isArchive(this.#buffer.subarray(0, this.#end))) {
      throw place.createError(
        "this is an archive or compressed, not JSON",
        "llmfs import makes a snapshot of an archive",
      );
    }
    if (this.#buffer.subarray(0, 3).equals(BYTE_ORDER_MARK)) this.#at = 3;
  }

  /** The kind of the next value. Throws at the end of the text. */
  peek(): Kind {
    const byte = this.#peekByte();
    if (byte === QUOTE) return "string";
    if (byte === OPEN_OBJECT) return "object";
    if (byte === OPEN_ARRAY) return "array";
    if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) return "number";
    if (byte === 0x74 || byte === 0x66 || byte === 0x6e) return "literal";
    throw this.#createUnexpectedError("a value");
  }

  /** Reads an object: `member` is called with each key and must read the value. */
  readObject(what: string, member: (key: string) => void): void {
    this.#expect("object", what);
    const keys = new Set<string>();
    this.#readSequence(CLOSE_OBJECT, () => {
      if (this.#peekByte() !== QUOTE) throw this.#createUnexpectedError("a key in quotes");
      const key = this.readString("a key", KEY_MAX);
      if (keys.has(key))
        throw this.#place.createError(`the key ${quote(key)} occurs twice in one object`, "remove one");
      keys.add(key);
      if (this.#peekByte() !== COLON) throw this.#createUnexpectedError('":" after a key');
      this.#at++;
      member(key);
    });
  }

  /** The first key of an object; undefined if it is empty. Nothing can be read afterwards. */
  readFirstKey(what: string): string | undefined {
    this.#expect("object", what);
    this.#at++;
    return this.#peekByte() === CLOSE_OBJECT ? undefined : this.readString("a key", KEY_MAX);
  }

  /** Reads an array: `element` is called for each element and must read it. */
  readArray(what: string, element: () => void): void {
    this.#expect("array", what);
    this.#readSequence(CLOSE_ARRAY, element);
  }

  /** A string as a byte string. `limit` counts bytes. */
  readString(what: string, limit: number): string {
    const bytes = this.readBytes(what, limit);
    return bytes.toString("latin1");
  }

  /** A string as UTF-8 bytes, valid until the next call. */
  readBytes(what: string, limit: number): Buffer {
    this.#expect("string", what);
    this.surrogates = false;
    let buffer = this.#buffer;
    let start = this.#at + 1;
    let at = start;
    let seen = 0;
    let escaped = false;
    for (;;) {
      if (at >= this.#end) {
        // No escape needs more than six characters for one byte.
        if (at - start > limit * (escaped ? 6 : 1))
          throw this.#place.createError(`${what} is longer than ${limit} bytes`);
        if (!this.#fill()) throw this.#place.createError("the text ends inside a string", "the file is truncated");
        at -= start - 1;
        start = 1;
        buffer = this.#buffer;
        continue;
      }
      const byte = buffer[at] ?? 0;
      if (byte === QUOTE) break;
      if (byte === BACKSLASH) {
        escaped = true;
        at++;
      } else if (byte < SPACE) throw this.#createControlError(byte);
      seen |= byte;
      at++;
    }
    this.#at = at + 1;
    const raw = buffer.subarray(start, at);
    if (seen >= 0x80 && !isUtf8(raw))
      throw this.#place.createError(`${what} is not valid UTF-8`, "convert the file to UTF-8");
    const bytes = escaped ? this.#unescape(raw) : raw;
    if (bytes.length > limit) throw this.#place.createError(`${what} is longer than ${limit} bytes`);
    return bytes;
  }

  /** A whole number from `min` to `max`. */
  readInteger(what: string, min: number, max: number): number {
    const value = this.readNumber(what);
    if (!Number.isSafeInteger(value) || value < min || value > max)
      throw this.#place.createError(`${what} is ${value}, not a whole number from ${min} to ${max}`);
    return value;
  }

  readNumber(what: string): number {
    this.#expect("number", what);
    const text = this.#readWord();
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text))
      throw this.#place.createError(`${quote(text)} is not a number`);
    return Number(text);
  }

  /** true, false or null. */
  readLiteral(): boolean | null {
    const text = this.#readWord();
    if (text === "true") return true;
    if (text === "false") return false;
    if (text === "null") return null;
    throw this.#place.createError(`${quote(text)} is not a JSON value`);
  }

  readBoolean(what: string): boolean {
    this.#expect("literal", what);
    const value = this.readLiteral();
    if (value === null) throw this.#place.createError(`${what} is null, not true or false`);
    return value;
  }

  /** The next value, whole. `limit` applies to every string. */
  readValue(what: string, limit: number): ParsedJson {
    const kind = this.peek();
    if (kind === "string") return this.readString(what, limit);
    if (kind === "number") return this.readNumber(what);
    if (kind === "literal") return this.readLiteral();
    if (kind === "array") {
      const values: ParsedJson[] = [];
      this.readArray(what, () => values.push(this.readValue(what, limit)));
      return values;
    }
    const map = new Map<string, ParsedJson>();
    this.readObject(what, (key) => map.set(key, this.readValue(what, limit)));
    return map;
  }

  /** Requires that only white space follows. */
  finish(): void {
    if (this.#skip() !== undefined) throw this.#createUnexpectedError("the end of the file");
  }

  #expect(kind: Kind, what: string): void {
    const found = this.peek();
    if (found !== kind) throw this.#place.createError(`${what} is ${article(found)}, not ${article(kind)}`);
  }

  /** Reads up to the closing bracket. The next byte is the opening one. */
  #readSequence(close: number, element: () => void): void {
    this.#at++;
    if (++this.#depth > DEPTH_MAX) throw this.#place.createError(`nesting exceeds ${DEPTH_MAX} levels`);
    if (this.#peekByte() !== close) {
      for (;;) {
        element();
        const byte = this.#peekByte();
        if (byte === close) break;
        if (byte !== COMMA) throw this.#createUnexpectedError(`"," or "${String.fromCharCode(close)}"`);
        this.#at++;
      }
    }
    this.#at++;
    this.#depth--;
  }

  /** A run of characters that are not punctuation. */
  #readWord(): string {
    let text = "";
    for (;;) {
      if (this.#at >= this.#end && !this.#fill()) return text;
      const byte = this.#buffer[this.#at] ?? 0;
      const letter = (byte | SPACE) >= 0x61 && (byte | SPACE) <= 0x7a;
      if (!letter && !(byte >= 0x30 && byte <= 0x39) && byte !== 0x2b && byte !== 0x2d && byte !== 0x2e) return text;
      text += String.fromCharCode(byte);
      if (text.length > 400) throw this.#place.createError(`${quote(text)} is not a JSON value`);
      this.#at++;
    }
  }

  /** The next byte that is not white space, without consuming it. */
  #peekByte(): number {
    const byte = this.#skip();
    if (byte === undefined) throw this.#place.createError("the text ends too early", "the file is truncated");
    return byte;
  }

  #skip(): number | undefined {
    for (;;) {
      if (this.#at >= this.#end && !this.#fill()) return undefined;
      const byte = this.#buffer[this.#at] ?? 0;
      if (byte === NEWLINE) this.#place.line = (this.#place.line ?? 1) + 1;
      else if (byte !== SPACE && byte !== 0x09 && byte !== 0x0d) return byte;
      this.#at++;
    }
  }

  /** Reads more of the source, and keeps everything from #at on. Returns false at the end of the source. */
  #fill(): boolean {
    if (this.#ended) return false;
    const rest = this.#end - this.#at;
    if (rest === this.#buffer.length) {
      const larger = Buffer.alloc(this.#buffer.length * 2);
      this.#buffer.copy(larger, 0, this.#at, this.#end);
      this.#buffer = larger;
    } else if (this.#at > 0) this.#buffer.copyWithin(0, this.#at, this.#end);
    this.#at = 0;
    const count = this.#source.read(this.#buffer.subarray(rest));
    this.#end = rest + count;
    if (count === 0) this.#ended = true;
    return count > 0;
  }

  #unescape(raw: Buffer): Buffer {
    if (this.#scratch.length < raw.length) this.#scratch = Buffer.alloc(raw.length * 2);
    const out = this.#scratch;
    let length = 0;
    for (let at = 0; at < raw.length; ) {
      const byte = raw[at] ?? 0;
      if (byte !== BACKSLASH) {
        out[length++] = byte;
        at++;
        continue;
      }
      const letter = raw[at + 1] ?? 0;
      at += 2;
      if (letter !== 0x75) {
        const plain = ESCAPES.get(letter);
        if (plain === undefined)
          throw this.#place.createError(`"\\${String.fromCharCode(letter)}" is not a JSON escape`);
        out[length++] = plain;
        continue;
      }
      let code = this.#readHex(raw, at);
      at += 4;
      if (code >= 0xd800 && code <= 0xdbff && raw[at] === BACKSLASH && raw[at + 1] === 0x75) {
        const low = this.#readHex(raw, at + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
          at += 6;
        }
      }
      if (code >= 0xdc80 && code <= 0xdcff) {
        this.surrogates = true;
        out[length++] = code - 0xdc00;
      } else if (code >= 0xd800 && code <= 0xdfff)
        throw this.#place.createError(`\\u${code.toString(16)} is a lone surrogate`, "surrogates must come in pairs");
      else length += out.write(String.fromCodePoint(code), length, "utf8");
    }
    return out.subarray(0, length);
  }

  #readHex(raw: Buffer, at: number): number {
    const digits = raw.toString("latin1", at, at + 4);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw this.#place.createError(`"\\u${digits}" is not a JSON escape`);
    return Number.parseInt(digits, 16);
  }

  #createControlError(byte: number): Error {
    return this.#place.createError(
      byte === NEWLINE ? "a string does not end on its line" : `a string holds the control character ${byte} unescaped`,
    );
  }

  #createUnexpectedError(wanted: string): Error {
    const byte = this.#buffer[this.#at] ?? 0;
    return this.#place.createError(
      `expected ${wanted}, found ${quote(String.fromCharCode(byte))}`,
      "this is not valid JSON",
    );
  }
}

const ESCAPES = new Map([
  [QUOTE, QUOTE],
  [BACKSLASH, BACKSLASH],
  [SLASH, SLASH],
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
]);

function article(kind: Kind): string {
  if (kind === "literal") return "true, false or null";
  return kind === "object" || kind === "array" ? `an ${kind}` : `a ${kind}`;
}

function isArchive(start: Buffer): boolean {
  return ARCHIVES.some(({ at, magic }) => start.subarray(at, at + magic.length).equals(magic));
}
