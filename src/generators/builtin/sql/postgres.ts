/** PostgreSQL, through `pg`: a cursor in a read-only transaction, with every value as the server writes it. */
import type { Socket } from "node:net";
import type { Pool, PoolClient } from "pg";
import { codeOf, type ErrnoName, FsError } from "../../../errno.ts";
import { waitForConnection } from "./free-connection.ts";
import { Intake } from "./intake.ts";
import { checkColumns, type Database, type SqlValue, toExactNumber } from "./rows.ts";

/** Rows of a batch: a few at first, then as many as make up about this many bytes. */
const FIRST_BATCH = 16;
const MOST_IN_BATCH = 1000;
const BATCH_BYTES = 4 * 1024 * 1024;
const CONNECTIONS = 16;

/** OIDs of pg_type that are not treated as text. */
const BOOL = 16;
const BYTEA = 17;
const SMALL_INTEGERS = [21, 23, 26];
const NUMBERS = [20, 700, 701, 1700];
const JSONS = [114, 3802];

export function createPostgres(url: string): Database {
  let opened: Promise<Pool> | undefined;
  const openPool = () => {
    opened ??= import("pg").then(({ default: { Pool } }) => {
      const made = new Pool({ connectionString: url, max: CONNECTIONS, connectionTimeoutMillis: 15_000 });
      // A connection that breaks while it is idle is replaced.
      made.on("error", () => {});
      return made;
    });
    return opened;
  };

  /** Cancels the current statement from another connection, because this one is busy. */
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
      const [{ default: Cursor }, client] = await Promise.all([import("pg-cursor"), connect(openPool, options.signal)]);
      const abort = () => void cancel(client).catch(() => {});
      options.signal.addEventListener("abort", abort, { once: true });
      let broken = false;
      const socket = socketOf(client);
      const intake = new Intake(socket, options.maxBytes, (error) => socket.destroy(error));
      // While it is in use nobody else listens, and an unhandled error event would end this process.
      client.on("error", ignore);
      const release = async () => {
        intake[Symbol.dispose]();
        client.removeListener("error", ignore);
        options.signal.removeEventListener("abort", abort);
        // A late cancellation might hit the next query on this connection.
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
          new Cursor<SqlValue[]>(query.sql, [...query.params], { rowMode: "array", types: TYPES }),
        );
        let count = FIRST_BATCH;
        const read = async () => {
          intake.used();
          const rows = await cursor.read(count);
          const size = intake.used() / Math.max(1, rows.length);
          count = Math.max(1, Math.min(MOST_IN_BATCH, Math.floor(BATCH_BYTES / Math.max(1, size))));
          return rows;
        };
        const first = await read();
        // The server's description of the columns, which the types of pg-cursor do not declare.
        const { _result } = cursor as unknown as { _result: { fields: readonly { name: string }[] } };
        const columns = _result.fields.map(({ name }) => name);
        checkColumns(columns);
        return { columns, batches: streamBatches(first, read, release, () => (broken = true)) };
      } catch (error) {
        await release();
        throw toFsError(error);
      }
    },
    async [Symbol.asyncDispose]() {
      await (await opened?.catch(() => undefined))?.end();
    },
  };
}

async function* streamBatches(
  first: SqlValue[][],
  read: () => Promise<SqlValue[][]>,
  release: () => Promise<void>,
  breaks: () => void,
): AsyncGenerator<readonly SqlValue[][]> {
  let ended = false;
  try {
    for (let batch = first; batch.length > 0; batch = await read()) yield batch;
    ended = true;
  } catch (error) {
    throw toFsError(error);
  } finally {
    // The portal is still open, and the connection is in the middle of it.
    if (!ended) breaks();
    await release();
  }
}

async function connect(pool: () => Promise<Pool>, signal: AbortSignal): Promise<PoolClient> {
  const isFull = (error: unknown) => codeOf(error) === TOO_MANY_CONNECTIONS;
  try {
    return await waitForConnection(async () => (await pool()).connect(), isFull, signal);
  } catch (error) {
    throw signal.aborted ? error : toFsError(error);
  }
}

function ignore(): void {}

/** The socket it reads from, which the types of `pg` do not declare. */
function socketOf(client: PoolClient): Socket {
  const { connection } = client as unknown as { connection: { stream: Socket } };
  return connection.stream;
}

/** The process id of the server's backend, which the types of `pg` do not declare. */
function processOf(client: PoolClient): number {
  return "processID" in client && typeof client.processID === "number" ? client.processID : 0;
}

const TYPES = {
  getTypeParser(oid: number) {
    if (oid === BOOL) return (text: string) => text === "t";
    if (oid === BYTEA) return parseBytea;
    if (SMALL_INTEGERS.includes(oid)) return Number;
    if (NUMBERS.includes(oid)) return toExactNumber;
    if (JSONS.includes(oid)) return (text: string) => ({ json: text });
    return (text: string) => text;
  },
};

function parseBytea(text: string): Uint8Array {
  return Buffer.from(text.slice(2), "hex");
}

const TOO_MANY_CONNECTIONS = "53300";

const SQLSTATES: readonly (readonly [RegExp, ErrnoName])[] = [
  [/^57014$/, "ETIMEDOUT"],
  [/^(28|42501)/, "EACCES"],
  [/^(08|57P)/, "EHOSTUNREACH"],
  [/^(53300|55P03)/, "EBUSY"],
  [/^25006/, "EROFS"],
];

const UNREACHABLE = ["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ECONNRESET", "ENOENT", "ETIMEDOUT", "EAI_AGAIN"];

function toFsError(error: unknown): FsError {
  if (error instanceof FsError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(error) ?? "";
  const known = SQLSTATES.find(([state]) => state.test(code))?.[1];
  const errno = known ?? (UNREACHABLE.includes(code) ? "EHOSTUNREACH" : "EIO");
  return new FsError(errno, `PostgreSQL: ${message}`, { cause: error });
}
