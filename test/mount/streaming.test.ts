/**
 * Large contents, with the compiled binary: they pass through the process that generates them, and are never whole in
 * memory.
 */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasMariadb, hasPostgres, mariadbServer, postgresServer, type Server } from "../support/databases.ts";
import { describeMounted, LACKING } from "../support/mounted.ts";
import { BINARY, eventually, type Finished, finished, mountedType, Sandbox } from "../support/program.ts";

const sandbox = new Sandbox();
const work = sandbox.at("work");
const dir = sandbox.at("mnt");
const small = sandbox.at("small");

const ROWS = 1_000_000;
const MIB = 1024 * 1024;
/** The number of rows of every content below. */
const LEAST_BYTES = 200_000_000;
/** How much a process may grow: far less than the content, which is in the kernel's memory. */
const MOST_EXTRA = 150 * MIB;

const NAME = "' lorem ipsum, dolor sit amet consectetur adipisci velit'";
const QUERIES: Readonly<Record<string, string>> = {
  sqlite: `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ${ROWS}) SELECT n AS id, ${NAME} || ${NAME} || ${NAME} || ${NAME} AS name, n * 2 AS twice FROM s`,
  postgres: `SELECT g AS id, repeat(${NAME}, 4) AS name, g * 2 AS twice FROM generate_series(1, ${ROWS}) g`,
  mariadb: `SELECT seq AS id, repeat(${NAME}, 4) AS name, seq * 2 AS twice FROM seq_1_to_${ROWS}`,
};

const servers: Server[] = [];
const sources: string[] = ["sqlite"];
let server: ReturnType<Sandbox["start"]>;

/** In a process of its own, so that this process does not slow it down while it waits. */
const web = Bun.spawn({
  cmd: [
    process.execPath,
    "-e",
    `const server = require("node:http").createServer((_, response) => {
       let left = 220;
       const more = () => { while (left-- > 0) if (!response.write(Buffer.alloc(1e6, 65))) return response.once("drain", more); response.end(); };
       more();
     });
     server.listen(0, "127.0.0.1", () => console.log(server.address().port));`,
  ],
  stdio: ["ignore", "pipe", "inherit"],
});

beforeAll(async () => {
  if (LACKING !== undefined) return;
  for (const folder of [work, dir, small]) mkdirSync(folder);
  const port = Number(new TextDecoder().decode((await web.stdout.getReader().read()).value));
  new Database(join(work, "any.db"), { create: true }).run("CREATE TABLE any (thing)");
  const urls = new Map([["sqlite", "sqlite:./any.db"]]);
  for (const [name, available, start] of [
    ["postgres", hasPostgres, postgresServer],
    ["mariadb", hasMariadb, mariadbServer],
  ] as const) {
    if (!available) continue;
    const started = await start();
    servers.push(started);
    sources.push(name);
    urls.set(name, started.url);
  }
  const program = (script: string) => ({ command: ["sh", "-c", script] });
  const rules = [
    ...[...urls].map(([name, url]) => ({
      match: `${name}.csv`,
      generator: "sql",
      options: { url, query: QUERIES[name] },
    })),
    {
      match: "program",
      generator: "exec",
      options: { ...program("yes lorem ipsum | head -c 220000000"), maxBytes: 230e6 },
    },
    {
      match: "answer",
      generator: "http",
      options: { url: `http://127.0.0.1:${port}/`, private: true, maxBytes: 230e6 },
    },
    { match: "few.csv", generator: "sql", options: { url: "sqlite:./any.db", query: "SELECT 1 AS one" } },
    { match: "code", generator: "code" },
    { match: "little", generator: "little" },
    { match: "endless", generator: "exec", maxBytes: 50e6, options: program("yes") },
    { match: "overfull", generator: "exec", maxBytes: 1e12, options: { ...program("yes"), maxBytes: 1e12 } },
    { match: "broken", generator: "exec", options: program("yes | head -c 30000000; echo no more >&2; exit 67") },
    { match: "fits", generator: "exec", options: program("yes | head -c 30000000") },
  ];
  writeFileSync(
    join(work, "llmfs.config.ts"),
    `async function* pieces() { for (let left = 220; left > 0; left--) yield "x".repeat(1e6); }
     const generators = { code: { generate: () => ({ content: pieces() }) }, little: { generate: () => ({ content: "text" }) } };
     export default { generators, rules: ${JSON.stringify(rules)} };`,
  );
  server = sandbox.start(["mount", "--foreground", dir], { program: BINARY, cwd: work });
  await eventually("it is mounted", () => mountedType(dir) !== undefined);
  const mounted = await sandbox.llmfs(["mount", "--size", "40M", small], { program: BINARY, cwd: work });
  expect([mounted.status, mounted.stderr]).toEqual([0, `configuration: ${join(work, "llmfs.config.ts")}\n`]);
}, 120_000);

afterAll(async () => {
  web.kill();
  if (LACKING !== undefined) return;
  for (const mount of [dir, small]) await sandbox.llmfs(["unmount", mount], { program: BINARY });
  sandbox[Symbol.dispose]();
  for (const one of servers) await one[Symbol.asyncDispose]();
}, 60_000);

function sh(script: string, cwd = dir): Promise<Finished> {
  const child = Bun.spawn({ cmd: ["sh", "-c", script], cwd, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end();
  return finished(child);
}

/** Bytes, from /proc/PID/status. */
function memory(pid: number, field: "VmRSS" | "VmHWM"): number {
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

/** The process and its helpers. */
function processes(): number[] {
  const { pid } = server;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  return [pid, ...children.map(Number)];
}

/** Reads a file, and returns by how much the memory of any of the processes grew in the meantime. */
async function extraFor(name: string): Promise<{ size: number; extra: number }> {
  const before = new Map(processes().map((pid) => [pid, memory(pid, "VmRSS")]));
  // The peak is measured from now on.
  for (const pid of before.keys()) writeFileSync(`/proc/${pid}/clear_refs`, "5");
  const { stdout, stderr } = await sh(`head -c 1 ${name} >/dev/null && stat -c %s ${name}`);
  expect(stderr).toBe("");
  const extra = processes().map((pid) => memory(pid, "VmHWM") - (before.get(pid) ?? 0));
  return { size: Number(stdout), extra: Math.max(...extra) };
}

describeMounted("a large content", () => {
  test("a million rows arrive completely from each database", async () => {
    // This starts the process that queries SQLite.
    expect((await sh("cat few.csv")).stdout).toBe("one\r\n1\r\n");
    for (const name of sources) {
      const { size, extra } = await extraFor(`${name}.csv`);
      expect(size).toBeGreaterThan(LEAST_BYTES);
      expect([name, Math.round(extra / MIB), extra < MOST_EXTRA]).toEqual([name, expect.any(Number), true]);
      const { stdout } = await sh(`wc -l <${name}.csv; tail -n 1 ${name}.csv | cut -d, -f1`);
      expect(stdout).toBe(`${ROWS + 1}\n${ROWS}\n`);
    }
  }, 120_000);

  for (const name of ["program", "answer", "code"]) {
    test(`220 MB of content pass through without staying in memory: "${name}"`, async () => {
      // This starts the process that runs our code.
      expect((await sh("cat little")).stdout).toBe("text");
      const { size, extra } = await extraFor(name);
      expect(size).toBe(220_000_000);
      expect([Math.round(extra / MIB), extra < MOST_EXTRA]).toEqual([expect.any(Number), true]);
    }, 60_000);
  }

  test("content without an end is EFBIG and content that does not fit is ENOSPC as soon as that is known, and nothing stays", async () => {
    expect((await sh("cat endless | wc -c")).stderr).toContain("File too large");
    const space = async () => (await sh(`stat -f -c %f ${small}`)).stdout;
    const before = await space();
    expect((await sh("cat overfull | wc -c", small)).stderr).toContain("No space left");
    expect((await sh("cat broken | wc -c", small)).stderr).toContain("Permission denied");
    expect(await space()).toBe(before);
    expect((await sh("cat fits | wc -c", small)).stdout).toBe("30000000\n");
    const error = (await sh("getfattr --only-values -n user.llmfs.error overfull", small)).stdout;
    expect(error).toMatch(/^ENOSPC: \d+ bytes were generated so far/);
  }, 60_000);
});
