/**
 * Measures the processor time of a generated file, as a ratio to the least that it could take.
 *
 *   bun bench/cost.ts [--files N] [--rounds N] [--write]     with dist/llmfs
 *
 * - warm: pending files with `llmfs warm`, a server that takes 50 ms, 64 at a time; without recordings, and with. Compared
 *   with the `openai` client alone, in a process of its own, sending the same requests and reading the same streams.
 *   Goals: 1.5 times as much, and 1.8 times with recordings.
 * - replay: the same files from those recordings. Compared with `cat` of the recordings. Goal: 0.15 ms a file more.
 *
 * Processor time is hardly affected by what else a machine does, which wall time is. Rounds are interleaved; the results are
 * medians. `--write` puts them into docs/performance.md.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { adapt, PLAIN_DIALECT } from "../src/llm/dialect.ts";
import { createForesight } from "../src/offline/dry-run.ts";
import { OfflineTree } from "../src/offline/offline-tree.ts";
import { structureToSnapshot } from "../src/snapshot/structure.ts";
import { describeMachine } from "./machine.ts";
import { median } from "./numbers.ts";
import { writeReport } from "./report.ts";

const LLMFS = join(import.meta.dir, "../dist/llmfs");
const AT_ONCE = 64;
/** In this time, everything is loaded that the first reader would otherwise wait for. */
const SETTLED_MS = 1500;

const { values } = parseArgs({
  options: {
    files: { type: "string", default: "1000" },
    rounds: { type: "string", default: "3" },
    write: { type: "boolean", default: false },
  },
});
const FILES = Number(values.files);
const ROUNDS = Number(values.rounds);

/** What spends processor time: the two threads of llmfs, and Bun's own. */
const PARTS = ["main thread", "filesystem thread", "compiler", "memory", "HTTP", "file pool", "all"] as const;
type Part = (typeof PARTS)[number];

/** Milliseconds of processor time a file. */
type Cost = Readonly<Record<Part, number>>;

const costs = new Map<string, Cost[]>();
const folder = mkdtempSync(join(tmpdir(), "llmfs-bench-"));
const mnt = join(folder, "mnt");
const from = join(folder, "from.json");
const bodies = join(folder, "bodies.json");
mkdirSync(mnt);
writeFileSync(from, snapshot());
writeFileSync(bodies, JSON.stringify(await requests()));
const [server, port] = await startServer();
try {
  for (let round = 0; round < ROUNDS; round++) {
    const recordings = join(folder, `recordings${round}`);
    const asking = ["--base-url", `http://127.0.0.1:${port}/v1`];
    note("openai client alone", await client());
    note("warm", await warm([...asking, "--mode", "off"]));
    note("warm, recording", await warm([...asking, "--recordings", recordings]));
    note("cat of the recordings", await cat(recordings));
    note("replay", await warm(["--mode", "replay", "--recordings", recordings]));
  }
  const text = `${describeMachine()}. ${FILES} files; medians of ${ROUNDS} interleaved rounds.\n\n${report()}`;
  console.log(text);
  if (values.write) writeReport("cost", text);
} finally {
  server.kill();
  rmSync(folder, { recursive: true, force: true });
}

function note(name: string, cost: Cost): void {
  costs.set(name, [...(costs.get(name) ?? []), cost]);
}

function report(): string {
  const costOf = (name: string, part: Part) => median((costs.get(name) ?? []).map((cost) => cost[part]));
  const bare = costOf("openai client alone", "all");
  const reading = costOf("cat of the recordings", "all");
  const compared = (name: string): string => {
    if (name.startsWith("warm")) return `${(costOf(name, "all") / bare).toFixed(2)} times the client alone`;
    return name === "replay" ? `${(costOf(name, "all") - reading).toFixed(3)} ms more than cat` : "";
  };
  const ms = (value: number) => value.toFixed(3);
  const rows = [...costs.keys()].map((name) => {
    const parts = PARTS.map((part) => ms(costOf(name, part)));
    return `| ${name} | ${parts.join(" | ")} | ${compared(name)} |`;
  });
  return [
    `| ms of processor time a file | ${PARTS.join(" | ")} | |`,
    `|---|${PARTS.map(() => "---:|").join("")}---|`,
    ...rows,
  ].join("\n");
}

async function warm(flags: readonly string[]): Promise<Cost> {
  await llmfs("mount", mnt, "--from", from, "--model", "bench", "--concurrency", `${AT_ONCE}`, ...flags);
  try {
    const { pid }: { readonly pid: number } = JSON.parse(await llmfs("status", "--json", mnt));
    await Bun.sleep(SETTLED_MS);
    const before = threadsOf(pid);
    const { done }: { readonly done: number } = JSON.parse(await llmfs("warm", "--json", mnt));
    if (done !== FILES) throw new Error(`${done} of ${FILES} files were generated`);
    return costSince(before, threadsOf(pid), pid);
  } finally {
    await llmfs("unmount", mnt, "--lazy");
  }
}

async function client(): Promise<Cost> {
  const command = [process.execPath, join(import.meta.dir, "bare-client.ts"), `${port}`, `${AT_ONCE}`, bodies];
  const child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe" });
  const said = child.stdout.getReader();
  await said.read();
  await Bun.sleep(SETTLED_MS);
  const before = threadsOf(child.pid);
  child.stdin.write("go\n");
  child.stdin.flush();
  await said.read();
  const cost = costSince(before, threadsOf(child.pid), child.pid);
  child.kill();
  return cost;
}

async function cat(recordings: string): Promise<Cost> {
  const files = readdirSync(recordings).map((name) => join(recordings, name));
  const child = Bun.spawn(["cat", ...files], { stdout: "ignore" });
  await child.exited;
  const ms = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1000 / FILES;
  return { ...nothing(), "main thread": ms, all: ms };
}

interface Thread {
  readonly name: string;
  readonly nanoseconds: number;
}

function threadsOf(pid: number): ReadonlyMap<string, Thread> {
  const tasks = readdirSync(`/proc/${pid}/task`).map((tid): [string, Thread] => {
    const read = (file: string) => readFileSync(`/proc/${pid}/task/${tid}/${file}`, "utf8");
    return [tid, { name: read("comm").trim(), nanoseconds: Number(read("schedstat").split(" ")[0]) }];
  });
  return new Map(tasks);
}

function costSince(before: ReadonlyMap<string, Thread>, after: ReadonlyMap<string, Thread>, pid: number): Cost {
  const spent = nothing();
  for (const [tid, { name, nanoseconds }] of after) {
    const ms = (nanoseconds - (before.get(tid)?.nanoseconds ?? 0)) / 1e6 / FILES;
    spent[tid === `${pid}` ? "main thread" : partOf(name)] += ms;
    spent.all += ms;
  }
  return spent;
}

function nothing(): Record<Part, number> {
  return { "main thread": 0, "filesystem thread": 0, compiler: 0, memory: 0, HTTP: 0, "file pool": 0, all: 0 };
}

/** Bun names its threads, and llmfs its own. */
function partOf(thread: string): Part {
  if (thread === "filesystem") return "filesystem thread";
  if (thread.startsWith("JIT") || thread.startsWith("JSC")) return "compiler";
  if (thread.startsWith("HTTP")) return "HTTP";
  return thread.startsWith("Bun Pool") ? "file pool" : "memory";
}

async function startServer() {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "slow-server.ts")], { stdout: "pipe" });
  const said = (await child.stdout.getReader().read()).value;
  return [child, Number(new TextDecoder().decode(said))] as const;
}

async function llmfs(...args: readonly string[]): Promise<string> {
  const env = { ...process.env, XDG_STATE_HOME: folder };
  const child = Bun.spawn([LLMFS, ...args], { env, stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`llmfs ${args[0]}: ${err}`);
  return out;
}

function path(index: number): string {
  return `d${index % 100}/file${index}.txt`;
}

function snapshot(): string {
  const entries = Array.from({ length: FILES }, (_, index) => ({
    path: path(index),
    type: "file" as const,
    description: `the file with the number ${index}`,
  }));
  return structureToSnapshot(entries);
}

/** The bodies that llmfs sends for these files. */
async function requests(): Promise<readonly object[]> {
  const tree = new OfflineTree({ file: from });
  const foresight = createForesight({ tree, modelName: "bench" });
  const found: object[] = [];
  for (let index = 0; index < FILES; index++) {
    const { asks } = await foresight.foresee(`/${path(index)}`);
    if (asks === undefined) throw new Error(`nothing is asked for ${path(index)}`);
    found.push(adapt(asks.request, PLAIN_DIALECT));
  }
  return found;
}
