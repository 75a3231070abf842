/** Generators on a real mount, with the compiled binary: what programs see. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeMounted, LACKING } from "../support/mounted.ts";
import { BINARY, eventually, type Finished, finished, Sandbox } from "../support/program.ts";

const sandbox = new Sandbox();

const dir = sandbox.at("mnt");
const work = sandbox.at("work");
const shop = join(work, "shop.db");

const CONFIG = `
import { defineConfig, FsError, type ContentGenerator } from "llmfs";
import { pad } from "leftish";
import { readFileSync } from "node:fs";

const hello: ContentGenerator = { generate: (path) => ({ content: pad(path, 20) + "\\n", metadata: { made: "by hand" } }) };
const bad = (generate: ContentGenerator["generate"]) => ({ generate });

export default defineConfig({
  generators: {
    hello,
    shop: { use: "sql", url: "sqlite:./shop.db" },
    exits: bad(() => process.exit(0)),
    loops: bad(() => { for (;;); }),
    throws: bad(() => { throw 42; }),
    fails: bad(() => { throw new Error("no such tide"); }),
    chooses: bad(() => { throw new FsError("ENXIO", "the tide is out"); }),
    rejects: bad(() => { Promise.reject(new Error("nobody waits for this")); return { content: "fine\\n" }; }),
    huge: bad(() => ({ content: "x".repeat(2 ** 29) + "y".repeat(2 ** 29) })),
    blocks: bad(() => ({ content: readFileSync(process.env.MNT + "/rejects") })),
    nothing: bad(() => undefined),
    slow: { async generate(_path, { signal }) { await new Promise((_, no) => signal.addEventListener("abort", () => no(new Error("stopped")))); } },
    spawns: bad(async (path, { working }) => {
      const child = Bun.spawn(["cat", process.env.MNT + path], { stdio: ["ignore", "pipe", "pipe"] });
      working?.(child.pid);
      throw new Error(await new Response(child.stderr).text());
    }),
    joins: bad(async (_path, { read }) => ({ content: Buffer.concat([await read("/hello.txt"), await read("/all.csv")]) })),
    round: bad(async (path, { read }) => ({ content: await read(path === "/round/a" ? "/round/b" : "/round/a") })),
  },
  rules: [
    { match: "hello.txt", generator: "hello" },
    { match: "all.csv", generator: "shop", refresh: "always", options: { query: "SELECT id, name, version FROM items ORDER BY id" } },
    { match: "held.csv", generator: "shop", refresh: "1h", options: { query: "SELECT max(version) AS v FROM items" } },
    { match: "stale.csv", generator: "shop", refresh: "1ms", stale: true, options: { query: "SELECT max(version) AS v FROM items" } },
    { match: "items/{id}.json", generator: "shop", refresh: "always",
      options: { query: "SELECT * FROM items WHERE id = :id", single: true, list: "SELECT id FROM items WHERE id < 10" } },
    { match: "named/{id}.json", generator: "shop", refresh: "always", options: { query: "SELECT * FROM items WHERE id = :id", single: true } },
    { match: "named/{id}.txt", generator: "template", options: { text: "{% assign one = '/named/1.json' | read | parse_json %}{{ params.id }} and {{ one.id }}" } },
    { match: "both.{txt,md}", generator: "static", options: { content: "twice\\n" } },
    { match: "inside.json", generator: "sql", options: { database: "/inner.db", query: "SELECT * FROM t" } },
    { match: "ledger.csv", generator: "sql", refresh: "always", options: { database: "books/ledger.db", query: "SELECT (SELECT sum(amount) FROM a) AS a, (SELECT sum(amount) FROM b) AS b, (SELECT count(*) FROM a) AS n" } },
    { match: "ledgers/{id}.csv", generator: "sql", options: { database: "books/ledger.db", query: "SELECT * FROM a WHERE amount = :id", list: "SELECT DISTINCT amount AS id FROM b LIMIT 3" } },
    { match: "nowhere.csv", generator: "sql", options: { database: "/no/such.db", query: "SELECT 1" } },
    { match: "itself.csv", generator: "sql", options: { database: "/itself.csv", query: "SELECT 1" } },
    { match: "report.md", generator: "template", refresh: "always",
      options: { text: "{% assign rows = '/all.csv' | read | parse_csv %}{{ rows.size }} rows, version {{ rows[0].version }}\\n{% include '/hello.txt' %}" } },
    { match: "broken.md", generator: "template", options: { template: "./broken.liquid" } },
    { match: "pages/**", generator: "template", options: { folder: "./pages" } },
    { match: "program.json", generator: "exec", options: { command: ["./program.sh"], input: { a: 1 } } },
    { match: "forks.txt", generator: "exec", timeout: "500ms", options: { command: ["sh", "-c", "trap '' TERM; sleep 987654 & sleep 987654; wait"] } },
    { match: "refused.txt", generator: "exec", options: { command: ["sh", "-c", "echo not allowed >&2; exit 77"] } },
    { match: "written.txt", generator: "static", options: { content: "as written\\n" } },
    { match: ["round/a", "round/b"], generator: "round" },
    ...["a", "b"].map((name) => ({ match: "snake/" + name, generator: "exec",
      options: { command: ["sh", "-c", "setsid -w cat $MNT/snake/" + (name === "a" ? "b" : "a")], env: ["MNT"] } })),
    { match: "outer/{n}", generator: "exec", timeout: "20s", options: { env: ["MNT"],
      command: ["python3", "-c", "import json, os, sys; print(open(os.environ['MNT'] + '/inner/' + json.load(sys.stdin)['params']['n']).read(), end='')"] } },
    { match: "inner/{n}", generator: "exec", timeout: "20s", options: { command: ["echo", "inner"] } },
    { match: "tail", generator: "exec", options: { command: ["sh", "-c", "cat $MNT/tail"], env: ["MNT"] } },
    { match: "copy", generator: "exec", options: { command: ["sh", "-c", "cat $MNT/hello.txt $MNT/program.json"], env: ["MNT"] } },
    ...["exits", "throws", "fails", "chooses", "rejects", "huge", "nothing", "slow", "spawns", "joins"].map((name) => ({ match: name, generator: name })),
    ...["loops", "blocks"].map((name) => ({ match: name, generator: name, timeout: "700ms" as const })),
  ],
});
`;

/** A program whose working directory is the mount. */
async function sh(script: string): Promise<Finished> {
  const child = Bun.spawn({ cmd: ["sh", "-c", script], cwd: dir, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end();
  return finished(child);
}

async function out(script: string): Promise<string> {
  const { status, stdout, stderr } = await sh(script);
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}

/** Every row contains the same version, which determines the length of its name. */
function setVersion(version: number): void {
  using database = new Database(shop);
  database.run("PRAGMA busy_timeout = 5000");
  database.run("UPDATE items SET version = ?, name = ?", [version, "n".repeat((version * 7) % 40)]);
}

beforeAll(async () => {
  if (LACKING !== undefined) return;
  mkdirSync(dir);
  mkdirSync(join(work, "node_modules/leftish"), { recursive: true });
  writeFileSync(join(work, "node_modules/leftish/package.json"), '{"name":"leftish","main":"i.js"}');
  writeFileSync(join(work, "node_modules/leftish/i.js"), 'exports.pad = (text, n) => text.padStart(n, ".");');
  writeFileSync(join(work, "llmfs.config.ts"), CONFIG);
  writeFileSync(join(work, "broken.liquid"), "fine\n{{ a | nofilter: }}{% endif %}\n");
  writeFileSync(join(work, "program.sh"), "#!/bin/sh\necho talk >&2\ncat\n", { mode: 0o755 });
  mkdirSync(join(work, "pages/deep"), { recursive: true });
  writeFileSync(join(work, "pages/deep/a.txt.liquid"), "{{ path }}");
  using database = new Database(shop, { create: true });
  database.run("PRAGMA journal_mode = WAL");
  database.run("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, version INTEGER)");
  database.run(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO items SELECT i, '', 0 FROM n",
  );
  const mounted = await sandbox.llmfs(["mount", dir], { program: BINARY, cwd: work, env: { MNT: dir } });
  expect(mounted.stderr).toBe(`configuration: ${join(work, "llmfs.config.ts")}\n`);
}, 60_000);

afterAll(async () => {
  if (LACKING !== undefined) return;
  await sandbox.llmfs(["unmount", dir], { program: BINARY });
  sandbox[Symbol.dispose]();
}, 30_000);

describeMounted("a generator of a configuration", () => {
  test("a configured generator may import a package beside it, and its metadata is stored", async () => {
    expect(await out("cat hello.txt")).toBe("........../hello.txt\n");
    expect(await out("getfattr --only-values -n user.llmfs.meta.made hello.txt")).toBe("by hand");
  });

  const failures: readonly (readonly [string, RegExp])[] = [
    ["exits", /Input\/output error/],
    ["loops", /timed out/],
    ["throws", /Input\/output error/],
    ["fails", /Input\/output error/],
    ["chooses", /No such device or address/],
    ["huge", /File too large/],
    ["blocks", /timed out/],
    ["nothing", /Input\/output error/],
    ["refused.txt", /Permission denied/],
    ["broken.md", /Input\/output error/],
    ["round/a", /deadlock/],
  ];
  for (const [name, message] of failures) {
    test(`a generator that misbehaves (${name}) is an error for its reader, and the mount keeps working`, async () => {
      const { status, stderr } = await sh(`cat ${name}`);
      expect([status, stderr]).toEqual([1, expect.stringMatching(message)]);
      expect(await out("cat written.txt")).toStartWith("as written\n");
      expect(await out("cat hello.txt")).toBe("........../hello.txt\n");
    }, 30_000);
  }

  test("a generator that fails is logged with its name, the path and the stack", async () => {
    for (const said of [
      /\/fails: generator "fails": Error: no such tide/,
      /llmfs\.config\.ts:\d+:\d+/,
      /broken\.liquid, line:2/,
      /\/round\/b → \/round\/a → \/round\/b/,
    ]) {
      await eventually(`${said} is logged`, () => said.test(sandbox.log()));
    }
  });

  test("a generator gets its abort signal on Ctrl-C, and the reader returns at once", async () => {
    const { status } = await sh("timeout -s INT 0.3 cat slow");
    expect(status).toBe(124);
  });

  test("an external program gets JSON, its standard error is logged, and its whole process group ends with it", async () => {
    expect(JSON.parse(await out("cat program.json"))).toMatchObject({ path: "/program.json", options: { a: 1 } });
    await eventually("the talk is logged", () => /program\.json: talk/.test(sandbox.log()));
    expect((await sh("cat forks.txt")).stderr).toMatch(/timed out/);
    const running = () => Bun.spawnSync({ cmd: ["pgrep", "-f", "sleep 987654"] }).stdout.toString();
    await eventually("the group is gone", () => running() === "");
  }, 30_000);

  test("an external program may read other files of the mount, and gets an error at once if that forms a cycle", async () => {
    expect(await out("cat copy")).toStartWith("........../hello.txt\n{");
    for (const [name, loop] of [
      ["snake/a", "/snake/b → /snake/a → /snake/b"],
      ["tail", "/tail → /tail"],
    ] as const) {
      expect((await sh(`cat ${name}`)).stderr).toMatch(/Input\/output error/);
      await eventually("the loop is logged", () => sandbox.log().includes(`depend on each other: ${loop}`));
    }
  }, 30_000);

  test("a generator that starts a program and reports it gets an error if that program forms a cycle", async () => {
    expect((await sh("cat spawns")).stderr).toMatch(/Input\/output error/);
    expect(await out("getfattr --only-values -n user.llmfs.error spawns")).toContain("deadlock");
  }, 30_000);

  test("an external program may wait for others even if more wait than may run at a time", async () => {
    expect(await out("seq 40 | xargs -P 40 -I% cat outer/% | sort | uniq -c")).toBe("     40 inner\n");
  }, 60_000);

  test("a template can read a view, and code can read both", async () => {
    expect(await out("cat joins | head -2")).toBe("........../hello.txt\nid,name,version\r\n");
    expect(await out("cat report.md")).toMatch(/^2000 rows, version \d+\n\.+\/hello.txt\n$/);
  });

  test("a folder of templates fills a directory", async () => {
    expect(await out("find pages -type f")).toBe("pages/deep/a.txt\n");
    expect(await out("cat pages/deep/a.txt")).toBe("/pages/deep/a.txt");
  });

  test("views are files that tools read as ordinary CSV and JSON", async () => {
    setVersion(3);
    const python =
      "import csv,sys; rows=list(csv.DictReader(open('all.csv', newline=''))); print(len(rows), rows[7]['name'])";
    expect(await out(`python3 -c "${python}"`)).toBe(`2000 ${"n".repeat(21)}\n`);
    expect(await out("sqlite3 :memory: '.import --csv all.csv t' 'select count(*), max(version) from t'")).toBe(
      "2000|3\n",
    );
    expect(
      await out("stat -c %s all.csv; cat all.csv | wc -c").then((text) => new Set(text.trim().split("\n")).size),
    ).toBe(1);
  });

  test("a generator may query a database inside the same mount", async () => {
    using database = new Database(join(work, "inner.db"), { create: true });
    database.run("CREATE TABLE t AS SELECT 7 AS seven");
    database.close();
    await out(`cp ${work}/inner.db inner.db`);
    expect(JSON.parse(await out("cat inside.json"))).toEqual([{ seven: 7 }]);
    expect((await sh("cat nowhere.csv")).stderr).toMatch(/No such file/);
    expect((await sh("cat itself.csv")).stderr).toMatch(/deadlock/);
  });

  for (const journal of ["DELETE", "WAL"]) {
    test(`a database inside the mount is read as of one moment between transactions while a program writes to it (${journal})`, async () => {
      await out(
        `mkdir -p books && sqlite3 books/ledger.db "PRAGMA journal_mode = ${journal}; DROP TABLE IF EXISTS a; DROP TABLE IF EXISTS b; CREATE TABLE a (amount); CREATE TABLE b (amount); INSERT INTO a VALUES (0); INSERT INTO b VALUES (0);"`,
      );
      const writer = join(work, "writer.py");
      // An amount is booked in both tables in one transaction, with a pause between the two.
      writeFileSync(
        writer,
        `import os, sqlite3
db = sqlite3.connect("books/ledger.db", timeout=30, isolation_level=None)
n = 0
while not os.path.exists("books/stop"):
    n += 1
    db.execute("BEGIN IMMEDIATE")
    db.executemany("INSERT INTO a VALUES (?)", [(n,)] * 50)
    db.executemany("INSERT INTO b VALUES (?)", [(n,)] * 50)
    db.execute("COMMIT")
    if n == 1: print("begun", flush=True)
`,
      );
      const writing = Bun.spawn({ cmd: ["python3", writer], cwd: dir, stdio: ["ignore", "pipe", "inherit"] });
      await writing.stdout.getReader().read();
      const sums = await Promise.all(
        Array.from({ length: 16 }, () => out("for i in 1 2 3 4; do tail -n 1 ledger.csv; done")),
      );
      await out("touch books/stop");
      await writing.exited;
      const counts = new Set<string>();
      for (const line of sums.flatMap((text) => text.trim().split("\r\n"))) {
        const [a, b, count = ""] = line.trim().split(",");
        expect([line, a]).toEqual([line, b]);
        counts.add(count);
      }
      expect(counts.size).toBeGreaterThan(1);
      expect((await out("ls ledgers")).split("\n").length).toBeGreaterThan(2);
      await out("rm -f books/*; rmdir books");
    }, 60_000);
  }

  test("a generator that lists a directory adds and removes files with its source, and keeps what users wrote", async () => {
    expect(await out("ls items")).toBe(`${[1, 2, 3, 4, 5, 6, 7, 8, 9].map((id) => `${id}.json`).join("\n")}\n`);
    {
      using database = new Database(shop);
      database.run("INSERT INTO items VALUES (0, 'zero', 3)");
      expect(await out("cat items/0.json")).toContain('"zero"');
      await out("echo mine > items/5.json; echo other > items/own.txt");
      database.run("DELETE FROM items WHERE id IN (0, 5, 6)");
    }
    expect(await out("ls items")).toBe("1.json\n2.json\n3.json\n4.json\n5.json\n7.json\n8.json\n9.json\nown.txt\n");
    expect(await out("cat items/5.json items/own.txt")).toBe("mine\nother\n");
    expect((await sh("cat items/6.json")).stderr).toMatch(/No such file/);
    using database = new Database(shop);
    database.run("INSERT INTO items VALUES (5, '', 3), (6, '', 3)");
  });

  test("a lookup asks a generator whose rule has a path parameter whether the file exists", async () => {
    expect(await out("ls named; stat -c %F named")).toBe("directory\n");
    expect((await sh("cat named/999999.json")).stderr).toMatch(/No such file/);
    expect(JSON.parse(await out("cat named/7.json"))).toMatchObject({ id: 7 });
    expect(await out("test -e named/77.json && test ! -e named/zero.json && ls named")).toBe("7.json\n77.json\n");
    expect(await out("cat named/any.txt")).toBe("any and 1");
    expect(
      await out("echo mine >named/own.json; cat named/own.json; cat named/other.csv 2>/dev/null || echo none"),
    ).toBe("mine\nnone\n");
    using database = new Database(shop);
    database.run("DELETE FROM items WHERE id = 77");
    expect((await sh("cat named/77.json")).stderr).toMatch(/No such file/);
    expect(await out("ls named")).toBe("1.json\n7.json\nany.txt\nown.json\n");
    database.run("INSERT INTO items VALUES (77, '', 3)");
  });

  test("a rule with only choices as wildcards makes a file for each choice", async () => {
    expect(await out("ls both.*; cat both.md")).toBe("both.md\nboth.txt\ntwice\n");
  });

  test("a directory that a generator lists can be read by find and tar", async () => {
    expect(await out("find items -name '7*' | xargs cat")).toContain('"id": 7');
    expect(await out("tar cf - items 2>/dev/null | tar tf - | wc -l")).toBe("11\n");
    expect(statSync(join(dir, "items")).isDirectory()).toBe(true);
  });

  test("with refresh: always each open shows everything committed before it, and an open file never changes", async () => {
    for (let version = 10; version < 30; version++) {
      setVersion(version);
      expect(await out("tail -n 1 all.csv")).toBe(`2000,${"n".repeat((version * 7) % 40)},${version}\r\n`);
    }
    const held = Bun.spawn({
      cmd: ["sh", "-c", "exec 5<all.csv; echo; read x; md5sum <&5; cat all.csv | tail -n 1"],
      cwd: dir,
      stdio: ["pipe", "pipe", "inherit"],
    });
    const before = await out("md5sum <all.csv");
    const reader = held.stdout.getReader();
    await reader.read();
    setVersion(31);
    held.stdin.write("\n");
    held.stdin.end();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read())
      text += new TextDecoder().decode(part.value);
    expect(text).toBe(`${before}2000,${"n".repeat(17)},31\r\n`);
  }, 30_000);

  test("a time to live keeps content for that time, and serves stale content while it is generated again", async () => {
    setVersion(40);
    expect(await out("cat held.csv stale.csv")).toBe("v\r\n40\r\nv\r\n40\r\n");
    setVersion(41);
    expect(await out("cat held.csv")).toBe("v\r\n40\r\n");
    expect(await out("cat stale.csv")).toBe("v\r\n40\r\n");
    for (let text = ""; text !== "v\r\n41\r\n"; ) text = await out("cat stale.csv");
  });

  test("sixteen readers while the data changes get no mixed content, mmap and read agree, and sizes are right", async () => {
    const script = join(work, "reader.py");
    writeFileSync(
      script,
      `import mmap, os, sys
seen = set(); last = -1
while len(seen) < int(sys.argv[1]):
    fd = os.open("all.csv", os.O_RDONLY)
    size = os.fstat(fd).st_size
    with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as m: mapped = m[:]
    data = b""
    while True:
        piece = os.read(fd, 65536)
        if not piece: break
        data += piece
    os.close(fd)
    assert data == mapped, "mmap and read differ"
    assert len(data) == size, (len(data), size)
    lines = data.split(b"\\r\\n")
    assert lines[0] == b"id,name,version" and lines[-1] == b"", lines[:2]
    tails = {line.split(b",", 1)[1] for line in lines[1:-1]}
    assert len(lines) == 2002, len(lines)
    assert len(tails) == 1, tails
    name, version = tails.pop().split(b",")
    assert len(name.strip(b'"')) == int(version) * 7 % 40
    assert int(version) >= last, (int(version), last)
    last = int(version); seen.add(last)
`,
    );
    const readers = Promise.all(
      Array.from({ length: 16 }, () => {
        const child = Bun.spawn({ cmd: ["python3", script, "8"], cwd: dir, stdio: ["pipe", "pipe", "pipe"] });
        child.stdin.end();
        return finished(child);
      }),
    );
    // Until all readers have ended, so that each sees as many versions as it waits for.
    let reading = true;
    void readers.then(() => {
      reading = false;
    });
    for (let version = 100; reading; version++) {
      setVersion(version);
      await Bun.sleep(1);
    }
    const all = await readers;
    expect(all.map(({ status, stderr }) => [status, stderr])).toEqual(all.map(() => [0, ""]));
  }, 60_000);

  test("a view becomes static when somebody writes to it", async () => {
    await out("echo mine > held.csv; cat held.csv");
    await out("cat report.md > /dev/null; echo more >> report.md");
    setVersion(999);
    expect(await out("tail -n 1 report.md; cat held.csv")).toBe("more\nmine\n");
  });

  test("a snapshot holds no settings or options, and files with a time to live are generated again after a restore", async () => {
    const saved = sandbox.at("saved.json");
    await sandbox.llmfs(["save", dir, saved], { program: BINARY });
    const text = await Bun.file(saved).text();
    expect(text).not.toContain("sqlite:");
    expect(text).not.toContain("SELECT");
    expect(text).toContain("user.llmfs.refresh");
    // Without the configuration a restored tree is what was saved, and causes no requests.
    const elsewhere = sandbox.directory("elsewhere");
    const args = ["run", "--from", saved, "--", "sh", "-c", "cat all.csv | wc -l; ls items | wc -l"];
    expect((await sandbox.llmfs(args, { program: BINARY, cwd: elsewhere })).stdout).toBe("2001\n10\n");
    const again = sandbox.llmfs(["run", "--from", saved, "--", "sh", "-c", "tail -n 1 all.csv"], {
      program: BINARY,
      cwd: work,
      env: { MNT: dir },
    });
    setVersion(1000);
    expect((await again).stdout).toMatch(/,(999|1000)\r\n$/);
  });
});

test("an invalid configuration is refused before anything is mounted, with the file and the cure", async () => {
  const folder = sandbox.directory("broken");
  const mnt = sandbox.directory("broken-mnt");
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [
      "llmfs.config.json",
      '{"rules":[{"match":"a","generator":"sq"}]}',
      /rule 1: unknown generator "sq"; expected one of: exec, http, llm/,
    ],
    [
      "llmfs.config.json",
      '{"rules":[{"match":"a","generator":"sql","options":{"quary":"x"}}]}',
      /unknown option "quary"/,
    ],
    ["llmfs.config.yaml", "rules:\n  - match: a\n    generator: exec\n    refresh: soon\n", /refresh "soon"/],
    [
      "llmfs.config.yaml",
      'rules:\n  - match: a\n    generator: exec\n    options: { command: "ls -l" }\n',
      /the option "command" .* write \[ls, -l\], or \[sh, -c, "ls -l"\]/,
    ],
    [
      "llmfs.config.toml",
      '[[rules]]\nmatch = "a"\ngenerator = "static"\ntimeout = "x"\n',
      /:4: rule 1: the option "timeout" must be a time/,
    ],
    ["llmfs.config.ts", "export default { generators: { a: {} } };", /the generator "a" is an object without/],
    ["llmfs.config.ts", "throw new Error('at once');", /at once/],
    ["llmfs.config.ts", "process.exit(7);", /ended with status 7/],
  ];
  for (const [name, text, message] of cases) {
    const file = join(folder, name);
    writeFileSync(file, text);
    const { status, stderr } = await sandbox.llmfs(["mount", mnt, "--config", file], { program: BINARY });
    expect([name, status, stderr]).toEqual([name, 84, expect.stringMatching(message)]);
  }
  expect(readdirSync(mnt)).toEqual([]);
}, 60_000);
