/**
 * Measures how fast recordings of a shared store are replayed and made, near and far: files per second.
 *
 *   npm run build && bun bench/store.ts            prints the table
 *   npm run build && bun bench/store.ts --write    also writes it into docs/fleet.md
 *   bun bench/store.ts --files 500                 fewer files
 *   bun bench/store.ts --only Redis/200            one row
 *
 * Redis is Debian's. S3 is a server in memory, so that llmfs is measured and not the server. A proxy delays what passes.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { structureToSnapshot } from "../src/snapshot/structure.ts";
import { createLink, type Link } from "../test/fleet/network.ts";
import { openaiServer } from "../test/support/openai-server.ts";
import { freePort } from "../test/support/servers.ts";

const LLMFS = join(import.meta.dir, "../dist/llmfs");
const PAGE = join(import.meta.dir, "../docs/fleet.md");
const MARKS = ["<!-- written by `bun bench/store.ts --write` -->", "<!-- end of figures -->"] as const;

const given = process.argv.indexOf("--files");
/** For replay, and for warming. */
const FILES = given < 0 ? 600 : Number(process.argv[given + 1]);
const WARMED = 120;
const DELAYS = [0, 50, 200];
const ONLY = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : undefined;
/** For warming: how long the model takes for an answer, and how many requests are sent at a time. */
const ANSWER_MS = 1_000;
const CONCURRENCY = 4;
/** Of a recording, in bytes: that of a source file and its request. */
const ANSWER = "a line of some source text, as a model writes it\n".repeat(80);

interface Store extends AsyncDisposable {
  readonly port: number;
  location(link: Link): { readonly url: string; readonly env: Record<string, string> };
}

async function startRedis(): Promise<Store> {
  const port = freePort();
  const folder = mkdtempSync(join(tmpdir(), "llmfs-bench-redis-"));
  const flags = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder];
  const child = Bun.spawn(["redis-server", ...flags], { stdout: "ignore", stderr: "inherit" });
  await Bun.sleep(1_000);
  return {
    port,
    location: ({ store }) => ({ url: `redis://${store.host}:${store.port}`, env: {} }),
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** As much of S3 as llmfs uses, without checking signatures. */
async function startS3(): Promise<Store> {
  const objects = new Map<string, { readonly text: string; readonly etag: string; readonly date: string }>();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      const there = objects.get(pathname);
      if (request.method === "PUT") {
        const [match, none] = [request.headers.get("if-match"), request.headers.get("if-none-match")];
        const text = await request.text();
        if ((none !== null && there !== undefined) || (match !== null && match !== there?.etag)) {
          return new Response("<Error><Code>PreconditionFailed</Code></Error>", { status: 412 });
        }
        const etag = `"${Bun.hash(text + performance.now()).toString(16)}"`;
        objects.set(pathname, { text, etag, date: new Date().toUTCString() });
        return new Response(null, { headers: { etag } });
      }
      if (request.method === "DELETE") {
        objects.delete(pathname);
        return new Response(null, { status: 204 });
      }
      if (searchParams.has("prefix")) return new Response("<ListBucketResult></ListBucketResult>");
      if (there === undefined) return new Response("<Error><Code>NoSuchKey</Code></Error>", { status: 404 });
      const headers = { etag: there.etag, "last-modified": there.date, "content-type": "text/plain" };
      return new Response(request.method === "HEAD" ? null : there.text, { headers });
    },
  });
  return {
    port: server.port ?? 0,
    location: ({ store }) => ({
      url: "s3://bench",
      env: {
        AWS_ENDPOINT_URL: `http://${store.host}:${store.port}`,
        AWS_ACCESS_KEY_ID: "bench",
        AWS_SECRET_ACCESS_KEY: "bench",
        AWS_REGION: "us-east-1",
      },
    }),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

interface Machine {
  readonly store: Store;
  readonly link: Link;
  readonly folder: string;
  readonly files: number;
  /** Absent: replay. */
  readonly modelUrl?: string;
  readonly concurrency?: number;
}

/** Files per second between the mount and the end of warming. */
async function run({ store, link, folder, files, modelUrl, concurrency = CONCURRENCY }: Machine): Promise<number> {
  const home = mkdtempSync(join(folder, "home-"));
  const tree = join(folder, `tree${files}.json`);
  const paths = Array.from({ length: files }, (_, index) => ({ path: `src/f${index}.txt`, type: "file" as const }));
  writeFileSync(tree, structureToSnapshot([{ path: "src", type: "directory" }, ...paths]));
  const { url, env } = store.location(link);
  const flags = ["--from", tree, "--recordings", url, "--model", "m"];
  const more =
    modelUrl === undefined ? ["--mode", "replay"] : ["--base-url", modelUrl, "--concurrency", String(concurrency)];
  const child = Bun.spawn([LLMFS, "run", "--warm", ...flags, ...more, "--", "true"], {
    cwd: home,
    env: { PATH: process.env.PATH ?? "", HOME: home, TMPDIR: home, NO_PROXY: "*", ...env },
    stdout: "ignore",
    stderr: "pipe",
  });
  const stderr = await child.stderr.text();
  if ((await child.exited) !== 0) throw new Error(`status ${child.exitCode}: ${stderr}`);
  const log = readFileSync(join(home, ".local/state/llmfs/llmfs.log"), "utf8");
  const at = (what: string) =>
    Date.parse(
      log
        .split("\n")
        .find((line) => line.includes(what))
        ?.split(" ")[0] ?? "",
    );
  return files / ((at("cli: running") - at("cli: mounted")) / 1_000);
}

async function measure(name: string, start: () => Promise<Store>, delay: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "llmfs-bench-store-"));
  await using model = await openaiServer();
  const modelUrl = model.baseUrl;
  /** The slowest of some machines. */
  const race = async (
    store: Store,
    machines: number,
    delay: number,
    how: Pick<Machine, "files" | "modelUrl" | "concurrency">,
  ) => {
    await using stack = new AsyncDisposableStack();
    const links: Link[] = [];
    for (let index = 0; index < machines; index++) {
      const link = await createLink({ index, storePort: store.port, modelPort: model.port, delay, namespaces: false });
      links.push(stack.use(link));
    }
    return Math.min(...(await Promise.all(links.map((link) => run({ store, link, folder, ...how })))));
  };
  const answer = (ms: number) =>
    model.script(async () => {
      await Bun.sleep(ms);
      return { stream: ANSWER };
    });
  const warm = async (machines: number) => {
    await using store = await start();
    const before = model.requests.length;
    const speed = await race(store, machines, delay, { files: WARMED, modelUrl });
    const paid = model.requests.length - before;
    if (paid !== WARMED) console.error(`${name}, ${delay} ms, ${machines} machines: ${paid} calls for ${WARMED} files`);
    return speed;
  };
  answer(ANSWER_MS);
  const [one, three] = [await warm(1), await warm(3)];
  answer(0);
  await using store = await start();
  await race(store, 1, 0, { files: FILES, modelUrl, concurrency: 32 });
  const replay = await race(store, 1, delay, { files: FILES });
  rmSync(folder, { recursive: true, force: true });
  return `| ${name} | ${delay} ms | ${replay.toFixed(0)} | ${one.toFixed(1)} | ${three.toFixed(1)} | ${(three / one).toFixed(1)} |`;
}

const head = [
  `${cpus().length} processors (${cpus()[0]?.model.trim()}), which store, proxy, model and machines share. Replay is of ${FILES.toLocaleString("en-US")} files of ` +
    `${(ANSWER.length / 1024).toFixed(0)} KiB. ${WARMED} files are warmed with a model that takes ${ANSWER_MS} ms; each machine sends ` +
    `${CONCURRENCY} requests at a time, so one machine reaches at most ${(CONCURRENCY * 1_000) / ANSWER_MS} files/s.`,
  "",
  "| store | round trip | replay | warm, 1 machine | warm, 3 machines | times as fast |",
  "|---|---:|---:|---:|---:|---:|",
];
const rows: string[] = [];
for (const [name, start] of [
  ["Redis", startRedis],
  ["S3", startS3],
] as const) {
  for (const delay of DELAYS) {
    if (ONLY !== undefined && ONLY !== `${name}/${delay}`) continue;
    rows.push(await measure(name, start, delay));
    console.error(rows.at(-1));
  }
}
const table = [...head, ...rows].join("\n");
console.log(table);
if (process.argv.includes("--write")) {
  const page = readFileSync(PAGE, "utf8");
  const [before = "", after = ""] = [page.split(MARKS[0])[0], page.split(MARKS[1])[1]];
  writeFileSync(PAGE, `${before}${MARKS[0]}\n\n${table}\n\n${MARKS[1]}${after}`);
}
