/** What is wrong with a snapshot, and where. */

/** The position of a reader, shared by everything that reads, so that every error can name the place. */
export class SnapshotPosition {
  /** The file's path, or another name for the source. */
  readonly source: string;
  /** The line of the source, counted from 1; undefined where lines have no meaning. */
  line: number | undefined;
  /** The path of the entry being read, as bytes (Latin-1). */
  entry: string | undefined;

  constructor(source: string, line?: number) {
    this.source = source;
    this.line = line;
  }

  /** An error about this place: `throw place.createError(…)`. */
  createError(reason: string, cure?: string, options?: ErrorOptions): SnapshotError {
    return new SnapshotError(this, reason, cure, options);
  }
}

/** A snapshot that cannot be read or written. The message is for people: source, line, entry, reason, cure. */
export class SnapshotError extends Error {
  override readonly name = "SnapshotError";
  readonly source: string;
  readonly line: number | undefined;
  readonly entry: string | undefined;
  readonly reason: string;
  readonly cure: string | undefined;

  constructor(
    place: { readonly source: string; readonly line?: number | undefined; readonly entry?: string | undefined },
    reason: string,
    cure?: string,
    options?: ErrorOptions,
  ) {
    const where = place.line === undefined ? place.source : `${place.source}, line ${place.line}`;
    const entry = place.entry === undefined ? "" : ` entry ${quote(place.entry)}:`;
    super(`${where}:${entry} ${reason}${cure === undefined ? "" : `; ${cure}`}`, options);
    this.source = place.source;
    this.line = place.line;
    this.entry = place.entry;
    this.reason = reason;
    this.cure = cure;
  }
}

const QUOTED_MAX = 120;

/** Bytes or text from outside, made safe for a message: quoted, control characters escaped, shortened in the middle. */
export function quote(bytes: string): string {
  const half = QUOTED_MAX / 2;
  const short = bytes.length <= QUOTED_MAX ? bytes : `${bytes.slice(0, half)} … ${bytes.slice(-half)}`;
  const quoted = JSON.stringify(Buffer.from(short, "latin1").toString("utf8"));
  return bytes.length <= QUOTED_MAX ? quoted : `${quoted} (${bytes.length} bytes)`;
}
