/** Databases and an API as files while their data changes: with the compiled binary, sixteen readers at a time. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chinook, chinookSql } from "../support/chinook.ts";
import { hasMariadb, hasPostgres, mariadbServer, postgresServer, type Server } from "../support/databases.ts";
import { describeMounted, LACKING } from "../support/mounted.ts";
import { BINARY, type Finished, finished, Sandbox } from "../support/program.ts";

const sandbox = new Sandbox();
const dir = sandbox.at("mnt");
const work = sandbox.at("work");

const TABLES = chinook();

function count(table: string): number {
  return TABLES.find(({ name }) => name === table)?.rows.length ?? 0;
}

/** Every line of an invoice has the same number: a reader who sees two numbers has seen a mixture. */
const LINES = count("invoice_lines");
const CUSTOMERS = count("customers");
const VERSIONED = "ALTER TABLE invoice_lines ADD COLUMN version integer DEFAULT 0";

interface Source {
  readonly name: string;
  setVersion(version: number): Promise<unknown>;
}

const lines = TABLES.find(({ name }) => name === "invoice_lines")?.rows ?? [];
const tracks = TABLES.find(({ name }) => name === "tracks")?.rows ?? [];
/** Sums over all lines: of their prices, and of the lengths of their tracks' names. */
const PRICES = lines.reduce((sum, [, , , price]) => sum + Number(price), 0);
const TRACKS = lines.reduce((sum, [, , track]) => sum + [...String(tracks[Number(track) - 1]?.[1])].length, 0);
const API_CUSTOMERS = 60;

const servers: Server[] = [];
const sources: Source[] = [];
const OWN = join(work, "version");
function ownVersion(version: number): void {
  writeFileSync(`${OWN}.new`, String(version));
  renameSync(`${OWN}.new`, OWN);
}

let apiVersion = 0;
let apiAsked = 0;
const api = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    apiAsked += 1;
    if (pathname === "/customers") {
      const page = Number(searchParams.get("page") ?? "1");
      const ids = Array.from({ length: 20 }, (_, i) => ({ id: (page - 1) * 20 + i + 1 }));
      return Response.json({ items: ids, next: page * 20 < API_CUSTOMERS ? `/customers?page=${page + 1}` : null });
    }
    const version = apiVersion;
    const etag = `"${version}"`;
    if (request.headers.get("if-none-match") === etag) return new Response(null, { status: 304 });
    const rows = Array.from({ length: 200 }, (_, i) => `${i},${version}`);
    return new Response(`id,version\r\n${rows.join("\r\n")}\r\n`, { headers: { etag } });
  },
});

beforeAll(async () => {
  if (LACKING !== undefined) return;
  mkdirSync(dir);
  mkdirSync(work);
  const env: Record<string, string> = {};
  const rules: unknown[] = [
    {
      match: "api/customers/{id}.csv",
      generator: "http",
      refresh: "always",
      options: {
        url: `http://127.0.0.1:${api.port}/one/{id}`,
        private: true,
        list: `http://127.0.0.1:${api.port}/customers`,
        items: "$.items[*]",
        next: "$.next",
      },
    },
    { match: "rendered.csv", generator: "template", refresh: "always", options: { template: "./rendered.liquid" } },
    { match: "own.csv", generator: "own", refresh: "always" },
  ];
  writeFileSync(
    join(work, "rendered.liquid"),
    "id,version\n{% assign rows = '/sqlite/lines.csv' | read | parse_csv %}{% for row in rows %}{{ row.id }},{{ row.version }}\n{% endfor %}",
  );
  ownVersion(0);
  const shop = join(work, "shop.db");
  {
    using database = new Database(shop, { create: true });
    for (const sql of ["PRAGMA journal_mode = WAL", ...chinookSql("sqlite", TABLES), VERSIONED]) database.run(sql);
  }
  const add = (name: string, url: string, setVersion: Source["setVersion"]) => {
    env[`${name.toUpperCase()}_URL`] = url;
    sources.push({ name, setVersion });
    const database = { url: `\${${name.toUpperCase()}_URL}` };
    const query =
      "SELECT l.id, c.name, t.name AS track, l.price, l.version FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id JOIN customers c ON c.id = i.customer_id JOIN tracks t ON t.id = l.track_id ORDER BY l.id";
    rules.push({
      match: `${name}/lines.{csv,json,tsv}`,
      generator: "sql",
      refresh: "always",
      options: { ...database, query, list: "SELECT 'lines.csv' AS path UNION SELECT 'lines.json'" },
    });
    rules.push({
      match: `${name}/customers/{id}.json`,
      generator: "sql",
      refresh: "always",
      options: {
        ...database,
        query: "SELECT * FROM customers WHERE id = :id",
        list: "SELECT id FROM customers",
        single: true,
      },
    });
  };
  add("sqlite", `sqlite:${shop}`, async (version) => {
    using database = new Database(shop);
    database.run("PRAGMA busy_timeout = 5000");
    database.run("UPDATE invoice_lines SET version = ?", [version]);
  });
  for (const [name, available, start, dialect] of [
    ["postgres", hasPostgres, postgresServer, "postgres"],
    ["mariadb", hasMariadb, mariadbServer, "mysql"],
  ] as const) {
    if (!available) continue;
    const server = await start();
    servers.push(server);
    await server.load([...chinookSql(dialect, TABLES), VERSIONED]);
    add(name, server.url, (version) => server.run(`UPDATE invoice_lines SET version = ${version}`));
  }
  writeFileSync(
    join(work, "llmfs.config.ts"),
    `import { readFileSync } from "node:fs";
    async function* rows(version) {
      yield "id,version\\n";
      for (let id = 0; id < 500; id++) {
        if (id % 100 === 0) await Bun.sleep(0);
        yield id + "," + version + "\\n";
      }
    }
    const own = { generate: () => ({ content: rows(readFileSync(${JSON.stringify(OWN)}, "utf8")) }) };
    export default { generators: { own }, rules: ${JSON.stringify(rules)} };`,
  );
  const mounted = await sandbox.llmfs(["mount", dir], { program: BINARY, cwd: work, env });
  expect(mounted.stderr).toBe(`configuration: ${join(work, "llmfs.config.ts")}\n`);
}, 120_000);

afterAll(async () => {
  if (LACKING !== undefined) return;
  await sandbox.llmfs(["unmount", dir], { program: BINARY });
  sandbox[Symbol.dispose]();
  for (const server of servers) await server[Symbol.asyncDispose]();
  api.stop(true);
}, 60_000);

function program(cmd: string[]): Promise<Finished> {
  const child = Bun.spawn({ cmd, cwd: dir, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end();
  return finished(child);
}

async function out(...cmd: string[]): Promise<string> {
  const { status, stdout, stderr } = await program(cmd);
  if (status !== 0) throw new Error(`${cmd.join(" ")}: ${stderr}`);
  return stdout;
}

const READER = `
import csv, io, os, sys
last = -1; seen = set()
while len(seen) < 5:
    with open(sys.argv[1], newline="") as file:
        size = os.fstat(file.fileno()).st_size
        text = file.read()
    assert len(text.encode()) == size, (len(text), size)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == int(sys.argv[2]), len(rows)
    versions = {row["version"] for row in rows}
    assert len(versions) == 1, versions
    version = int(versions.pop())
    assert version >= last, (version, last)
    last = version; seen.add(version)
`;

/** Sixteen readers of one file while the data changes, until each has seen five versions of it. */
async function readers(path: string, rows: number, change: (version: number) => Promise<unknown>): Promise<void> {
  let going = true;
  const changing = (async () => {
    for (let version = 1; going; version++) {
      await change(version);
      await Bun.sleep(1);
    }
  })();
  const all = await Promise.all(
    Array.from({ length: 16 }, () => program(["python3", "-c", READER, path, String(rows)])),
  );
  going = false;
  await changing;
  expect(all.map(({ status, stderr }) => [status, stderr])).toEqual(all.map(() => [0, ""]));
}

describeMounted("sources that change", () => {
  test("a reader of a view never gets a mixture of changing data, on any database", async () => {
    expect(sources.length).toBe(1 + Number(hasPostgres) + Number(hasMariadb));
    for (const { name, setVersion } of sources) await readers(`${name}/lines.csv`, LINES, setVersion);
  }, 120_000);

  test("a reader of an API's answer never gets a mixture, and an unchanged answer is not sent again", async () => {
    await readers("api/customers/1.csv", 200, async (version) => {
      apiVersion = version;
    });
    // It may have changed once more after the last reader.
    await out("cat", "api/customers/1.csv");
    const asked = apiAsked;
    const before = await out("stat", "-c", "%i %Y", "api/customers/1.csv");
    await out("cat", "api/customers/1.csv");
    await out("cat", "api/customers/1.csv");
    expect(apiAsked).toBe(asked + 2);
    expect(await out("stat", "-c", "%i %Y", "api/customers/1.csv")).toBe(before);
  }, 60_000);

  test("a template that includes a view, and code that streams, never get a mixture of changing data", async () => {
    const [source] = sources;
    if (source === undefined) throw new Error("there is no source");
    await readers("rendered.csv", LINES, (version) => source.setVersion(1000 + version));
    await readers("own.csv", 500, async (version) => ownVersion(version));
  }, 120_000);

  test("files from all sources can be listed, and read by common tools", async () => {
    expect((await out("ls", "api/customers")).split("\n")).toHaveLength(API_CUSTOMERS + 1);
    for (const { name } of sources) {
      expect((await out("ls", `${name}/customers`)).split("\n")).toHaveLength(CUSTOMERS + 1);
      const [id, customer] = TABLES.find((table) => table.name === "customers")?.rows[6] ?? [];
      expect(JSON.parse(await out("cat", `${name}/customers/7.json`))).toMatchObject({ id, name: customer });
      const imported = await out(
        "sqlite3",
        ":memory:",
        `.import --csv ${name}/lines.csv t`,
        "SELECT count(*), printf('%.2f', sum(price)), sum(length(track)) FROM t",
      );
      expect(imported).toBe(`${LINES}|${PRICES.toFixed(2)}|${TRACKS}\n`);
      expect(JSON.parse(await out("cat", `${name}/lines.json`))).toHaveLength(LINES);
    }
  }, 60_000);

  test("file names cannot inject anything into any source", async () => {
    for (const { name } of sources) {
      for (const attempt of ["1 OR 1=1", "1'; DROP TABLE customers; --", "1) UNION SELECT 1 --", "%27%20OR%201=1"]) {
        expect((await program(["cat", `${name}/customers/${attempt}.json`])).stderr).toContain("No such file");
      }
      expect((await out("ls", `${name}/customers`)).split("\n")).toHaveLength(CUSTOMERS + 1);
    }
  }, 60_000);
});
