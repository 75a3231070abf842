/**
 * Compares how filesystems serve streams of requests depending on where their callers run, how many there are, and what
 * else the processors do.
 *
 *   bun bench/placement.ts [--rounds N] [--ms N] [--only NAME,…] [--row TEXT]… [--build NAME=PROGRAM]… [--write]
 *
 * Needs root, gcc, taskset and `npm run build`. Every caller makes, changes, renames and removes files for
 * `--ms` milliseconds. `--only` and `--row` choose filesystems and rows; `--build` adds another executable of llmfs.
 * `--write` puts the tables into docs/performance.md.
 *
 * Each cell has two figures: wall time of an operation, as a multiple of tmpfs's in the same row, and the µs of processor
 * time that the server and its callers take for it together.
 */
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Contestant, contestants, otherBuild } from "./contestants.ts";
import { describeMachine, keepBusy, kindOfMachine } from "./machine.ts";
import { formatNumber, median } from "./numbers.ts";
import { type Peer, preparePeers, run } from "./peers.ts";
import { writeReport } from "./report.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    ms: { type: "string", default: "400" },
    only: { type: "string" },
    row: { type: "string", multiple: true },
    build: { type: "string", multiple: true, default: [] },
    write: { type: "boolean", default: false },
  },
});

interface Situation {
  readonly row: string;
  /** How many callers; 1 if absent. */
  readonly callers?: number;
  /** The processors that the callers, the server, and programs without end may use; a list for taskset. */
  readonly callersOn?: string;
  readonly serverOn?: string;
  readonly hog?: string;
  /** All processors but one are busy. */
  readonly busy?: boolean;
  /** The share of one processor that server and callers may use together. */
  readonly quota?: number;
  /** Operations are 10 ms apart. */
  readonly sparse?: boolean;
}

const SITUATIONS: readonly Situation[] = [
  { row: "one caller, the other processors idle" },
  { row: "one caller, the others busy", busy: true },
  { row: "two callers", callers: 2 },
  { row: "two callers, the other processors busy", callers: 2, busy: true },
  { row: "four callers", callers: 4 },
  { row: "eight callers", callers: 8 },
  { row: "one caller, on processor 0", callersOn: "0" },
  { row: "one caller, on processor 1", callersOn: "1" },
  { row: "caller on processor 0, server on 1", callersOn: "0", serverOn: "1" },
  { row: "server on processor 0", serverOn: "0" },
  { row: "one processor for both", callersOn: "0", serverOn: "0" },
  { row: "one processor for four callers and server", callers: 4, callersOn: "0", serverOn: "0" },
  { row: "caller beside a busy program", callersOn: "0", hog: "0" },
  { row: "a quota of one processor", quota: 1 },
  { row: "a quota of half a processor", quota: 0.5 },
  { row: "two callers, a quota of one processor", callers: 2, quota: 1 },
  { row: "an operation every 10 ms", sparse: true },
];

const QUOTA_V1 = "/sys/fs/cgroup/cpu/llmfs-bench";
const QUOTA_V2 = "/sys/fs/cgroup/llmfs-bench";
const PERIOD_US = 100_000;

const CHANGE = "a program starts and ends";
const CHANGES = [
  "**A program that does not sleep starts, and ends a second later**, while one caller goes on: µs an operation before, meanwhile and",
  "afterwards (the medians of the second half of each second), and after how many ms an operation took at most 1.3 times as long as that.",
  "",
  "| | before | meanwhile | afterwards | ms after the start | ms after the end |",
  "|---|---:|---:|---:|---:|---:|",
].join("\n");

/** The time before the measurement, relative to that of the measurement. */
const WARM_UP = 2;

interface Figure {
  readonly wall: number;
  readonly cpu: number;
}

/** row → filesystem → the figure of each round */
const figures = new Map<string, Map<string, Figure[]>>();

const scratch = mkdtempSync(join(tmpdir(), "llmfs-bench-"));
const driver = join(scratch, "driver");
run(["gcc", "-O2", "-o", driver, join(import.meta.dir, "driver.c")], "apt-get install gcc libc6-dev");

try {
  const machine = describeMachine();
  const peers = preparePeers().filter((one): one is Peer => "command" in one && one.name === "bindfs");
  const builds = values.build.map((one) => {
    const [name = "", program = ""] = one.split("=");
    return otherBuild(name, program, scratch);
  });
  const chosen = values.only?.split(",");
  const ready = [...contestants(peers, scratch), ...builds].filter(({ name }) => chosen?.includes(name) ?? true);
  const isChosen = (row: string) => values.row?.some((part) => row.includes(part)) ?? true;
  const rows = SITUATIONS.filter(({ row }) => isChosen(row));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const situation of rows) for (const contestant of ready) await measure(situation, contestant);
  }
  const changes: string[] = [];
  if (isChosen(CHANGE)) for (const contestant of ready) changes.push(await measureChange(contestant));
  const report = [
    `${machine}. Medians of ${values.rounds} interleaved rounds.`,
    "tmpfs: µs an operation. The others: wall time as a multiple of tmpfs's · µs of processor time an operation, of the server and its callers.",
    table(ready.map(({ name }) => name)),
    ...(changes.length === 0 ? [] : [[CHANGES, ...changes].join("\n")]),
  ].join("\n\n");
  console.log(report);
  if (values.write) writeReport("placement", report, kindOfMachine());
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function measure(situation: Situation, { name, as = [], mount }: Contestant): Promise<void> {
  const { row, callers = 1, callersOn, serverOn, hog, busy = false, quota, sparse = false } = situation;
  if (cpus().length < 2) return;
  using limit = quota === undefined ? undefined : limitTo(quota);
  if (quota !== undefined && limit === undefined) return;
  await using mounted = await mount([...(limit?.within ?? []), ...pinnedTo(serverOn)]);
  using _busy = busy ? keepBusy(driver) : undefined;
  using _hog = hog === undefined ? undefined : runHog(hog);
  const base = join(mounted.path, "bench");
  run([...as, "mkdir", base]);
  const stream = (ms: string) =>
    Promise.all(
      Array.from({ length: callers }, async (_, index) => {
        const command = [driver, base, sparse ? "sparse" : "stream", `${index}`, ms];
        const child = Bun.spawn([...(limit?.within ?? []), ...pinnedTo(callersOn), ...as, ...command], {
          stdout: "pipe",
          stderr: "inherit",
        });
        const said = await new Response(child.stdout).text();
        if ((await child.exited) !== 0) throw new Error(`${name}: ${row}: a caller failed`);
        const [wall = 0, operations = 0, cpu = 0] = said.split(" ").map(Number);
        return { wall, operations, cpu };
      }),
    );
  // Code that was not run often is not compiled yet.
  await stream(`${Number(values.ms) * WARM_UP}`);
  const before = mounted.cpu() ?? 0;
  const all = await stream(values.ms);
  const server = (mounted.cpu() ?? 0) - before;
  const operations = all.reduce((sum, one) => sum + one.operations, 0);
  const callersCpu = all.reduce((sum, one) => sum + one.cpu * one.operations, 0);
  // What a user waits for: all callers together.
  const wall = 1 / all.reduce((sum, one) => sum + 1 / one.wall, 0);
  const byName = figures.get(row) ?? new Map<string, Figure[]>();
  figures.set(row, byName.set(name, [...(byName.get(name) ?? []), { wall, cpu: (server + callersCpu) / operations }]));
}

async function measureChange({ name, as = [], mount }: Contestant): Promise<string> {
  await using mounted = await mount();
  const base = join(mounted.path, "bench");
  run([...as, "mkdir", base]);
  run([...as, driver, base, "stream", "0", "1000"]);
  const child = Bun.spawn([...as, driver, base, "timeline", "0", "3000"], { stdout: "pipe" });
  await Bun.sleep(1000);
  {
    using _busy = keepBusy(driver);
    await Bun.sleep(1000);
  }
  const slices = (await new Response(child.stdout).text()).trim().split(" ").map(Number);
  // A slice takes a little longer than 10 ms.
  const each = slices.length / 300;
  const part = (from: number, to: number) => slices.slice(Math.round(from * each), Math.round(to * each));
  const usual = [part(50, 100), part(150, 200), part(250, 300)].map(median);
  const reached = [100, 200].map((from, index) => {
    const after = part(from, from + 100).findIndex((us) => us <= 1.3 * (usual[index + 1] ?? 0));
    return `${(after + 1) * 10}`;
  });
  return `| ${name} | ${[...usual.map(formatNumber), ...reached].join(" | ")} |`;
}

function pinnedTo(processors: string | undefined): readonly string[] {
  return processors === undefined ? [] : ["taskset", "-c", processors];
}

function runHog(on: string): Disposable {
  const hog = Bun.spawn([...pinnedTo(on), driver, "/", "spin", "0", "0"], { stdin: "ignore", stdout: "ignore" });
  return { [Symbol.dispose]: () => hog.kill("SIGKILL") };
}

/** Undefined if this process may not create a control group. */
function limitTo(share: number): (Disposable & { readonly within: readonly string[] }) | undefined {
  const v1 = existsSync("/sys/fs/cgroup/cpu");
  const group = v1 ? QUOTA_V1 : QUOTA_V2;
  try {
    if (!v1) writeFileSync("/sys/fs/cgroup/cgroup.subtree_control", "+cpu");
    mkdirSync(group, { recursive: true });
    if (v1) writeFileSync(join(group, "cpu.cfs_period_us"), `${PERIOD_US}`);
    if (v1) writeFileSync(join(group, "cpu.cfs_quota_us"), `${share * PERIOD_US}`);
    else writeFileSync(join(group, "cpu.max"), `${share * PERIOD_US} ${PERIOD_US}`);
  } catch {
    return undefined;
  }
  return {
    within: ["sh", "-c", `echo $$ > ${group}/cgroup.procs && exec "$@"`, "sh"],
    [Symbol.dispose]: () => {
      // Processes that have just ended may still be in it.
      for (let attempt = 0; attempt < 50; attempt++) {
        try {
          return rmdirSync(group);
        } catch {
          Bun.sleepSync(20);
        }
      }
    },
  };
}

function table(names: readonly string[]): string {
  const lines = [`| | ${names.join(" | ")} |`, `|---|${names.map(() => "---:|").join("")}`];
  for (const [row, byName] of figures) {
    const wall = (name: string) => median((byName.get(name) ?? []).map((figure) => figure.wall));
    const cpu = (name: string) => median((byName.get(name) ?? []).map((figure) => figure.cpu));
    const cells = names.map((name) =>
      name === "tmpfs"
        ? formatNumber(wall(name))
        : `${formatNumber(wall(name) / (byName.has("tmpfs") ? wall("tmpfs") : 1))} · ${formatNumber(cpu(name))}`,
    );
    lines.push(`| ${row} | ${cells.join(" | ")} |`);
  }
  return lines.join("\n");
}
