/** Puts a file's content together from the pieces in the snapshot: text, base64 and holes. */
import { FsError } from "../../errno.ts";
import { MAX_FILE_SIZE, type RegularFile } from "../../tree/file.ts";
import type { SnapshotPosition } from "../error.ts";
import { STRING_LIMIT } from "../format.ts";
import type { JsonReader } from "./json.ts";

const STAGE = 1 << 20;
const NO_PIECE = 'a piece of content must be text, {"hole": bytes} or {"base64": text}';

/** Reads one file at a time; the staging buffer is reused for the next file. */
export class PieceReader {
  readonly #reader: JsonReader;
  readonly #place: SnapshotPosition;
  readonly #stage = Buffer.alloc(STAGE);
  #staged = 0;
  #offset = 0;

  constructor(reader: JsonReader, place: SnapshotPosition) {
    this.#reader = reader;
    this.#place = place;
  }

  /** Reads the value of `text` or `base64`, a string or an array of pieces, into an empty file. */
  read(file: RegularFile, encoding: "text" | "base64"): void {
    this.#offset = 0;
    if (this.#reader.peek() === "string") this.#readPiece(file, encoding);
    else
      this.#reader.readArray(`"${encoding}"`, () => {
        if (this.#reader.peek() === "object") this.#readOther(file);
        else this.#readPiece(file, encoding);
      });
    this.#flush(file);
    if (this.#offset > file.size) file.truncate(this.#offset);
  }

  #readPiece(file: RegularFile, encoding: "text" | "base64"): void {
    const bytes = this.#reader.readBytes(`a piece of "${encoding}"`, STRING_LIMIT);
    if (encoding === "text") {
      if (this.#reader.surrogates) throw this.#place.createError('"text" contains a lone surrogate', 'use "base64"');
      this.#append(file, bytes);
    } else this.#decode(file, bytes.toString("latin1"));
  }

  #append(file: RegularFile, bytes: Uint8Array): void {
    if (bytes.length > STAGE - this.#staged) this.#flush(file);
    if (bytes.length > STAGE) {
      this.#write(file, bytes);
      return;
    }
    this.#stage.set(bytes, this.#staged);
    this.#staged += bytes.length;
  }

  #decode(file: RegularFile, text: string): void {
    if (text.length > STAGE) {
      this.#append(file, decodeBase64(text, this.#place));
      return;
    }
    if (text.length > STAGE - this.#staged) this.#flush(file);
    try {
      const { written } = this.#stage.subarray(this.#staged).setFromBase64(text, { lastChunkHandling: "strict" });
      this.#staged += written;
    } catch (error) {
      throw createBase64Error(this.#place, error);
    }
  }

  /** `{"hole": bytes}`, or `{"base64": …}` among text. */
  #readOther(file: RegularFile): void {
    let seen = 0;
    this.#reader.readObject("a piece", (key) => {
      if (key === "base64") this.#readPiece(file, key);
      else if (key === "hole") this.#readHole(file);
      else throw this.#place.createError(NO_PIECE);
      seen++;
    });
    if (seen !== 1) throw this.#place.createError(NO_PIECE);
  }

  #readHole(file: RegularFile): void {
    const length = this.#reader.readInteger('"hole"', 1, MAX_FILE_SIZE);
    this.#flush(file);
    this.#offset += length;
    if (this.#offset > MAX_FILE_SIZE) throw this.#place.createError("the content exceeds the maximum file size");
  }

  #flush(file: RegularFile): void {
    if (this.#staged === 0) return;
    this.#write(file, this.#stage.subarray(0, this.#staged));
    this.#staged = 0;
  }

  #write(file: RegularFile, bytes: Uint8Array): void {
    if (file.write(this.#offset, bytes) < bytes.length) throw new FsError("ENOSPC");
    this.#offset += bytes.length;
  }
}

/** Throws SnapshotError. */
export function decodeBase64(text: string, place: SnapshotPosition): Uint8Array {
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch (error) {
    throw createBase64Error(place, error);
  }
}

function createBase64Error(place: SnapshotPosition, cause: unknown): Error {
  return place.createError("a piece is not valid base64", "each piece must be complete base64, with its own padding", {
    cause,
  });
}
