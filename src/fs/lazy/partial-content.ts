/**
 * Content that arrives in pieces. It belongs to no file yet, so no reader sees any of it. It counts toward the tree's
 * space from the first byte, so that content that does not fit is rejected as soon as that is known.
 */
import { FsError } from "../../errno.ts";
import { Content } from "../../tree/content/content.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Space } from "../../tree/space.ts";

export class PartialContent {
  #content: Content | undefined;
  /** The reason why it can never be complete. */
  error: FsError | undefined;

  constructor(space: Space) {
    this.#content = new Content(space);
  }

  get size(): number {
    return this.#requireContent().size;
  }

  /** Throws ENOSPC and similar errors. After that nothing is kept, and nothing can be added. */
  append(bytes: Uint8Array): void {
    if (this.error !== undefined) throw this.error;
    const content = this.#requireContent();
    const { size } = content;
    try {
      if (content.write(size, bytes) < bytes.length) throw new FsError("ENOSPC");
    } catch (error) {
      const { code, message } = FsError.from(error);
      this.error = new FsError(code, `${size + bytes.length} bytes were generated so far: ${message}`);
      this.dispose();
      throw this.error;
    }
  }

  /** Whether it equals the content of the file. */
  equals(file: RegularFile): boolean {
    const content = this.#requireContent();
    if (content.size !== file.size) return false;
    for (let at = 0; at < content.size; at += COMPARED.length) {
      const length = content.read(at, COMPARED);
      const other = OTHER.subarray(0, file.read(at, OTHER));
      if (Buffer.compare(COMPARED.subarray(0, length), other) !== 0) return false;
    }
    return true;
  }

  /** Moves it into a file, replacing the file's content. */
  moveTo(file: RegularFile): void {
    file.adopt(this.#requireContent());
    this.#content = undefined;
  }

  /** Frees everything that was not moved to a file. */
  dispose(): void {
    this.#content?.dispose();
    this.#content = undefined;
  }

  #requireContent(): Content {
    if (this.#content === undefined) throw new Error("the draft is gone");
    return this.#content;
  }
}

/** Filled and read within one call. */
const COMPARED = new Uint8Array(256 * 1024);
const OTHER = new Uint8Array(256 * 1024);
