/**
 * A content that comes in pieces. It is no file's yet, so nobody sees any of it; it counts against the tree's space from
 * the first byte on, so that what does not fit is refused as soon as that is known.
 */
import { FsError } from "../../errno.ts";
import { Content } from "../../tree/content/content.ts";
import type { RegularFile } from "../../tree/file.ts";
import type { Space } from "../../tree/space.ts";

export class PartialContent {
  #content: Content | undefined;
  /** Why it can never be whole. */
  error: FsError | undefined;

  constructor(space: Space) {
    this.#content = new Content(space);
  }

  get size(): number {
    return this.#requireContent().size;
  }

  /** Throws FsError ENOSPC and the like; nothing is kept then, and nothing can be added. */
  append(bytes: Uint8Array): void {
    if (this.error !== undefined) throw this.error;
    const content = this.#requireContent();
    const { size } = content;
    try {
      if (content.write(size, bytes) < bytes.length) throw new FsError("ENOSPC");
    } catch (error) {
      const { code, message } = FsError.from(error);
      this.error = new FsError(code, `${size + bytes.length} bytes were generated, and more was to come: ${message}`);
      this.dispose();
      throw this.error;
    }
  }

  /** Whether it is what the file holds already. */
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

  /** Makes it the content of a file, in the place of what that holds. */
  moveTo(file: RegularFile): void {
    file.adopt(this.#requireContent());
    this.#content = undefined;
  }

  /** Gives back what no file took. */
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
