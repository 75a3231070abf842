/**
 * Control files whose content is produced while they are read, for at most SLICE_MS at a time. The mount answers other
 * requests in between, however large the tree is.
 */
import { FsError } from "../../errno.ts";
import { type Header, PARKED, type Parked } from "../../fuse/ops.ts";
import { printable } from "../../text/printable.ts";
import type { FsContext } from "../context.ts";
import { SLICE_MS, type Timer } from "../waiting/timers.ts";
import type { ControlHandle, Opener, ReadableFile } from "./directory.ts";

/** Produces a control file's content for one open. */
export interface Production {
  /** Returns the next piece within SLICE_MS: an empty piece if none is ready yet, undefined at the end. */
  next(): Uint8Array | undefined;
  close?(): void;
}

export interface ProducedOptions {
  /** Whether all pieces are kept until the file is closed. Default: only the last piece is. */
  readonly keeps?: boolean;
}

interface Piece {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/**
 * A control file whose content is produced in pieces while it is read. If only the last piece is kept, a program may seek
 * back within it (`head` returns to the end of its last line); a read from before it fails with ESPIPE.
 */
export function serveStream(
  mount: Pick<FsContext, "timers" | "session">,
  begin: (opener?: Opener) => Production,
  options: ProducedOptions = {},
): ReadableFile {
  return (opener) => new ProducedFile(mount, begin(opener), options.keeps ?? false);
}

/** A read, and how much of its target is filled. */
interface Read {
  readonly unique: number;
  readonly offset: number;
  readonly target: Buffer;
  length: number;
}

/** As with any regular file, a read returns less than requested only at the end: some programs rely on that. */
class ProducedFile implements ControlHandle {
  readonly #mount: Pick<FsContext, "timers" | "session">;
  readonly #production: Production;
  readonly #keeps: boolean;
  /** In order, without gaps. */
  #pieces: Piece[] = [];
  #end = 0;
  #complete = false;
  /** Parked reads. They are answered in order, so that no piece is dropped while an earlier read needs it. */
  readonly #reads: Read[] = [];
  #timer: Timer | undefined;

  constructor(mount: Pick<FsContext, "timers" | "session">, production: Production, keeps: boolean) {
    this.#mount = mount;
    this.#production = production;
    this.#keeps = keeps;
  }

  read(offset: number, target: Buffer, { unique }: Header): number | Parked {
    const read: Read = { unique, offset, target, length: 0 };
    if (this.#reads.length === 0 && this.#fill(read)) return read.length;
    // The session builds its next reply in `target`, so the data must be copied.
    this.#reads.push({ ...read, target: Buffer.from(target) });
    this.#continueLater();
    return PARKED;
  }

  leave(unique: number): boolean {
    const read = this.#reads.find((waiting) => waiting.unique === unique);
    if (read === undefined) return false;
    this.#reads.splice(this.#reads.indexOf(read), 1);
    // A piece that was copied for this read may have been dropped since.
    if (read.length > 0) this.#answer(read);
    else this.#mount.session().fail(unique, new FsError("EINTR", "interrupted"));
    return true;
  }

  close(): void {
    this.#timer?.cancel();
    this.#reads.length = 0;
    this.#production.close?.();
  }

  #continueLater(): void {
    if (this.#reads.length === 0) return;
    this.#timer ??= this.#mount.timers.schedule(0, () => {
      this.#timer = undefined;
      this.#continue();
    });
  }

  #continue(): void {
    const read = this.#reads[0];
    if (read === undefined) return; // interrupted
    try {
      if (this.#fill(read)) {
        this.#reads.shift();
        this.#answer(read);
      }
    } catch (error) {
      this.#reads.shift();
      const failure = FsError.from(error);
      this.#mount.session().fail(read.unique, failure);
    }
    this.#continueLater();
  }

  #answer({ unique, target, length }: Read): void {
    this.#mount.session().answerData(unique, target.subarray(0, length));
  }

  /** Works for at most SLICE_MS. Returns whether the read is complete. */
  #fill(read: Read): boolean {
    const { timers } = this.#mount;
    const until = timers.now + SLICE_MS;
    while (read.length < read.target.length) {
      const at = read.offset + read.length;
      if (at < (this.#pieces[0]?.start ?? 0))
        throw new FsError("ESPIPE", "cannot seek back: earlier parts of this file are not kept");
      const piece = at < this.#end ? this.#pieces.findLast(({ start }) => start <= at) : undefined;
      if (piece !== undefined) {
        const part = piece.bytes.subarray(at - piece.start, at - piece.start + read.target.length - read.length);
        read.target.set(part, read.length);
        read.length += part.length;
      } else if (this.#complete) return true;
      else if (timers.now >= until) return false;
      else this.#produce();
    }
    return true;
  }

  #produce(): void {
    const bytes = this.#production.next();
    if (bytes === undefined) this.#complete = true;
    else if (bytes.length > 0) {
      if (!this.#keeps) this.#pieces = [];
      this.#pieces.push({ start: this.#end, bytes });
      this.#end += bytes.length;
    }
  }
}

/** A control file with a text that is produced when it is opened. The text contains no escape sequences. */
export function serveText(make: () => string): ReadableFile {
  return () => {
    const bytes = Buffer.from(printable(make()), "utf8");
    return { read: (offset, target) => bytes.subarray(offset).copy(target) };
  };
}

/** A piece of this length, in UTF-16 units, is complete. */
const PIECE = 64 * 1024;

/**
 * Like `serveText`, for a text of any length, given in parts. Each part contains whole characters; undefined stands for
 * a step that yields no text. Each step must be short.
 */
export function serveLongText(
  mount: Pick<FsContext, "timers" | "session">,
  make: () => Iterator<string | undefined>,
): ReadableFile {
  const begin = () => {
    const parts = make();
    return {
      next() {
        const until = mount.timers.now + SLICE_MS;
        let text = "";
        do {
          const { value, done } = parts.next();
          if (done === true) return text === "" ? undefined : Buffer.from(text, "utf8");
          if (value !== undefined) text += printable(value);
        } while (text.length < PIECE && mount.timers.now < until);
        return Buffer.from(text, "utf8");
      },
    };
  };
  return serveStream(mount, begin, { keeps: true });
}
