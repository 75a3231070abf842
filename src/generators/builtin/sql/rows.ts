/** Rows as they come from any database, without loss: a value that no JavaScript number can hold stays text. */

/** Text that is already JSON: an exact number, or a JSON column. */
export interface Json {
  readonly json: string;
}

export type SqlValue = null | string | number | bigint | boolean | Uint8Array | Json;

export interface Rows {
  readonly columns: readonly string[];
  readonly batches: AsyncIterable<readonly (readonly SqlValue[])[]>;
}

export interface Query {
  readonly sql: string;
  /** In the order of their places in the text. */
  readonly params: readonly string[];
}

/** A database. */
export interface Database extends AsyncDisposable {
  /** How to write the parameter at a place, counted from 1. */
  place(index: number): string;
  /** Runs one query, read-only. Rejects with FsError; stops when the signal fires, in the database too. */
  rows(query: Query, options: RowOptions): Promise<Rows>;
}

export interface RowOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** The maximum size of a row, which is that of the file's content. */
  readonly maxBytes: number;
}

/** A number's text: exact as JSON if it is a JSON number, otherwise text ("NaN"). */
export function toExactNumber(text: string): SqlValue {
  return /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text) ? { json: text } : text;
}

/**
 * Throws Error for duplicate names, because a row is an object with one value for each, and for a statement without
 * any.
 */
export function checkColumns(columns: readonly string[]): void {
  if (columns.length === 0) throw new Error("this statement returns no rows; expected a SELECT");
  const twice = columns.find((name, index) => columns.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`two columns are named ${JSON.stringify(twice)}; rename one (AS)`);
}
