/**
 * Limits how much a database client reads at a time. Both clients buffer a row, and what is read ahead, until it is
 * complete: a row larger than the maximum size of its file would fill the memory before anybody could check it.
 */
import type { EventEmitter } from "node:events";
import { FsError } from "../../../errno.ts";
import type { SqlValue } from "./rows.ts";

/**
 * A value takes up to four times as many bytes on the wire as in a file: a length before it, or two digits for a byte.
 */
const WIRE = 4;
const AROUND = 1024 * 1024;

export class Intake implements Disposable {
  readonly #stream: EventEmitter;
  readonly #most: number;
  readonly #maxBytes: number;
  readonly #stop: (error: FsError) => void;
  #taken = 0;

  /** `stream` is the client's source; `stop` is called if too much arrives, and closes the connection. */
  constructor(stream: EventEmitter, maxBytes: number, stop: (error: FsError) => void) {
    this.#stream = stream;
    this.#maxBytes = maxBytes;
    this.#most = maxBytes * WIRE + AROUND;
    this.#stop = stop;
    // Before the client reads it.
    stream.prependListener("data", this.#count);
  }

  /** Bytes since the last call: earlier ones have been used. */
  used(): number {
    const taken = this.#taken;
    this.#taken = 0;
    return taken;
  }

  [Symbol.dispose](): void {
    this.#stream.removeListener("data", this.#count);
  }

  readonly #count = (bytes: Uint8Array): void => {
    this.#taken += bytes.length;
    if (this.#taken > this.#most) this.#stop(createTooLargeError(this.#maxBytes));
  };
}

/** Throws FsError EFBIG for a row that is larger than its file may be. */
export function checkRow(row: readonly SqlValue[], maxBytes: number): void {
  let size = 0;
  for (const value of row) size += sizeOf(value);
  if (size > maxBytes) throw createTooLargeError(maxBytes);
}

export function sizeOf(value: SqlValue): number {
  if (typeof value === "string" || value instanceof Uint8Array) return value.length;
  return typeof value === "object" && value !== null ? value.json.length : 8;
}

function createTooLargeError(maxBytes: number): FsError {
  return new FsError(
    "EFBIG",
    `a row of the query has more than ${maxBytes} bytes; raise the limit with the rule's "maxBytes"`,
  );
}
