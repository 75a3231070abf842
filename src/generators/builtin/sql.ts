/**
 * A query's result as content: SQLite, PostgreSQL, MySQL and MariaDB.
 *
 * | option | |
 * |---|---|
 * | `url` | `sqlite:FILE` (relative to the configuration file), `postgres://…`, `mysql://…`; best as `${DATABASE_URL}` |
 * | `database` | instead of `url`: a SQLite file in the mount, by its path there |
 * | `query` | one statement; `:name` is the part `{name}` of the path, as a bound parameter |
 * | `list` | a query for the existing files, with a column for every `{name}` of `match` |
 * | `format` | `csv`, `tsv`, `json`, `ndjson`, `md`; default: by the path's extension |
 * | `single` | true: the file is one row; ENOENT if the query returns none |
 * | `column` | the file is this column's value in the first row, byte for byte; ENOENT without a row |
 * | `timeout` | time limit of a statement; default 60s |
 *
 * Sessions are read-only, and a query that nobody waits for is cancelled on the server. Values are exact: numbers keep
 * every digit, NULL is an empty field (an empty text is `""`), bytes are `\x` and hexadecimal digits.
 */
import { isAbsolute, join } from "node:path";
import { FsError } from "../../errno.ts";
import { formatTimeSpan } from "../../text/duration.ts";
import {
  type Options,
  readDuration,
  readFlag,
  readText,
  refuseUnknownOptions,
  requireText,
} from "../config/options.ts";
import { parsePattern } from "../config/patterns.ts";
import type { GeneratorContext, ListedEntry } from "../contract.ts";
import { refusePathInMount } from "../host-path.ts";
import { locateInTree } from "../in-tree.ts";
import type { SourceGenerator, SourceParts } from "../source.ts";
import { toFsError } from "../workers/failed.ts";
import type { SqliteQuery } from "../workers/messages.ts";
import { HelperPool } from "../workers/pool.ts";
import { checkRow } from "./sql/intake.ts";
import { bindParameters, checkSingle } from "./sql/parameters.ts";
import { bytesOf, checkFormat, createFormatter, readFormat, requireFormat } from "./sql/row-format.ts";
import type { Database, Query, Rows } from "./sql/rows.ts";

const TIMEOUT_MS = 60_000;
/** The limit if no rule sets one. */
const MAX_BYTES = 256 * 1024 * 1024;
/** A row of a listing holds the names of one file. */
const LISTED_ROW = 1024 * 1024;
/** SQLite holds a row as it is; this program holds it as values, as text and as bytes. */
const ROW_COPIES = 5;
const OPTIONS = ["url", "database", "query", "list", "format", "single", "column", "timeout"];

export function createSqlGenerator(parts: SourceParts): SourceGenerator {
  const databases = new Map<string, Promise<Database>>();
  const helpers = new HelperPool(parts);
  /** For databases in the mount: see helper/sqlite.ts. */
  const inside = new HelperPool(parts);

  function openDatabase(url: string): Promise<Database> {
    const known = databases.get(url);
    if (known !== undefined) return known;
    const made = open(url);
    databases.set(url, made);
    return made;
  }

  /** The file's bytes, as the rows of the query arrive. */
  async function* streamBytes(
    url: string,
    query: Query,
    about: Omit<SqliteQuery, "file" | "sql" | "params" | "maxBytes">,
    options: Options,
    signal: AbortSignal,
    maxBytes: number,
  ) {
    const timeoutMs = readDuration(options, "timeout") ?? TIMEOUT_MS;
    const file = sqliteFileOf(url, parts.base);
    if (file !== undefined) {
      const late = AbortSignal.timeout(timeoutMs);
      const isInside = options.database !== undefined;
      if (!isInside) refusePathInMount("url", file, 'use the option "database"');
      const within = isInside ? { within: parts.mountpoint ?? "/" } : {};
      const task = { task: "sqlite", query: { file, ...within, ...query, ...about, maxBytes } } as const;
      const pool = isInside ? inside : helpers;
      try {
        const most = { memory: maxBytes * ROW_COPIES };
        yield* (await pool.call(task, AbortSignal.any([signal, late]), most)).pieces;
      } catch (error) {
        if (late.aborted && !signal.aborted)
          throw new FsError("ETIMEDOUT", `SQLite: the query did not finish within ${formatTimeSpan(timeoutMs)}`);
        throw toFsError(error);
      }
      return;
    }
    yield* writeRows(await (await openDatabase(url)).rows(query, { signal, timeoutMs, maxBytes }), about, maxBytes);
  }

  async function prepare(url: string, sql: string, values: Readonly<Record<string, string>>): Promise<Query> {
    if (sqliteFileOf(url, parts.base) !== undefined) return bindParameters(sql, values, () => "?");
    return bindParameters(sql, values, (await openDatabase(url)).place);
  }

  /**
   * The URL of the database. A database in the mount is reached through the kernel, like by any other program: a query
   * sees one moment between two transactions, because SQLite's locks are the kernel's. It must be inside the mount.
   */
  async function locate(options: Options, context: Pick<GeneratorContext, "list" | "read">): Promise<string> {
    const path = readText(options, "database");
    if (path === undefined) return requireText(options, "url", "sqlite:./shop.db");
    if (parts.mountpoint === undefined)
      throw new FsError("EIO", `${path} is in the mount, but nothing is mounted here`);
    const entry = await locateInTree(path, context, parts.mountpoint).catch((error: unknown) => {
      throw error instanceof FsError ? error.at('the option "database"') : error;
    });
    // Generated here rather than when it is opened, so that a cycle is detected.
    if (entry.type === "file" && entry.size === undefined) await context.read(entry.path);
    return `sqlite:${parts.mountpoint}${entry.path}`;
  }

  return {
    lists: (options) => options.list !== undefined,
    validate(options) {
      refuseUnknownOptions(options, OPTIONS);
      if (readText(options, "database") === undefined) {
        const url = requireText(options, "url", `"sqlite:./shop.db" or "\${DATABASE_URL}"`);
        if (schemeOf(url) === undefined)
          throw new Error('the option "url" must begin with sqlite:, postgres:// or mysql://');
      } else if (options.url !== undefined) throw new Error('set the option "url" or "database"');
      const query = requireText(options, "query", '"SELECT * FROM customers WHERE id = :id"');
      const list = readText(options, "list");
      // The other databases refuse it themselves.
      const sqlite = options.database !== undefined || schemeOf(String(options.url)) === "sqlite";
      for (const sql of sqlite ? [query, list] : []) checkSingle(sql ?? "");
      readText(options, "column");
      readDuration(options, "timeout");
      readFlag(options, "single");
      readFormat(options);
    },
    suits(match, options) {
      if (options.column === undefined) checkFormat(match, options);
    },
    async generate(path, context) {
      const { options, params, signal } = context;
      const url = await locate(options, context);
      const query = await prepare(url, requireText(options, "query", "SELECT 1"), params);
      const column = readText(options, "column");
      const about = {
        format: column === undefined ? requireFormat(path, options) : "csv",
        single: readFlag(options, "single"),
        ...(column !== undefined && { column }),
      };
      return { content: streamBytes(url, query, about, options, signal, context.maxBytes ?? MAX_BYTES) };
    },
    async *list(path, context) {
      const { options, match, signal } = context;
      const url = await locate(options, context);
      const query = await prepare(url, requireText(options, "list", "SELECT id FROM customers"), {});
      const shape = parsePattern(match ?? "*");
      let rest = "";
      const decoder = new TextDecoder();
      for await (const piece of streamBytes(
        url,
        query,
        { format: "ndjson", single: false },
        options,
        signal,
        LISTED_ROW,
      )) {
        const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const entry = entryOf(textsOf(line), shape, path);
          if (entry !== undefined) yield entry;
        }
      }
    },
    async dispose() {
      await Promise.all([helpers[Symbol.asyncDispose](), inside[Symbol.asyncDispose]()]);
      for (const one of databases.values()) await (await one.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}

/** A row of a listing: its values as text, numbers as they are written. */
function textsOf(line: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  const row: unknown = JSON.parse(line, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === "number" ? (context?.source ?? String(value)) : value,
  );
  for (const [name, value] of Object.entries(row ?? {})) {
    if (value !== null && typeof value !== "object") values.set(name, String(value));
  }
  return values;
}

function entryOf(
  values: ReadonlyMap<string, string>,
  shape: ReturnType<typeof parsePattern>,
  directory: string,
): ListedEntry | undefined {
  const missing = shape.names.find((name) => !values.has(name));
  if (missing !== undefined && values.size === 0) return undefined;
  if (missing !== undefined)
    throw new FsError("EIO", `the option "list": the query has no column "${missing}", or its value is NULL`);
  // Without named parts, the first column is the path below the directory.
  if (shape.names.length === 0) return { path: values.values().next().value ?? "" };
  const path = shape.fill(values);
  const below = directory === "/" ? "/" : `${directory}/`;
  return path?.startsWith(below) === true ? { path: path.slice(below.length) } : undefined;
}

async function* writeRows(
  rows: Rows,
  about: Omit<SqliteQuery, "file" | "sql" | "params" | "maxBytes">,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  const { columns } = rows;
  const format = createFormatter(about.format, about.single);
  let count = 0;
  if (!about.single && about.column === undefined) yield Buffer.from(format.head(columns));
  for await (const batch of rows.batches) {
    for (const row of batch) checkRow(row, maxBytes);
    const [first] = batch;
    if (first !== undefined && about.column !== undefined) return yield bytesOf(first, about.column, columns);
    if (first !== undefined && about.single) {
      return yield Buffer.from(format.head(columns) + format.row(first, columns, true) + format.foot(1));
    }
    let text = "";
    for (const row of batch) text += format.row(row, columns, count++ === 0);
    yield Buffer.from(text);
  }
  if (about.single || about.column !== undefined) throw new FsError("ENOENT", "the query returned no rows");
  yield Buffer.from(format.foot(count));
}

function schemeOf(url: string): "sqlite" | "postgres" | "mysql" | undefined {
  if (url.startsWith("sqlite:")) return "sqlite";
  if (/^postgres(ql)?:\/\//.test(url)) return "postgres";
  return /^(mysql|mariadb):\/\//.test(url) ? "mysql" : undefined;
}

function sqliteFileOf(url: string, base: string): string | undefined {
  if (schemeOf(url) !== "sqlite") return undefined;
  const file = url.slice("sqlite:".length).replace(/^\/\/(?=\/)/, "");
  return isAbsolute(file) ? file : join(base, file);
}

async function open(url: string): Promise<Database> {
  return schemeOf(url) === "postgres"
    ? (await import("./sql/postgres.ts")).createPostgres(url)
    : (await import("./sql/mysql.ts")).createMysql(url);
}
