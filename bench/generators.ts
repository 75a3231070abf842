/**
 * Measures the overhead of a generated file: the time from the first `open` to the last byte, minus the time that its
 * source takes.
 *
 *   bun bench/generators.ts
 *
 * Files are read one after the other by another program. The budget is 5 ms a file.
 */
import { Database } from "bun:sqlite";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "./numbers.ts";

const ROOT = join(import.meta.dir, "..");
const BINARY = join(ROOT, "dist/llmfs");
const FILES = 300;
const BUDGET_MS = 5;

const folder = mkdtempSync(join(tmpdir(), "llmfs-bench-"));
const mnt = join(folder, "mnt");
mkdirSync(mnt);

using database = new Database(join(folder, "shop.db"), { create: true });
database.run(
  "CREATE TABLE items AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT i AS id, hex(randomblob(20)) AS name FROM n",
);
/** In a process of its own, because this one waits while the files are read. */
const server = Bun.spawn({
  cmd: [
    process.execPath,
    "-e",
    `const numbers = Array.from({ length: ${FILES} }, (_, index) => String(index));
     const server = Bun.serve({ hostname: "127.0.0.1", port: 0,
       fetch: (request) => request.url.endsWith("/list") ? Response.json(numbers) : new Response("x".repeat(1000)) });
     console.log(server.port);`,
  ],
  stdio: ["ignore", "pipe", "inherit"],
});
const port = Number(new TextDecoder().decode((await server.stdout.getReader().read()).value));

const query = "SELECT * FROM items WHERE id <= 100 AND id > :id - 100000";
const numbers = Array.from({ length: FILES }, (_, index) => `${index}`);
writeFileSync(
  join(folder, "llmfs.config.ts"),
  `const names = ${JSON.stringify(numbers)};
export default {
  generators: { own: { generate: () => ({ content: "x".repeat(1000) }), list: () => names } },
  rules: [
    { match: "own/*", generator: "own" },
    { match: "always/*", generator: "own", refresh: "always" },
    { match: "sqlite/{id}.csv", generator: "sql", options: { url: "sqlite:./shop.db", query: ${JSON.stringify(query)}, list: "SELECT id FROM items LIMIT ${FILES}" } },
    { match: "http/{id}", generator: "http", options: { url: "http://127.0.0.1:${port}/{id}", list: "http://127.0.0.1:${port}/list", private: true } },
    { match: "exec/{n}", generator: "exec", options: { command: ["true"], list: ["seq", "100"] } },
  ],
};
`,
);
/** Returns the median of milliseconds per file, from the first open to the last byte. */
function read(directory: string): number {
  const script = `
import os, sys, time
times = []
for name in os.listdir(sys.argv[1]):
    start = time.perf_counter()
    with open(os.path.join(sys.argv[1], name), "rb") as file: file.read()
    times.append(time.perf_counter() - start)
times.sort()
print(times[len(times) // 2] * 1000)`;
  const { stdout, stderr } = Bun.spawnSync({ cmd: ["python3", "-c", script, join(mnt, directory)] });
  if (stdout.length === 0) throw new Error(stderr.toString());
  return Number(stdout.toString());
}

async function medianTime(work: (index: number) => unknown, count = FILES): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    const start = performance.now();
    await work(index);
    times.push(performance.now() - start);
  }
  return median(times);
}

const env = { PATH: process.env.PATH, HOME: folder };
const mounted = Bun.spawnSync({ cmd: [BINARY, "mount", mnt], cwd: folder, env });
if (mounted.exitCode !== 0) throw new Error(mounted.stderr.toString());
try {
  const statement = database.prepare(query.replace(":id", "?"));
  const sources: readonly (readonly [string, number])[] = [
    ["own", 0],
    ["always", 0],
    ["sqlite", await medianTime((index) => statement.values(index))],
    ["http", await medianTime(async (index) => (await fetch(`http://127.0.0.1:${port}/${index}`)).text())],
    ["exec", await medianTime(() => Bun.spawnSync({ cmd: ["true"] }), 100)],
  ];
  let worst = 0;
  console.log("generator   file ms  source ms  over ms");
  for (const [name, source] of sources) {
    const file = read(name);
    worst = Math.max(worst, file - source);
    console.log(
      `${name.padEnd(10)} ${file.toFixed(2).padStart(8)} ${source.toFixed(2).padStart(10)} ${(file - source).toFixed(2).padStart(8)}`,
    );
  }
  console.log(`the most is ${worst.toFixed(2)} ms; the budget is ${BUDGET_MS} ms`);
  if (worst > BUDGET_MS) process.exitCode = 1;
} finally {
  Bun.spawnSync({ cmd: [BINARY, "unmount", mnt], env });
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}
