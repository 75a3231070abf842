/** MySQL and MariaDB, by `mysql2`: prepared statements in a read-only transaction, streamed. */
import type { EventEmitter } from "node:events";
import type { FieldPacket, Pool, PoolConnection } from "mysql2";
import { codeOf, type ErrnoName, FsError, messageOf } from "../../../errno.ts";
import { IdleTimer } from "../../idle.ts";
import { waitForConnection } from "./free-connection.ts";
import { Intake, sizeOf } from "./intake.ts";
import { checkColumns, type Database, type SqlValue, toExactNumber } from "./rows.ts";

/** Maximum rows of a batch, and about how many bytes. */
const MOST_IN_BATCH = 1000;
const BATCH_BYTES = 1024 * 1024;
/** Rows that the client reads ahead. */
const AHEAD = 64;
const CONNECTIONS = 16;
/** As long as pg keeps an unused connection. By default, mysql2 checks for such connections every second, forever. */
const IDLE_MS = 10_000;

/** Column types of the protocol. */
const FLOAT = 4;
const NUMBERS = [0, 8, 246];
const JSON_TYPE = 245;

export function createMysql(url: string): Database {
  let opened: Promise<Pool> | undefined;
  /** The statement timeout that is set on each connection. */
  const limits = new WeakMap<object, number>();
  const openPool = () => {
    opened ??= import("mysql2").then(({ default: { createPool } }) =>
      createPool({
        uri: url.replace(/^mariadb:/, "mysql:"),
        connectionLimit: CONNECTIONS,
        dateStrings: true,
        supportBigNumbers: true,
        bigNumberStrings: true,
        jsonStrings: true,
        connectTimeout: 15_000,
        timezone: "Z",
      }),
    );
    return opened;
  };
  const idle = new IdleTimer(IDLE_MS, () => void close().catch(() => {}));

  async function close(): Promise<void> {
    const ending = opened;
    opened = undefined;
    const made = await ending?.catch(() => undefined);
    await new Promise<void>((resolve) => (made === undefined ? resolve() : made.end(() => resolve())));
  }

  /** The connections stay until `idle.end()` is called. */
  async function connect(): Promise<PoolConnection> {
    idle.begin();
    try {
      const made = await openPool();
      return await new Promise((resolve, reject) => {
        made.getConnection((error, connection) => (error === null ? resolve(connection) : reject(error)));
      });
    } catch (error) {
      idle.end();
      throw error;
    }
  }

  /** Cancels the current statement from another connection, because this one is busy. */
  async function cancel(id: number): Promise<void> {
    const other = await connect();
    await runStatement(other, `KILL QUERY ${id}`).catch(() => {});
    other.release();
    idle.end();
  }

  /** Neither server knows the other's name for this setting. */
  async function limit(connection: PoolConnection, ms: number): Promise<void> {
    await runStatement(connection, `SET SESSION max_statement_time = ${ms / 1000}`).catch(() =>
      runStatement(connection, `SET SESSION max_execution_time = ${Math.ceil(ms)}`),
    );
  }

  return {
    place: () => "?",
    async rows(query, { signal, timeoutMs, maxBytes }) {
      const connection = await waitForConnection(connect, isFull, signal).catch((error: unknown) => {
        throw signal.aborted ? error : toFsError(error);
      });
      const abort = () => {
        if (connection.threadId !== null) void cancel(connection.threadId).catch(() => {});
      };
      signal.addEventListener("abort", abort, { once: true });
      let stop: (error: Error) => void = () => {};
      const intake = new Intake(socketOf(connection), maxBytes, (error) => {
        // Whoever waits for rows is not notified otherwise.
        connection.destroy();
        stop(error);
      });
      const release = (whole: boolean) => {
        intake[Symbol.dispose]();
        signal.removeEventListener("abort", abort);
        idle.end();
        if (!whole || signal.aborted) return connection.destroy();
        runStatement(connection, "ROLLBACK").then(
          () => connection.release(),
          () => connection.destroy(),
        );
      };
      try {
        signal.throwIfAborted();
        if (limits.get(connection) !== timeoutMs) await limit(connection, timeoutMs);
        limits.set(connection, timeoutMs);
        await runStatement(connection, "START TRANSACTION READ ONLY");
        const command = connection.execute({ sql: query.sql, rowsAsArray: true }, [...query.params]);
        const fields = Promise.withResolvers<readonly FieldPacket[]>();
        fields.promise.catch(() => {});
        // A statement without rows has no fields.
        command.once("fields", (found?: readonly FieldPacket[]) => fields.resolve(found ?? []));
        const stream = command.stream({ highWaterMark: AHEAD });
        stop = (error) => stream.destroy(error);
        stream.once("error", (error) => fields.reject(error));
        stream.once("end", () => fields.resolve([]));
        const columns = await fields.promise;
        const names = columns.map(({ name }) => name);
        checkColumns(names);
        return { columns: names, batches: streamBatches(stream, columns, intake, release) };
      } catch (error) {
        release(false);
        throw toFsError(error);
      }
    },
    [Symbol.asyncDispose]() {
      idle.stop();
      return close();
    },
  };
}

async function* streamBatches(
  stream: AsyncIterable<unknown>,
  columns: readonly FieldPacket[],
  intake: Intake,
  release: (whole: boolean) => void,
): AsyncGenerator<readonly SqlValue[][]> {
  let batch: SqlValue[][] = [];
  let size = 0;
  let whole = false;
  try {
    for await (const row of stream) {
      if (!Array.isArray(row)) throw new Error("a row is not a list");
      intake.used();
      const values = row.map((value: unknown, index) => exactValue(value, columns[index]));
      for (const value of values) size += sizeOf(value);
      batch.push(values);
      if (batch.length < MOST_IN_BATCH && size < BATCH_BYTES) continue;
      yield batch;
      batch = [];
      size = 0;
    }
    if (batch.length > 0) yield batch;
    whole = true;
  } catch (error) {
    throw toFsError(error);
  } finally {
    release(whole);
  }
}

/** The socket it reads from, which the types of `mysql2` declare only partly. */
function socketOf(connection: PoolConnection): EventEmitter {
  const { stream } = connection as unknown as { stream: EventEmitter };
  return stream;
}

function exactValue(value: unknown, field: FieldPacket | undefined): SqlValue {
  const type = field?.columnType;
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array) return value;
  if (typeof value === "number") return type === FLOAT ? shortestDecimal(value) : value;
  if (typeof value === "bigint" || typeof value === "boolean") return value;
  // A value that is not text is a point or another geometry.
  if (isJson(field) || typeof value !== "string")
    return { json: typeof value === "string" ? value : JSON.stringify(value) };
  return type !== undefined && NUMBERS.includes(type) ? toExactNumber(String(value)) : String(value);
}

/** MariaDB's JSON is text with a JSON flag, which the types of mysql2 do not declare. */
function isJson(field: FieldPacket | undefined): boolean {
  return (
    field?.columnType === JSON_TYPE ||
    (field !== undefined && "extendedFormat" in field && field.extendedFormat === "json")
  );
}

/** A single-precision number as it was written: the shortest decimal with the same value. */
function shortestDecimal(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

function runStatement(connection: PoolConnection, sql: string): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.query(sql, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });
}

const CODES = new Map<string, ErrnoName>([
  ["ER_ACCESS_DENIED_ERROR", "EACCES"],
  ["ER_DBACCESS_DENIED_ERROR", "EACCES"],
  ["ER_TABLEACCESS_DENIED_ERROR", "EACCES"],
  ["ER_STATEMENT_TIMEOUT", "ETIMEDOUT"],
  ["ER_QUERY_TIMEOUT", "ETIMEDOUT"],
  ["ER_CON_COUNT_ERROR", "EBUSY"],
  ["ER_TOO_MANY_USER_CONNECTIONS", "EBUSY"],
  ["ER_USER_LIMIT_REACHED", "EBUSY"],
  ["ER_LOCK_WAIT_TIMEOUT", "EBUSY"],
  ["ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION", "EROFS"],
]);

/** Errors of MariaDB only, for which mysql2 has no names. */
const NUMBERED = new Map<number, ErrnoName>([[1969, "ETIMEDOUT"]]);

const UNREACHABLE = ["ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "ECONNRESET", "ENOENT", "ETIMEDOUT", "EAI_AGAIN"];

/** Whether the server has too many connections: in total, or of this user. */
function isFull(error: unknown): boolean {
  const code = codeOf(error) ?? "";
  return /^ER_(CON_COUNT_ERROR|TOO_MANY_USER_CONNECTIONS)$/.test(code) || /max_user_connections/.test(messageOf(error));
}

function toFsError(error: unknown): FsError {
  if (error instanceof FsError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(error) ?? "";
  const number = error instanceof Error && "errno" in error ? Number(error.errno) : 0;
  const errno = CODES.get(code) ?? NUMBERED.get(number) ?? (UNREACHABLE.includes(code) ? "EHOSTUNREACH" : "EIO");
  return new FsError(errno, `MySQL: ${message}`, { cause: error });
}
