/** The option `database` of the generator sql, if symlinks in the mount lead out of it. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { copyFileSync, lstatSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { querySqlite } from "../../src/generators/workers/sqlite.ts";
import { describeMounted } from "../support/mounted.ts";
import { BINARY, eventually, Sandbox } from "../support/program.ts";

const SECRET = "what only the host's database holds";

describeMounted("a database in the mount", () => {
  let sandbox: Sandbox;
  let m: string;
  beforeEach(async () => {
    sandbox = new Sandbox();
    m = sandbox.directory("m");
    mkdirSync(sandbox.at("host"));
    create(sandbox.at("host/shop.db"), SECRET);
    create(sandbox.at("inner.db"), "inside");
    const paths = [
      "plain.db",
      "link.db",
      "out/shop.db",
      "in/shop.db",
      "up/../../host/shop.db",
      "loop.db",
      "absolute.db",
      "swap/shop.db",
    ];
    const rules = paths.map((database, index) => ({
      match: `${index}.csv`,
      generator: "sql",
      refresh: "always",
      options: { database, query: "SELECT text, big FROM t" },
    }));
    writeFileSync(sandbox.at("c.json"), JSON.stringify({ rules }));
    const { status } = await sandbox.llmfs(["mount", m, "--config", "c.json"], { program: BINARY });
    expect(status).toBe(0);
  });
  afterEach(() => sandbox[Symbol.dispose]());

  function create(file: string, text: string): void {
    using database = new Database(file);
    database.run("CREATE TABLE t (text TEXT, big INTEGER)");
    database.run("INSERT INTO t VALUES (?, 9007199254740993)", [text]);
  }

  /** The content that a reader gets, or its error. */
  async function read(index: number): Promise<{ text: string; error: string }> {
    const child = Bun.spawn({ cmd: ["cat", `${m}/${index}.csv`], stdio: ["ignore", "pipe", "pipe"] });
    const text = await new Response(child.stdout).text();
    await child.exited;
    const attribute = Bun.spawn({
      cmd: ["getfattr", "--only-values", "-n", "user.llmfs.error", `${m}/${index}.csv`],
      stdio: ["ignore", "pipe", "ignore"],
    });
    return { text, error: await new Response(attribute.stdout).text() };
  }

  test("a database in the mount can be queried, even through symlinks that stay inside the mount", async () => {
    copyFileSync(sandbox.at("inner.db"), `${m}/plain.db`);
    mkdirSync(`${m}/folder`);
    copyFileSync(sandbox.at("inner.db"), `${m}/folder/shop.db`);
    symlinkSync("plain.db", `${m}/link.db`);
    symlinkSync("./folder/../folder", `${m}/in`);
    symlinkSync(`${m}/folder/shop.db`, `${m}/absolute.db`);
    for (const index of [0, 1, 3, 6]) {
      expect([index, (await read(index)).text]).toEqual([index, "text,big\r\ninside,9007199254740993\r\n"]);
    }
  });

  test("a database in the mount is never replaced by a database of the host", async () => {
    symlinkSync(sandbox.at("host/shop.db"), `${m}/link.db`);
    symlinkSync("../host", `${m}/out`);
    symlinkSync("loop.db", `${m}/loop.db`);
    symlinkSync("/proc/self/root", `${m}/absolute.db`);
    for (const [index, code] of [
      [1, "EACCES"],
      [2, "EACCES"],
      [4, "ENOENT"],
      [5, "ELOOP"],
      [6, "EACCES"],
    ] as const) {
      const { text, error } = await read(index);
      expect([index, text, error]).toEqual([index, "", expect.stringContaining(code)]);
    }
    expect((await read(1)).error).toContain('the option "database": link.db leads out of the mount at /link.db');
  });

  test("a database in the mount is not replaced by one of the host while somebody puts symlinks into its path", async () => {
    mkdirSync(`${m}/real`);
    copyFileSync(sandbox.at("inner.db"), `${m}/real/shop.db`);
    symlinkSync(sandbox.at("host"), `${m}/swap`);
    // renameat2(2) with RENAME_EXCHANGE: at each moment one of the two exists.
    const script = `
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
real, swap = os.fsencode("${m}/real"), os.fsencode("${m}/swap")
end = time.time() + 30
while time.time() < end:
    libc.renameat2(-100, real, -100, swap, 2)
`;
    const swapper = Bun.spawn({ cmd: ["python3", "-c", script], stdio: ["ignore", "ignore", "ignore"] });
    try {
      const query = {
        file: `${m}/swap/shop.db`,
        within: m,
        sql: "SELECT text FROM t",
        maxBytes: 1000,
        params: [],
        format: "csv",
        single: false,
      } as const;
      let text = "";
      const failures = new Set<string>();
      const piece = async (bytes: Uint8Array) => {
        text += new TextDecoder().decode(bytes);
      };
      const signal = new AbortController().signal;
      const conversation = {
        signal,
        piece,
        log() {},
        ask: async () => undefined,
        result() {},
        input: async () => new Uint8Array(0),
      };
      await eventually("the first swap", () => lstatSync(`${m}/swap`).isDirectory());
      for (let tries = 0; tries < 1000; tries++) {
        await querySqlite(query, conversation).catch((error: unknown) => failures.add(String(error)));
      }
      expect(text).toContain("inside");
      expect(text).not.toContain(SECRET);
      expect(failures.size).toBeGreaterThan(0);
    } finally {
      swapper.kill("SIGKILL");
      await swapper.exited;
    }
  });

  test("a database in the mount must be named by its path in the mount, and templates and programs must be outside", async () => {
    copyFileSync(sandbox.at("inner.db"), `${m}/plain.db`);
    writeFileSync(`${m}/program`, "#!/bin/sh\necho ran\n", { mode: 0o755 });
    symlinkSync("/bin/echo", `${m}/echo`);
    const rules = [
      { match: "a.csv", generator: "sql", options: { url: `sqlite:${m}/plain.db`, query: "SELECT * FROM t" } },
      { match: "b", generator: "exec", options: { command: [`${m}/program`] } },
      { match: "c", generator: "exec", options: { command: [`${m}/echo`, "ran"] } },
      { match: "d", generator: "template", options: { template: `${m}/plain.db` } },
    ];
    writeFileSync(sandbox.at("rules.json"), JSON.stringify({ rules }));
    for (const { match } of rules) {
      const args = ["generators", "test", match, "--config", "rules.json"];
      const { status, stdout, stderr } = await sandbox.llmfs(args, { program: BINARY });
      expect([match, status, stdout]).toEqual([match, 90, ""]);
      expect(stderr).toContain(`is inside the llmfs mount at ${m}`);
      expect(stderr).toContain("(EACCES)");
    }
  });

  test("a database in the mount does not use a write-ahead log of the host", async () => {
    const source = sandbox.at("host/wal.db");
    using database = new Database(source);
    database.run("PRAGMA journal_mode = WAL");
    database.run("CREATE TABLE t (text TEXT, big INTEGER)");
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    copyFileSync(source, `${m}/plain.db`);
    database.run("INSERT INTO t VALUES (?, 1)", [SECRET]);
    symlinkSync(`${source}-wal`, `${m}/plain.db-wal`);
    const { text } = await read(0);
    expect(text).not.toContain(SECRET);
    rmSync(`${m}/plain.db-wal`);
  });
});
