/** SQLite, in the helper: its calls block and cannot be interrupted except by ending their process. */
import { constants, Database } from "bun:sqlite";
import { accessSync, constants as fileAccess, fstatSync, readdirSync, type Stats, statSync } from "node:fs";
import { codeOf, FsError, messageOf } from "../../errno.ts";
import { checkRow } from "../builtin/sql/intake.ts";
import { bytesOf, createFormatter } from "../builtin/sql/row-format.ts";
import { checkColumns, type SqlValue } from "../builtin/sql/rows.ts";
import type { Conversation } from "./child.ts";
import { PIECE_BYTES, type SqliteQuery } from "./messages.ts";

/** How long a query waits for a writer. */
const BUSY_MS = 5000;

/** Sends the names of the columns, then the file's bytes. */
export async function querySqlite(query: SqliteQuery, { piece, result }: Conversation): Promise<void> {
  try {
    using database = openDatabase(query);
    database.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
    database.run("PRAGMA query_only = 1");
    using statement = database.prepare(query.sql);
    statement.safeIntegers(true);
    const columns = statement.columnNames;
    // A statement without rows must fail because of what it does, if that is not allowed.
    if (columns.length === 0) statement.run(...query.params);
    checkColumns(columns);
    const format = createFormatter(query.format, query.single);
    const rows = rowsOf(statement.iterate(...query.params), columns);
    if (query.single || query.column !== undefined) {
      const [row] = rows;
      if (row === undefined) throw new FsError("ENOENT", "the query returned no rows");
      checkRow(row, query.maxBytes);
      result(columns);
      const text = format.head(columns) + format.row(row, columns, true) + format.foot(1);
      return await piece(query.column === undefined ? Buffer.from(text) : bytesOf(row, query.column, columns));
    }
    result(columns);
    let text = format.head(columns);
    let count = 0;
    for (const row of rows) {
      checkRow(row, query.maxBytes);
      text += format.row(row, columns, count === 0);
      count += 1;
      if (text.length < PIECE_BYTES) continue;
      await piece(Buffer.from(text));
      text = "";
    }
    await piece(Buffer.from(text + format.foot(count)));
  } catch (error) {
    throw toFsError(error, query.file);
  }
}

/** Files that this process had open before the first database in a mount, as "device:inode". */
let others: ReadonlySet<string> | undefined;

/** Precondition: a process that opens a database in a mount opens none elsewhere, as SQLite may reuse a file. */
function openDatabase({ file, within }: SqliteQuery): Database {
  if (within === undefined) return new Database(file, { readonly: true });
  others ??= new Set(openFiles().map(identity));
  const database = new Database(file, constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_NOFOLLOW);
  try {
    database.run("PRAGMA schema_version");
  } catch {
    // Only the files that are open by now count; the query itself will report a problem.
  }
  // Between SQLite's check for symlinks and the open, somebody may have put one into the path.
  const { dev } = statSync(within);
  if (openFiles().every((stats) => stats.dev === dev || others?.has(identity(stats)) === true)) return database;
  database.close();
  throw new FsError("EACCES", `${file} leads out of the mount`);
}

/** The open regular files and the like. */
function openFiles(): readonly Stats[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const stats = fstatSync(Number(fd));
      return stats.isFile() || stats.isBlockDevice() ? [stats] : [];
    } catch {
      // The directory that was just read.
      return [];
    }
  });
}

function identity({ dev, ino }: Stats): string {
  return `${dev}:${ino}`;
}

function* rowsOf(rows: Iterable<unknown>, columns: readonly string[]): Generator<SqlValue[]> {
  // Rows are objects by name; `safeIntegers` makes integers bigint.
  for (const row of rows) yield columns.map((name) => exactValue((row as Record<string, unknown>)[name]));
}

function exactValue(value: unknown): SqlValue {
  if (value === null || value === undefined) return null;
  // As SQLite writes a REAL with an integral value.
  if (typeof value === "number") return Number.isSafeInteger(value) ? { json: `${value}.0` } : value;
  if (typeof value === "bigint" || typeof value === "string" || value instanceof Uint8Array) return value;
  return String(value);
}

function toFsError(error: unknown, file: string): unknown {
  if (!(error instanceof Error) || error instanceof FsError) return error;
  const code = codeOf(error) ?? "";
  const cause = { cause: error };
  if (code === "SQLITE_READONLY_ROLLBACK" || code === "SQLITE_READONLY_RECOVERY") {
    const cure = "a program died while writing; open the database once with a program that may write, such as sqlite3";
    return new FsError("EBUSY", `SQLite: ${error.message} (${file}): ${cure}`, cause);
  }
  const problem = /^SQLITE_(CANTOPEN|IOERR)/.test(code) ? explainCantOpen(file) : undefined;
  // Not ENOENT, which a reader would take for a missing row: what is missing is the database.
  if (problem !== undefined)
    return new FsError("EIO", `SQLite: ${problem}; check the database's path in the rule`, cause);
  const errno = code.startsWith("SQLITE_BUSY") ? "EBUSY" : code.startsWith("SQLITE_READONLY") ? "EROFS" : "EIO";
  return new FsError(errno, `SQLite: ${error.message} (${file})`, cause);
}

/** SQLite only says that it could not open the file. Undefined if the reason is something else than its path. */
function explainCantOpen(file: string): string | undefined {
  try {
    if (statSync(file).isDirectory()) return `${file} is a directory`;
    accessSync(file, fileAccess.R_OK);
    return undefined;
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") return `there is no file ${file}`;
    return `${file} cannot be opened: ${code === "EACCES" ? "permission denied" : messageOf(error)}`;
  }
}
