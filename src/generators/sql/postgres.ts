/** PostgreSQL, by `pg`: a cursor in a read-only transaction, every value as the server writes it. */
import type { Pool, PoolClient } from "pg";
import { codeOf, type ErrnoName, FsError } from "../../errno.ts";
import { checkColumns, type Database, exact, type Value } from "./rows.ts";

const BATCH = 1000;
const CONNECTIONS = 16;

/** OIDs of pg_type that are not text to us. */
const BOOL = 16;
const BYTEA = 17;
const SMALL_INTEGERS = [21, 23, 26];
const NUMBERS = [20, 700, 701, 1700];
const JSONS = [114, 3802];

export function postgres(url: string): Database {
  let opened: Promise<Pool> | undefined;
  const pool = () => {
    opened ??= import("pg").then(({ default: { Pool } }) => {
      const made = new Pool({ connectionString: url, max: CONNECTIONS, connectionTimeoutMillis: 15_000 });
      // A connection that breaks while nobody uses it is replaced.
      made.on("error", () => {});
      return made;
    });
    return opened;
  };

  /** Ends what the connection is doing, from another one: this one is busy. */
  async function cancel(client: PoolClient): Promise<void> {
    const { default: pg } = await import("pg");
    const other = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    try {
      await other.connect();
      await other.query("SELECT pg_cancel_backend($1)", [processOf(client)]);
    } finally {
      await other.end().catch(() => {});
    }
  }

  return {
    place: (index) => `$${index}`,
    async rows(query, options) {
      const [{ default: Cursor }, client] = await Promise.all([import("pg-cursor"), connected(pool)]);
      const abort = () => void cancel(client).catch(() => {});
      options.signal.addEventListener("abort", abort, { once: true });
      let broken = false;
      const release = async () => {
        options.signal.removeEventListener("abort", abort);
        // What was cancelled may still be told to cancel when it is used again.
        if (options.signal.aborted || broken) return client.release(true);
        await client.query("ROLLBACK").then(
          () => client.release(),
          () => client.release(true),
        );
      };
      try {
        options.signal.throwIfAborted();
        await client.query(`BEGIN READ ONLY; SET LOCAL statement_timeout = ${Math.ceil(options.timeoutMs)}`);
        const cursor = client.query(
          new Cursor<Value[]>(query.sql, [...query.params], { rowMode: "array", types: TYPES }),
        );
        const read = () => cursor.read(BATCH);
        const first = await read();
        // What the server said of the columns; the type of pg-cursor does not tell of it.
        const { _result } = cursor as unknown as { _result: { fields: readonly { name: string }[] } };
        const columns = _result.fields.map(({ name }) => name);
        checkColumns(columns);
        return { columns, batches: batches(first, read, release, () => (broken = true)) };
      } catch (error) {
        await release();
        throw failure(error);
      }
    },
    async [Symbol.asyncDispose]() {
      await (await opened?.catch(() => undefined))?.end();
    },
  };
}

async function* batches(
  first: Value[][],
  read: () => Promise<Value[][]>,
  release: () => Promise<void>,
  breaks: () => void,
): AsyncGenerator<readonly Value[][]> {
  let ended = false;
  try {
    for (let batch = first; batch.length > 0; batch = await read()) yield batch;
    ended = true;
  } catch (error) {
    throw failure(error);
  } finally {
    // The portal is still open, and the connection in the middle of it.
    if (!ended) breaks();
    await release();
  }
}

async function connected(pool: () => Promise<Pool>): Promise<PoolClient> {
  try {
    return await (await pool()).connect();
  } catch (error) {
    throw failure(error);
  }
}

/** As the server's process is known to it; the type of `pg` does not tell of it. */
function processOf(client: PoolClient): number {
  return "processID" in client && typeof client.processID === "number" ? client.processID : 0;
}

const TYPES = {
  getTypeParser(oid: number) {
    if (oid === BOOL) return (text: string) => text === "t";
    if (oid === BYTEA) return bytes;
    if (SMALL_INTEGERS.includes(oid)) return Number;
    if (NUMBERS.includes(oid)) return exact;
    if (JSONS.includes(oid)) return (text: string) => ({ json: text });
    return (text: string) => text;
  },
};

function bytes(text: string): Uint8Array {
  return Buffer.from(text.slice(2), "hex");
}

const SQLSTATES: readonly (readonly [RegExp, ErrnoName])[] = [
  [/^57014$/, "ETIMEDOUT"],
  [/^(28|42501)/, "EACCES"],
  [/^(08|57P)/, "EHOSTUNREACH"],
  [/^(53300|55P03)/, "EBUSY"],
  [/^25006/, "EROFS"],
];

const UNREACHABLE = ["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ECONNRESET", "ENOENT", "ETIMEDOUT", "EAI_AGAIN"];

function failure(error: unknown): FsError {
  if (error instanceof FsError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(error) ?? "";
  const known = SQLSTATES.find(([state]) => state.test(code))?.[1];
  const errno = known ?? (UNREACHABLE.includes(code) ? "EHOSTUNREACH" : "EIO");
  return new FsError(errno, `PostgreSQL: ${message}`, { cause: error });
}
