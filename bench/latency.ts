/**
 * Measures how long a user waits for llmfs itself: until a mount is ready, and on a first read beyond the model
 * server's own time.
 *
 *   bun bench/latency.ts        needs `npm run build`
 *
 * With the compiled binary, on this machine. The server is on loopback and takes 20 ms for an answer.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { structureToSnapshot } from "../src/snapshot/structure.ts";
import { writeThousandFiles } from "./thousand-files.ts";

const BINARY = join(import.meta.dir, "../dist/llmfs");
const MOUNTS = 20;
const READS = 50;
const SERVER_MS = 20;

const folder = mkdtempSync(join(tmpdir(), "llmfs-latency-"));
const mountpoint = join(folder, "mnt");
mkdirSync(mountpoint);

try {
  const empty = await mountTimes([]);
  const thousand = await mountTimes(["--from", writeThousandFiles(folder)]);
  const [loading = Number.NaN, ...reads] = await readTimes();
  const rows: readonly (readonly [string, readonly number[]])[] = [
    [`mount ready, empty tree (${MOUNTS})`, empty],
    [`mount ready, snapshot of 1,000 files (${MOUNTS})`, thousand],
    ["the first read of a mount, with the client to load (1)", [loading]],
    [`first read of a file (${READS})`, reads],
  ];
  console.log("| | median | p99 |\n|---|---|---|");
  for (const [name, times] of rows) console.log(`| ${name} | ${at(times, 0.5)} | ${at(times, 0.99)} |`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function mountTimes(flags: readonly string[]): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < MOUNTS; round++) {
    const begun = performance.now();
    await llmfs("mount", mountpoint, ...flags);
    times.push(performance.now() - begun);
    await llmfs("unmount", mountpoint);
  }
  return times;
}

/** The time of reads beyond the server's own. Reading runs in another thread, because this one is the server. */
async function readTimes(): Promise<number[]> {
  let serverTime = 0;
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const begun = performance.now();
      const { model }: { model: string } = JSON.parse(await request.text());
      await Bun.sleep(SERVER_MS);
      const answer = sse(model);
      serverTime = performance.now() - begun;
      return answer;
    },
  });
  const snapshot = join(folder, "pending.json");
  const names = Array.from({ length: READS + 1 }, (_, index) => `${index}.txt`);
  writeFileSync(snapshot, structureToSnapshot(names.map((path) => ({ path, type: "file" }))));
  const model = ["--base-url", `http://127.0.0.1:${server.port}/v1`, "--model", "m", "--mode", "off"];
  await llmfs("mount", mountpoint, "--from", snapshot, ...model);
  try {
    const times: number[] = [];
    for (const name of names) {
      const begun = performance.now();
      await readFile(join(mountpoint, name));
      times.push(performance.now() - begun - serverTime);
    }
    return times;
  } finally {
    await llmfs("unmount", mountpoint);
  }
}

function sse(model: string): Response {
  const content = "a line of generated text\n".repeat(100);
  const events = [
    { model, choices: [{ index: 0, delta: { content }, finish_reason: null }] },
    { model, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
    { model, choices: [], usage: { prompt_tokens: 1, completion_tokens: 1 } },
  ];
  const body = `${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")}data: [DONE]\n\n`;
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

async function llmfs(...args: readonly string[]): Promise<void> {
  const child = Bun.spawn({
    cmd: [BINARY, ...args],
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: folder },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if ((await child.exited) !== 0) throw new Error(`llmfs ${args[0]} failed`);
}

function at(times: readonly number[], share: number): string {
  const sorted = times.toSorted((a, b) => a - b);
  return `${(sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN).toFixed(1)} ms`;
}
