/** Databases and an API as files of a mount, while their data changes: by the compiled binary, sixteen readers at a time. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasMariadb, hasPostgres, mariadbServer, postgresServer, type Server } from "../support/databases.ts";
import { describeMounted, LACKING } from "../support/mounted.ts";
import { BINARY, type Finished, finished, Sandbox } from "../support/program.ts";

const sandbox = new Sandbox();
const dir = sandbox.at("mnt");
const work = sandbox.at("work");

/** Every customer's invoices carry one number: whoever sees two of them saw a mixture. */
const CUSTOMERS = 60;
const INVOICES = 600;
const SCHEMA = [
  "CREATE TABLE customers (id integer PRIMARY KEY, name varchar(80), country varchar(40))",
  "CREATE TABLE invoices (id integer PRIMARY KEY, customer integer, total decimal(12, 2), version integer)",
  `INSERT INTO customers VALUES ${Array.from({ length: CUSTOMERS }, (_, i) => `(${i + 1}, 'Customer "${i + 1}", Ltd', 'C${i % 7}')`).join(", ")}`,
  `INSERT INTO invoices VALUES ${Array.from({ length: INVOICES }, (_, i) => `(${i + 1}, ${(i % CUSTOMERS) + 1}, ${i}.${i % 10}5, 0)`).join(", ")}`,
];

interface Source {
  readonly name: string;
  setVersion(version: number): Promise<unknown>;
}

const servers: Server[] = [];
const sources: Source[] = [];
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
      return Response.json({ items: ids, next: page * 20 < CUSTOMERS ? `/customers?page=${page + 1}` : null });
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
    { match: "summary.md", generator: "template", refresh: "always", options: { template: "./summary.liquid" } },
  ];
  writeFileSync(
    join(work, "summary.liquid"),
    "{% assign rows = '/sqlite/invoices.csv' | read | parse_csv %}{{ rows | size }} of version {{ rows[0].version }} to {{ rows.last.version }}\n",
  );
  const shop = join(work, "shop.db");
  {
    using database = new Database(shop, { create: true });
    for (const sql of ["PRAGMA journal_mode = WAL", ...SCHEMA]) database.run(sql);
  }
  const add = (name: string, url: string, setVersion: Source["setVersion"]) => {
    env[`${name.toUpperCase()}_URL`] = url;
    sources.push({ name, setVersion });
    const database = { url: `\${${name.toUpperCase()}_URL}` };
    const query =
      "SELECT i.id, c.name, i.total, i.version FROM invoices i JOIN customers c ON c.id = i.customer ORDER BY i.id";
    rules.push({
      match: `${name}/invoices.{csv,json,tsv}`,
      generator: "sql",
      refresh: "always",
      options: { ...database, query, list: "SELECT 'invoices.csv' AS path UNION SELECT 'invoices.json'" },
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
    database.run("UPDATE invoices SET version = ?", [version]);
  });
  for (const [name, available, start] of [
    ["postgres", hasPostgres, postgresServer],
    ["mariadb", hasMariadb, mariadbServer],
  ] as const) {
    if (!available) continue;
    const server = await start();
    servers.push(server);
    for (const sql of SCHEMA) await server.run(sql);
    add(name, server.url, (version) => server.run(`UPDATE invoices SET version = ${version}`));
  }
  writeFileSync(join(work, "llmfs.config.json"), JSON.stringify({ rules }));
  const mounted = await sandbox.llmfs(["mount", dir], { program: BINARY, cwd: work, env });
  expect(mounted.stderr).toBe("");
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
import csv, os, sys, time
end = time.time() + 2.5; last = -1; opens = 0
while time.time() < end:
    with open(sys.argv[1], newline="") as file:
        size = os.fstat(file.fileno()).st_size
        text = file.read()
    assert len(text.encode()) == size, (len(text), size)
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    assert len(rows) == int(sys.argv[2]), len(rows)
    versions = {row["version"] for row in rows}
    assert len(versions) == 1, versions
    version = int(versions.pop())
    assert version >= last, (version, last)
    last = version; opens += 1
print(opens, last)
`;

/** Sixteen readers of one file while the data changes. What each printed: how often it opened, the last version. */
async function readers(path: string, rows: number, change: (version: number) => Promise<unknown>): Promise<void> {
  let going = true;
  let version = 0;
  const changing = (async () => {
    while (going) {
      await change(++version);
      await Bun.sleep(5);
    }
  })();
  const all = await Promise.all(
    Array.from({ length: 16 }, () => program(["python3", "-c", READER, path, String(rows)])),
  );
  going = false;
  await changing;
  expect(all.map(({ status, stderr }) => [status, stderr])).toEqual(all.map(() => [0, ""]));
  expect(version).toBeGreaterThan(1);
}

describeMounted("sources while they change:", () => {
  test("no reader of a view ever sees a mixture, on any database", async () => {
    expect(sources.length).toBe(1 + Number(hasPostgres) + Number(hasMariadb));
    for (const { name, setVersion } of sources) await readers(`${name}/invoices.csv`, INVOICES, setVersion);
  }, 120_000);

  test("nor of an API's answer, and what has not changed is not sent again", async () => {
    await readers("api/customers/1.csv", 200, async (version) => {
      apiVersion = version;
    });
    const asked = apiAsked;
    const before = await out("stat", "-c", "%i %Y", "api/customers/1.csv");
    await out("cat", "api/customers/1.csv");
    await out("cat", "api/customers/1.csv");
    expect(apiAsked).toBe(asked + 2);
    expect(await out("stat", "-c", "%i %Y", "api/customers/1.csv")).toBe(before);
  }, 60_000);

  test("nor of a template that includes a view", async () => {
    let going = true;
    const changing = (async () => {
      for (let version = 1000; going; version++) {
        await sources[0]?.setVersion(version);
        await Bun.sleep(3);
      }
    })();
    for (let round = 0; round < 20; round++) {
      const [, first, last] = /^600 of version (\d+) to (\d+)\n$/.exec(await out("cat", "summary.md")) ?? [];
      expect([first, first !== undefined]).toEqual([last, true]);
    }
    going = false;
    await changing;
  }, 60_000);

  test("all are listed, and read by the tools people have", async () => {
    expect((await out("ls", "api/customers")).split("\n")).toHaveLength(CUSTOMERS + 1);
    for (const { name } of sources) {
      expect((await out("ls", `${name}/customers`)).split("\n")).toHaveLength(CUSTOMERS + 1);
      expect(JSON.parse(await out("cat", `${name}/customers/7.json`))).toMatchObject({
        id: 7,
        name: 'Customer "7", Ltd',
      });
      const imported = await out(
        "sqlite3",
        ":memory:",
        `.import --csv ${name}/invoices.csv t`,
        "SELECT count(*), sum(total), max(name) FROM t",
      );
      expect(imported).toStartWith("600|");
      expect(imported).toContain('Customer "9", Ltd');
      expect(JSON.parse(await out("cat", `${name}/invoices.json`))).toHaveLength(INVOICES);
    }
  }, 60_000);

  test("an attempt at injection in a name does nothing", async () => {
    for (const { name } of sources) {
      for (const attempt of ["1 OR 1=1", "1'; DROP TABLE customers; --", "1) UNION SELECT 1 --", "%27%20OR%201=1"]) {
        expect((await program(["cat", `${name}/customers/${attempt}.json`])).stderr).toContain("No such file");
      }
      expect((await out("ls", `${name}/customers`)).split("\n")).toHaveLength(CUSTOMERS + 1);
    }
  }, 60_000);
});
