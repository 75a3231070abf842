import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { FsError } from "../../../src/errno.ts";
import { bindParameters, checkSingle } from "../../../src/generators/builtin/sql/parameters.ts";
import { parsePattern } from "../../../src/generators/config/patterns.ts";
import { parseCsvRows } from "../../../src/generators/formats/csv.ts";
import type { Conversation } from "../../../src/generators/workers/child.ts";
import { querySqlite } from "../../../src/generators/workers/sqlite.ts";
import * as chinook from "../../support/chinook.ts";
import {
  csv,
  hasMariadb,
  hasPostgres,
  mariadbServer,
  postgresServer,
  type Server,
  sqliteFile,
} from "../../support/databases.ts";
import { type Loaded, loaded } from "../../support/generators.ts";
import { programs } from "../../support/needs.ts";
import { Sandbox } from "../../support/program.ts";

async function failure(promise: Promise<unknown>): Promise<FsError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof FsError) return error;
  throw new Error(`not an FsError: ${String(error)}`);
}

describe("parameters of a query", () => {
  const place = (index: number) => `$${index}`;
  test("parameters are bound in order of occurrence", () => {
    const query = bindParameters("SELECT :b, :a, :b", { a: "1", b: "2" }, place);
    expect(query).toEqual({ sql: "SELECT $1, $2, $3", params: ["2", "1", "2"] });
  });
  test("parameters are not searched for in strings, names, comments and casts", () => {
    const sql = `SELECT ':a', ":a", \`:a\`, x::text, $q$ :a $q$ -- :a\n/* :a */ , 'it''s :a'`;
    expect(bindParameters(sql, {}, place)).toEqual({ sql, params: [] });
  });
  test("parameters that the path does not provide are named in the error", () => {
    expect(() => bindParameters("SELECT :id", { name: "x" }, place)).toThrow("the query needs :id");
  });
});

test("a SQLite database that cannot be opened is named with the reason", async () => {
  using sandbox = new Sandbox();
  const file = sandbox.at("none.db");
  const query = { sql: "SELECT 1", params: [], format: "csv", single: false, maxBytes: 100 } as const;
  const conversation: Conversation = {
    signal: new AbortController().signal,
    log() {},
    ask: () => Promise.resolve(undefined),
    input: () => Promise.resolve(new Uint8Array()),
    result() {},
    piece: () => Promise.resolve(),
  };
  const ask = (path: string) => failure(querySqlite({ ...query, file: path }, conversation));
  expect(await ask(file)).toMatchObject({ code: "EIO", message: expect.stringContaining(`there is no file ${file};`) });
  expect((await ask(sandbox.path)).message).toContain(`${sandbox.path} is a directory`);
});

test("SQLite refuses a second statement instead of ignoring it", () => {
  for (const sql of ["select 1; delete from c", "select 1;;select 2", "/* ; */ select 1;\n-- a\nselect 2"])
    expect(() => checkSingle(sql)).toThrow("a query must be one statement");
  for (const sql of ["select 1;", "select 1 ; -- x; y\n;", "select ';a' as \"b;c\", [d;e], `f;g` /* ; h */ from t; "])
    expect(() => checkSingle(sql)).not.toThrow();
});

/** The statements of a test, in the dialect of one database. */
interface Dialect {
  readonly name: string;
  readonly available: boolean;
  readonly kind: chinook.Dialect;
  start(): Promise<Server>;
  /** A table "odd" with a row of values that are hard to write exactly. */
  readonly odd: string;
  /** That row as CSV and as JSON. */
  readonly csv: string;
  readonly json: string;
  /** Numbers 1 to a million. */
  readonly million: string;
  readonly slow: string;
  /** A text of `length` characters. */
  readonly text: (length: number) => string;
  /** A statement without rows that a read-only session allows. */
  readonly nothing: string;
  /** Tells whether a slow query is running. */
  readonly running: string;
  /** The number of connections that llmfs has. Absent: the database is a file. */
  readonly connections?: string;
}

const sandbox = new Sandbox();
afterAll(() => sandbox[Symbol.dispose]());

const DIALECTS: readonly Dialect[] = [
  {
    name: "SQLite",
    available: programs("sqlite3") === undefined,
    kind: "sqlite",
    start: async () => sqliteFile(sandbox.at("shop.db")),
    odd: `CREATE TABLE odd (big INTEGER, exact NUMERIC, ratio REAL, t TEXT, empty TEXT, none TEXT, b BLOB, d TEXT);
      INSERT INTO odd VALUES (9007199254740993, 1.5, 0.1, 'a "q", b' || char(10) || 'c', '', NULL, x'00ff0a', '2024-02-29')`,
    csv: 'big,exact,ratio,t,empty,none,b,d\r\n9007199254740993,1.5,0.1,"a ""q"", b\nc","",,\\x00ff0a,2024-02-29\r\n',
    json: '[\n  {"big": 9007199254740993, "exact": 1.5, "ratio": 0.1, "t": "a \\"q\\", b\\nc", "empty": "", "none": null, "b": "\\\\x00ff0a", "d": "2024-02-29"}\n]\n',
    million: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT i FROM n",
    text: (length) => `replace(hex(zeroblob(${length / 2})), '0', 'x')`,
    nothing: "PRAGMA cache_size = 2000",
    slow: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n",
    running: "",
  },
  {
    name: "PostgreSQL",
    available: hasPostgres,
    kind: "postgres",
    start: postgresServer,
    odd: `CREATE TABLE odd (big bigint, exact numeric(40, 20), ratio double precision, t text, empty text, none text, b bytea,
        d timestamptz, yes boolean, j jsonb);
      SET timezone = 'UTC';
      INSERT INTO odd VALUES (9007199254740993, 12345678901234567890.12345678901234567890, 0.1, E'a "q", b\\nc', '', NULL,
        '\\x00ff0a', '2024-02-29 23:59:59.123456+00', true, '{"k": [1, null]}')`,
    csv: 'big,exact,ratio,t,empty,none,b,d,yes,j\r\n9007199254740993,12345678901234567890.12345678901234567890,0.1,"a ""q"", b\nc","",,\\x00ff0a,2024-02-29 23:59:59.123456+00,true,"{""k"": [1, null]}"\r\n',
    json: '[\n  {"big": 9007199254740993, "exact": 12345678901234567890.12345678901234567890, "ratio": 0.1, "t": "a \\"q\\", b\\nc", "empty": "", "none": null, "b": "\\\\x00ff0a", "d": "2024-02-29 23:59:59.123456+00", "yes": true, "j": {"k": [1, null]}}\n]\n',
    million: "SELECT i FROM generate_series(1, 1000000) AS i",
    text: (length) => `repeat('x', ${length})`,
    nothing: "SET LOCAL work_mem = '4MB'",
    slow: "SELECT pg_sleep(60)::text AS s",
    running:
      "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()",
    connections:
      "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
  },
  {
    name: "MariaDB",
    available: hasMariadb,
    kind: "mysql",
    start: mariadbServer,
    odd: `CREATE TABLE odd (big bigint, exact decimal(40, 20), ratio double, t text, empty text, none text, b blob, d datetime(6), f float, j json, p point);
      INSERT INTO odd VALUES (9007199254740993, 12345678901234567890.12345678901234567890, 0.1, 'a "q", b\\nc', '', NULL,
        x'00ff0a', '2024-02-29 23:59:59.123456', 0.1,
        '{"k": [12345678901234567890, null]}', point(1, 2))`,
    csv: 'big,exact,ratio,t,empty,none,b,d,f,j,p\r\n9007199254740993,12345678901234567890.12345678901234567890,0.1,"a ""q"", b\nc","",,\\x00ff0a,2024-02-29 23:59:59.123456,0.1,"{""k"": [12345678901234567890, null]}","{""x"":1,""y"":2}"\r\n',
    json: '[\n  {"big": 9007199254740993, "exact": 12345678901234567890.12345678901234567890, "ratio": 0.1, "t": "a \\"q\\", b\\nc", "empty": "", "none": null, "b": "\\\\x00ff0a", "d": "2024-02-29 23:59:59.123456", "f": 0.1, "j": {"k": [12345678901234567890, null]}, "p": {"x":1,"y":2}}\n]\n',
    million: "SELECT seq AS i FROM seq_1_to_1000000",
    text: (length) => `REPEAT('x', ${length})`,
    nothing: "SET @a = 1",
    slow: "SELECT sleep(60) AS s",
    running:
      "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%sleep(60) AS s%' AND info NOT LIKE '%processlist%'",
    connections: "SELECT count(*) FROM information_schema.processlist WHERE user = 'llmfs'",
  },
];

const TABLES = chinook.chinook();

const SHOP = [
  "CREATE TABLE people (id integer PRIMARY KEY, name varchar(100), country varchar(50))",
  "INSERT INTO people VALUES (1, 'Ada', 'UK'), (2, 'Bo/x', 'DK'), (3, '..', 'DK'), (4, NULL, 'UK')",
];

function ordered(table: string, keys: chinook.Table["columns"]): string {
  return `SELECT * FROM ${table} ORDER BY ${keys.map(([name]) => name).join(", ")}`;
}

const COVER = "SELECT cover FROM albums WHERE id = :id";

/** Six tables, sums and a group. */
const REPORT = `SELECT c.id, c.name, c.country, count(*) AS tracks, round(sum(l.price * l.quantity), 2) AS spent, min(i.issued) AS since,
    max(t.milliseconds) AS longest, min(a.title) AS album
  FROM customers c JOIN invoices i ON i.customer_id = c.id JOIN invoice_lines l ON l.invoice_id = i.id
    JOIN tracks t ON t.id = l.track_id LEFT JOIN albums a ON a.id = t.album_id
  GROUP BY c.id, c.name, c.country ORDER BY c.id`;

/** The rows of a JSON text, in the form of the client's: names first, each value as it is written. */
function fields(json: string): readonly (readonly (string | null)[])[] {
  const source = (_key: string, value: unknown, about?: { readonly source?: string }) =>
    typeof value === "number" ? (about?.source ?? String(value)) : value;
  const rows = JSON.parse(json, source) as Record<string, string | null>[];
  return [Object.keys(rows[0] ?? {}), ...rows.map((row) => Object.values(row))];
}

function withoutNull(rows: readonly (readonly (string | null)[])[]): string[][] {
  return rows.map((row) => row.map((field) => field ?? ""));
}

for (const dialect of DIALECTS) {
  describe.skipIf(!dialect.available)(`sql, ${dialect.name}:`, () => {
    let server: Server;
    let shop: Loaded;
    // Servers that were started are stopped even if others fail to start.
    const begun = new AsyncDisposableStack();

    beforeAll(async () => {
      server = begun.use(await dialect.start());
      await server.load([...SHOP, ...dialect.odd.split(/;\s*\n/), ...chinook.chinookSql(dialect.kind, TABLES)]);
      const file = sandbox.at(`${dialect.name}.config.json`);
      const byId = { query: "SELECT * FROM people WHERE id = :id", list: "SELECT id FROM people" };
      const rules = [
        { match: "customers/{id}.json", generator: "shop", options: { ...byId, single: true } },
        { match: "customers/{id}.csv", generator: "shop", options: { query: byId.query } },
        {
          match: "by-name/{country}/{name}.md",
          generator: "shop",
          options: {
            query: "SELECT * FROM people WHERE name = :name AND country = :country",
            list: "SELECT name, country FROM people WHERE name IS NOT NULL",
          },
        },
        {
          match: "all.{csv,tsv,json,ndjson,md}",
          generator: "shop",
          options: { query: "SELECT * FROM people ORDER BY id" },
        },
        { match: "odd.*", generator: "shop", options: { query: "SELECT * FROM odd" } },
        { match: "none.*", generator: "shop", options: { query: "SELECT id, name FROM people WHERE 1 = 0" } },
        { match: "bytes.bin", generator: "shop", options: { query: "SELECT b FROM odd", column: "b" } },
        { match: "million.csv", generator: "shop", options: { query: dialect.million } },
        { match: "slow.csv", generator: "shop", options: { query: dialect.slow } },
        { match: "late.csv", generator: "shop", options: { query: dialect.slow, timeout: "300ms" } },
        { match: "write.csv", generator: "shop", options: { query: "DELETE FROM people" } },
        { match: "nothing.csv", generator: "shop", options: { query: dialect.nothing } },
        { match: "wrong.csv", generator: "shop", options: { query: "SELECT * FROM nowhere" } },
        ...TABLES.map(({ name, columns, keys }) => ({
          match: `tables/${name}.{csv,tsv,json,ndjson}`,
          generator: "shop",
          options: { query: ordered(name, columns.slice(0, keys)) },
        })),
        { match: "covers/{id}.bin", generator: "shop", options: { query: COVER, column: "cover" } },
        { match: "report.{csv,json}", generator: "shop", options: { query: REPORT } },
        ...["huge.csv", "huge.json"].map((match) => ({
          match,
          generator: "shop",
          maxBytes: 1_000_000,
          options: { query: `SELECT 1 AS one, ${dialect.text(8_000_000)} AS t` },
        })),
        {
          match: "huge.txt",
          generator: "shop",
          maxBytes: 1_000_000,
          options: { query: `SELECT ${dialect.text(8_000_000)} AS t`, column: "t" },
        },
        {
          match: "large.csv",
          generator: "shop",
          maxBytes: 100_000_000,
          options: { query: `SELECT id, ${dialect.text(3_000_000)} AS t FROM people` },
        },
        { match: "twice.csv", generator: "shop", options: { query: "SELECT 1 AS a, 2 AS a" } },
      ];
      writeFileSync(file, JSON.stringify({ generators: { shop: { use: "sql", url: `\${SHOP_URL}` } }, rules }));
      shop = begun.use(await loaded(file, { SHOP_URL: server.url }));
    }, 60_000);

    afterAll(() => begun.disposeAsync());

    test("a query becomes a file in the format of its extension", async () => {
      expect(await shop.text("/all.csv")).toBe("id,name,country\r\n1,Ada,UK\r\n2,Bo/x,DK\r\n3,..,DK\r\n4,,UK\r\n");
      expect(await shop.text("/all.tsv")).toBe("id\tname\tcountry\n1\tAda\tUK\n2\tBo/x\tDK\n3\t..\tDK\n4\t\tUK\n");
      expect(JSON.parse(await shop.text("/all.json"))).toHaveLength(4);
      expect((await shop.text("/all.ndjson")).split("\n")[0]).toBe('{"id": 1, "name": "Ada", "country": "UK"}');
      expect(await shop.text("/all.md")).toStartWith(
        "| id | name | country |\n| --- | --- | --- |\n| 1 | Ada | UK |\n",
      );
    });

    test("every value is exact in CSV and JSON", async () => {
      expect(await shop.text("/odd.csv")).toBe(dialect.csv);
      expect(await shop.text("/odd.json")).toBe(dialect.json);
      const [header, row] = parseCsvRows(await shop.text("/odd.csv"));
      expect(row?.[header?.indexOf("t") ?? 0]).toBe('a "q", b\nc');
      expect([...(await shop.bytes("/bytes.bin"))]).toEqual([0, 255, 10]);
    });

    test("a result without rows is a header line, or an empty list", async () => {
      expect(await shop.text("/none.csv")).toBe("id,name\r\n");
      expect(await shop.text("/none.json")).toBe("[]\n");
    });

    test("parts of the path are bound as parameters", async () => {
      expect(await shop.text("/customers/1.json")).toBe('{\n  "id": 1,\n  "name": "Ada",\n  "country": "UK"\n}\n');
      expect((await failure(shop.text("/customers/99.json"))).code).toBe("ENOENT");
    });

    test("SQL injection in any part of the path has no effect", async () => {
      for (const attempt of [
        "1 OR 1=1",
        "1'; DROP TABLE customers; --",
        "0 UNION SELECT 1,2,3",
        '1" OR ""="',
        "1\\' OR 1=1 -- ",
      ]) {
        const path = `/customers/${attempt.replaceAll("/", "%2F")}.csv`;
        const text = await shop.text(path).catch((error: FsError) => error.code);
        // MariaDB takes the digits at the start of a text for its number, as documented; never more than the row.
        expect(["EIO", "id,name,country\r\n", "id,name,country\r\n1,Ada,UK\r\n"]).toContain(text);
        const named = await shop.text(`/by-name/UK/${attempt}.md`);
        expect(named.split("\n")).toHaveLength(3);
      }
      expect(parseCsvRows(await shop.text("/all.csv"))).toHaveLength(5);
    });

    test("a listing has a file for every row, whatever characters its values contain", async () => {
      expect(await shop.list("/customers", "shop")).toEqual(["1.json", "2.json", "3.json", "4.json"]);
      const names = await shop.list("/by-name", "shop");
      expect([...names].sort()).toEqual(["DK/%2E%2E.md", "DK/Bo%2Fx.md", "UK/Ada.md"]);
      for (const name of names) expect(await shop.text(`/by-name/${name}`)).toContain("\n| ");
      expect(parsePattern("by-name/{country}/{name}.md").match("/by-name/DK/Bo%2Fx.md")?.get("name")).toBe("Bo/x");
    });

    test("every row of a shop of fifteen thousand rows matches the output of the database's own client", async () => {
      expect(TABLES.reduce((sum, { rows }) => sum + rows.length, 0)).toBeGreaterThan(15_000);
      for (const { name, columns, keys, rows } of TABLES) {
        const readable = columns.filter(([, type]) => type !== "bytes").map(([column]) => column);
        const query = ordered(name, columns.slice(0, keys)).replace("*", readable.join(", "));
        const theirs = await server.rows(query);
        expect(theirs).toHaveLength(rows.length + 1);
        const all = fields(await shop.text(`/tables/${name}.json`));
        const kept = columns.flatMap(([, type], index) => (type === "bytes" ? [] : [index]));
        const ours = (table: typeof all) => table.map((row) => kept.map((index) => row[index] ?? null));
        expect([name, ours(all)]).toEqual([name, theirs as string[][]]);
        expect([name, await csv(await shop.text(`/tables/${name}.csv`))]).toEqual([name, withoutNull(all)]);
        const lines = await shop.text(`/tables/${name}.ndjson`);
        expect(lines.trimEnd().split("\n")).toHaveLength(rows.length);
      }
    }, 60_000);

    test("values computed from six tables match the output of the database's own client", async () => {
      const theirs = await server.rows(REPORT);
      expect(theirs.length).toBeGreaterThan(50);
      expect(fields(await shop.text("/report.json"))).toEqual(theirs);
      expect(await csv(await shop.text("/report.csv"))).toEqual(withoutNull(theirs));
    });

    test("a binary value is returned byte for byte; NULL is an empty file", async () => {
      const albums = TABLES.find(({ name }) => name === "albums")?.rows ?? [];
      for (const [id, , , cover] of albums.slice(0, 40)) {
        const bytes = await shop.bytes(`/covers/${id}.bin`);
        expect(Buffer.from(bytes).toString("hex")).toBe(Buffer.from((cover as Uint8Array) ?? []).toString("hex"));
      }
    });

    test("sqlite3 imports every exported table unchanged", async () => {
      if (programs("sqlite3") !== undefined) return;
      for (const { name, rows, columns } of TABLES) {
        const file = sandbox.at(`${name}.csv`);
        writeFileSync(file, await shop.text(`/tables/${name}.csv`));
        const [column] = columns.find(([, type]) => type === "text") ?? ["track_id"];
        const imported = sqliteFile(":memory:");
        const query = `SELECT count(*) AS n, sum(length(${column})) AS l FROM t`;
        const [, [count, length] = []] = await imported.rows(`.import --csv ${file} t\n${query}`);
        const index = columns.findIndex(([other]) => other === column);
        const lengths = rows.map((row) => [...String(row[index] ?? "")].length).reduce((sum, one) => sum + one, 0);
        expect([name, count, length]).toEqual([name, String(rows.length), String(lengths)]);
      }
    }, 60_000);

    test("a million rows are complete", async () => {
      const bytes = await shop.bytes("/million.csv");
      expect(new TextDecoder().decode(bytes.slice(0, 9))).toBe("i\r\n1\r\n2\r\n");
      expect(new TextDecoder().decode(bytes.slice(-9))).toBe("1000000\r\n");
      expect(bytes.length).toBe(3 + 5_888_896 + 1_000_000 * 2);
    }, 60_000);

    test("the session is read-only", async () => {
      expect((await failure(shop.text("/write.csv"))).code).toBe("EROFS");
      expect(parseCsvRows(await shop.text("/all.csv"))).toHaveLength(5);
    });

    if (dialect.connections !== undefined)
      test("idle connections are closed", async () => {
        const connections = () => server.run(dialect.connections ?? "");
        for (let round = 0; round < 2; round++) {
          await shop.text("/odd.csv");
          expect(Number(await connections())).toBeGreaterThan(0);
          while (Number(await connections()) > 0) await Bun.sleep(200);
        }
      });

    test("a row larger than the rule's maxBytes is EFBIG, and the next query still works", async () => {
      for (const path of ["/huge.csv", "/huge.json", "/huge.txt"]) {
        const error = await failure(shop.text(path));
        expect([path, error.code]).toEqual([path, "EFBIG"]);
        expect(error.message).toContain("maxBytes");
      }
      expect(await shop.text("/all.ndjson")).toContain("Ada");
    });

    test("large rows are complete within the size limit", async () => {
      const rows = parseCsvRows(await shop.text("/large.csv"));
      expect(rows.map((row) => row[1]?.length)).toEqual([1, 3_000_000, 3_000_000, 3_000_000, 3_000_000]);
    });

    test("a wrong query, or one with two columns of the same name, is EIO with the reason", async () => {
      const wrong = await failure(shop.text("/wrong.csv"));
      expect([wrong.code, wrong.message]).toEqual(["EIO", expect.stringContaining("nowhere")]);
      expect((await failure(shop.text("/nothing.csv"))).message).toContain("returns no rows");
      expect((await failure(shop.text("/twice.csv"))).message).toContain('two columns are named "a"');
    });

    test("a statement that takes too long is ETIMEDOUT, also on a connection used before", async () => {
      await Promise.all(Array.from({ length: 16 }, () => shop.text("/all.csv")));
      expect((await failure(shop.text("/late.csv"))).code).toBe("ETIMEDOUT");
    });

    test("a query is cancelled in the server when its reader goes away", async () => {
      const stop = new AbortController();
      const reading = failure(shop.text("/slow.csv", stop.signal));
      if (dialect.running === "") await Bun.sleep(100);
      for (let count = "0"; dialect.running !== "" && count !== "1"; ) count = await server.run(dialect.running);
      stop.abort();
      expect((await reading).code).toBe("EINTR");
      while (dialect.running !== "" && (await server.run(dialect.running)) !== "0") await Bun.sleep(20);
      expect(await shop.text("/none.csv")).toBe("id,name\r\n");
    }, 30_000);

    test("sixteen parallel readers each get the complete result", async () => {
      const all = await Promise.all(Array.from({ length: 16 }, () => shop.text("/all.csv")));
      expect(new Set(all).size).toBe(1);
    });
  });
}

const limited: readonly (readonly [string, () => Promise<Server>, boolean, string])[] = [
  ["PostgreSQL", postgresServer, hasPostgres, "CREATE ROLE few LOGIN CONNECTION LIMIT 2"],
  [
    "MariaDB",
    mariadbServer,
    hasMariadb,
    "CREATE USER few@'%' IDENTIFIED BY '' WITH MAX_USER_CONNECTIONS 2; GRANT ALL ON *.* TO few@'%'",
  ],
];
for (const [name, start, present, allow] of limited) {
  test.skipIf(!present)(
    `${name}: readers wait for a connection if the server allows fewer than there are readers`,
    async () => {
      await using server = await start();
      await server.run(allow);
      using sandbox = new Sandbox();
      const file = sandbox.at("limited.json");
      const url = server.url.replace(/\/\/[^@]*@/, "//few@");
      const rule = { match: "{id}.csv", generator: "sql", options: { url, query: "SELECT :id AS id" } };
      writeFileSync(file, JSON.stringify({ rules: [rule] }));
      await using one = await loaded(file);
      const ids = Array.from({ length: 12 }, (_, index) => String(index));
      const texts = await Promise.all(ids.map((id) => one.text(`/${id}.csv`)));
      expect(texts).toEqual(ids.map((id) => `id\r\n${id}\r\n`));
    },
    60_000,
  );
}

test("a SQLite file whose writer was killed is EBUSY, with the cure, until the journal is rolled back", async () => {
  const file = sandbox.at("hot.db");
  const writer = `import os, sqlite3
db = sqlite3.connect(${JSON.stringify(file)}, isolation_level=None)
db.execute("CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n")
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN")
db.execute("UPDATE t SET i = 0")
os._exit(0)`;
  Bun.spawnSync({ cmd: ["python3", "-c", writer] });
  const config = sandbox.at("hot.config.json");
  const rule = {
    match: "x.csv",
    generator: "sql",
    options: { url: `sqlite:${file}`, query: "SELECT min(i) AS i FROM t" },
  };
  writeFileSync(config, JSON.stringify({ rules: [rule] }));
  await using hot = await loaded(config);
  const error = await failure(hot.text("/x.csv"));
  expect([error.code, error.message]).toEqual(["EBUSY", expect.stringContaining("open the database once")]);
  await sqliteFile(file).run("SELECT 1 FROM t LIMIT 1");
  expect(await hot.text("/x.csv")).toBe("i\r\n1\r\n");
});

test("a server that is down is EHOSTUNREACH, and the message has no password", async () => {
  for (const url of ["postgres://u:secret@127.0.0.1:1/x", "mysql://u:secret@127.0.0.1:1/x"]) {
    const file = sandbox.at("gone.config.json");
    const rule = { match: "x.csv", generator: "sql", options: { url: `\${URL}`, query: "SELECT 1" } };
    writeFileSync(file, JSON.stringify({ rules: [rule] }));
    await using gone = await loaded(file, { URL: url });
    const error = await failure(gone.text("/x.csv"));
    expect(error.code).toBe("EHOSTUNREACH");
    expect(error.message + gone.log.join()).not.toContain("secret");
  }
});
