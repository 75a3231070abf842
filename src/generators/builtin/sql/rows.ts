/** Rows as they come from any database, without loss: what no JavaScript number holds stays text. */

/** Text that is JSON as it stands: an exact number, or a JSON column. */
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
  /** How a parameter is written at its place, counted from 1. */
  place(index: number): string;
  /** Runs one query, read-only. Rejects with FsError; gives up when the signal fires, in the database too. */
  rows(query: Query, options: RowOptions): Promise<Rows>;
}

export interface RowOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  /** No row may be larger, as the file's content may not. */
  readonly maxBytes: number;
}

/** A number's text: exact as JSON if it is one, else text ("NaN"). */
export function toExactNumber(text: string): SqlValue {
  return /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text) ? { json: text } : text;
}

/** Throws Error for names that come twice: a row is an object with a value each. And for a statement without any. */
export function checkColumns(columns: readonly string[]): void {
  if (columns.length === 0) throw new Error("the statement is none that returns rows");
  const twice = columns.find((name, index) => columns.indexOf(name) !== index);
  if (twice !== undefined)
    throw new Error(`two columns are called ${JSON.stringify(twice)}: give one another name (AS)`);
}
