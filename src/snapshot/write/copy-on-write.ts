/** A file's content as it was at one moment, while the file keeps changing: pages are copied before they change. */
import { FsError } from "../../errno.ts";
import { atMost } from "../../int64.ts";
import { PAGE } from "../../tree/content/store.ts";
import { MAX_FILE_SIZE, type RegularFile } from "../../tree/file.ts";

/** A range with data: from `start` up to but not including `end`. */
export interface FrozenExtent {
  readonly start: number;
  readonly end: number;
}

export class FrozenFile {
  #file: RegularFile;
  readonly size: number;
  /** Taken before the first change, or when first requested. */
  #extents: readonly FrozenExtent[] | undefined;
  /** The old content of pages that have changed. Invariant: a page that is not here is unchanged in the file. */
  readonly #kept = new Map<number, Uint8Array>();

  constructor(file: RegularFile, size = file.size) {
    if (size > MAX_FILE_SIZE)
      throw new FsError("EFBIG", `a file of ${file.exactSize} bytes is too large for a snapshot`);
    this.#file = file;
    this.size = size;
  }

  /** From now on, the same content is in another file. */
  onMove(file: RegularFile): void {
    this.#file = file;
  }

  /** Call before `length` bytes from `offset` on change or are cut off. */
  keep(offset: number, length: number): void {
    const end = Math.min(offset + length, this.size);
    for (const extent of this.extents()) {
      const last = Math.ceil(Math.min(end, extent.end) / PAGE);
      for (let page = Math.floor(Math.max(offset, extent.start) / PAGE); page < last; page++) {
        const first = page;
        while (page < last && !this.#kept.has(page)) page++;
        if (page > first) this.#keepPages(first, page);
      }
    }
  }

  #keepPages(first: number, end: number): void {
    const bytes = new Uint8Array(Math.min(end * PAGE, this.size) - first * PAGE);
    this.#file.read(first * PAGE, bytes);
    for (let page = first; page < end; page++)
      this.#kept.set(page, bytes.subarray((page - first) * PAGE, (page - first + 1) * PAGE));
  }

  /** In order, with holes between them. */
  extents(): readonly FrozenExtent[] {
    this.#extents ??= [...extentsOf(this.#file, this.size)];
    return this.#extents;
  }

  /** Fills `target`. Precondition: the range lies within one extent. */
  read(offset: number, target: Uint8Array): void {
    if (this.#kept.size === 0) {
      this.#readFile(offset, target);
      return;
    }
    for (let done = 0; done < target.length; ) {
      const at = offset + done;
      const page = Math.floor(at / PAGE);
      const part = target.subarray(done, Math.min(target.length, done + (page + 1) * PAGE - at));
      const kept = this.#kept.get(page);
      if (kept === undefined) this.#readFile(at, part);
      else part.set(kept.subarray(at - page * PAGE, at - page * PAGE + part.length));
      done += part.length;
    }
  }

  /**
   * A file that the kernel writes without asking (passthrough) may have become shorter: zeros replace what is missing.
   */
  #readFile(offset: number, target: Uint8Array): void {
    const count = this.#file.read(offset, target);
    if (count < target.length) target.fill(0, count);
  }
}

function* extentsOf(file: RegularFile, size: number): Generator<FrozenExtent> {
  for (let at = 0; at < size; ) {
    const start = file.nextData(at);
    if (start === undefined || start >= size) return;
    const end = atMost(file.nextHole(start) ?? size, size);
    yield { start: Number(start), end };
    at = end;
  }
}
