/**
 * Compares llmfs with tmpfs and with other FUSE filesystems (see peers.ts), in one run: with an idle second processor, and
 * with all processors but one busy.
 *
 *   bun bench/bench.ts [--minutes N] [--rounds N] [--files N] [--mib N] [--only NAME,…] [--work] [--write] [--verbose]
 *
 * Needs root, gcc, git, rsync, Python and `npm run build`; a peer that cannot be had here is named with the reason. Rounds are
 * interleaved, and another one begins only if it will end within the minutes (default: 10). `--work` measures real work
 * (clone, tar, build, grep, SQLite) instead, which takes longer. `--write` puts the tables into docs/performance.md.
 *
 * Each cell has two figures. Wall time, as a multiple of tmpfs's: it is what a user waits for, and depends on what else the
 * machine does. And the processor time that the server takes for an operation: it hardly depends on anything else.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Contestant, contestants, type Mounted } from "./contestants.ts";
import { describeMachine, keepBusy, kindOfMachine } from "./machine.ts";
import { formatNumber, geometricMean, median } from "./numbers.ts";
import { describeFailure, type MissingPeer, type Peer, preparePeers, run } from "./peers.ts";
import { createTree, PROGRAMS, type Tree } from "./programs.ts";
import { writeReport } from "./report.ts";
import { work } from "./work.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    rounds: { type: "string", default: "5" },
    files: { type: "string", default: "2000" },
    mib: { type: "string", default: "16" },
    only: { type: "string" },
    work: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  },
});

/** A step of driver.c, and the row that it counts for. "cold" drops the kernel's caches first. */
interface Step {
  readonly step: string;
  readonly row?: string;
  readonly cold?: boolean;
  /** How many operations it is, if not one for each file. */
  readonly operations?: number;
}

const STEPS: readonly Step[] = [
  { step: "setup" },
  { step: "mkdir", row: "mkdir", operations: 1000 },
  { step: "create-empty", row: "create" },
  { step: "create", row: "create + write 4 KiB + close" },
  { step: "stat" },
  { step: "stat", row: "stat, warm" },
  { step: "read" },
  { step: "read", row: "open + read + close, warm" },
  { step: "stat", row: "stat, cold", cold: true },
  { step: "read", row: "open + read + close, cold", cold: true },
  { step: "chmod", row: "chmod" },
  { step: "rename", row: "rename" },
  { step: "rename-back" },
  { step: "negative", row: "lookup of a missing name" },
  { step: "unlink", row: "unlink" },
  { step: "write-data", row: "write 1 MiB, sequential" },
  { step: "read-data", row: "read 1 MiB, cold", cold: true },
  { step: "random-write", row: "random write 4 KiB", operations: 5000 },
];

/** Rows whose operations are a MiB each. */
const DATA_STEPS = new Set(["write-data", "read-data"]);
/** Rows in which every filesystem answers requests: those of the geometric means. */
const METADATA_ROWS = STEPS.flatMap(({ step, row }) =>
  row === undefined || DATA_STEPS.has(step) || step === "random-write" ? [] : [row],
);

const MODES = ["with an idle second processor", "with all processors but one busy"] as const;
type Mode = (typeof MODES)[number];

interface Figure {
  /** Microseconds an operation. */
  readonly wall: number;
  /** Microseconds of the server's processor time an operation. */
  readonly cpu: number | undefined;
}

/** mode → row → filesystem → the figure of each round */
const figures = new Map<Mode, Map<string, Map<string, Figure[]>>>(MODES.map((mode) => [mode, new Map()]));
/** Rows that failed, with the reason, by filesystem. */
const failures = new Map<string, string>();

/** A step that takes longer has hung. */
const LONGEST_MS = 60_000;

const scratch = mkdtempSync(join(tmpdir(), "llmfs-bench-"));
const driver = join(scratch, "driver");
run(["gcc", "-O2", "-o", driver, join(import.meta.dir, "driver.c")], "apt-get install gcc libc6-dev");

try {
  const machine = describeMachine();
  const all = preparePeers();
  const peers = all.filter((one): one is Peer => "command" in one);
  const missing = all.filter((one): one is MissingPeer => "reason" in one);
  for (const { name, reason } of missing) console.error(`${name} is left out: ${reason}`);
  const chosen = values.only?.split(",");
  const ready = contestants(peers, scratch).filter(({ name }) => chosen?.includes(name) ?? true);
  if (values.work) {
    const report = `${machine}.\n\n${await work(ready, scratch)}`;
    console.log(report);
    if (values.write) writeReport("work", report);
  } else {
    const tree = createTree(join(scratch, "tree"));
    const rounds = await measureAll(ready, tree);
    const sizes = `${values.files} files in 100 directories, a file of ${values.mib} MiB, and for programs a checkout of ${tree.entries} entries`;
    const measured = `${machine}. Medians of ${rounds} interleaved ${rounds === 1 ? "round" : "rounds"}; ${sizes}.`;
    const report = describe(measured, ready, peers, missing);
    console.log(report);
    if (values.write) writeReport("figures", report, kindOfMachine());
  }
} catch (error) {
  // Print it now, because the cleanup below may fail for the same reason.
  console.error(error, error instanceof SuppressedError ? [error.error, error.suppressed] : "");
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** Returns the number of rounds. */
async function measureAll(ready: readonly Contestant[], tree: Tree): Promise<number> {
  const end = performance.now() + Number(values.minutes) * 60_000;
  let longest = 0;
  for (let round = 0; round < Number(values.rounds); round++) {
    const begun = performance.now();
    if (round > 0 && begun + longest > end) return round;
    for (const mode of MODES) {
      for (const contestant of ready) {
        const start = performance.now();
        await measure(mode, contestant, tree);
        if (values.verbose) console.error(`${contestant.name}, ${mode}: ${seconds(performance.now() - start)}`);
      }
    }
    longest = Math.max(longest, performance.now() - begun);
    console.error(`round ${round + 1}: ${seconds(performance.now() - begun)}`);
  }
  return Number(values.rounds);
}

async function measure(mode: Mode, { name, as = [], mount }: Contestant, tree: Tree): Promise<void> {
  await using mounted = await mount();
  using _busy = mode === MODES[1] ? keepBusy(driver) : undefined;
  const base = join(mounted.path, "bench");
  run([...as, "mkdir", base]);
  const files = Number(values.files);
  for (const { step, row, cold, operations } of STEPS) {
    const count = operations ?? (DATA_STEPS.has(step) ? Number(values.mib) : files);
    await note(mode, row, name, mounted, count, async () => {
      if (cold === true) dropCaches();
      const said = Number(await runOn(mounted, [...as, driver, base, step, values.files, values.mib]));
      return DATA_STEPS.has(step) ? 1048576 / said : said;
    });
  }
  for (const { row, cold, command, timed } of PROGRAMS) {
    const program = (...argv: readonly string[]) => [...as, "env", ...tree.environment, ...argv];
    await note(mode, row, name, mounted, tree.entries, async () => {
      if (cold === true) {
        dropCaches();
        // The program itself comes from a disk; that is not measured.
        run(program(...command(tree.empty, tree.empty, true)));
      }
      const begun = performance.now();
      const said = await runOn(mounted, program(...command(tree.path, base)));
      return (timed === true ? Number(said) * 1e6 : (performance.now() - begun) * 1000) / tree.entries;
    });
  }
}

/** Runs a program on a filesystem, whose server may hang. */
async function runOn(mounted: Mounted, command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdout: "pipe", stderr: "pipe" });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    mounted.kill();
    child.kill("SIGKILL");
  }, LONGEST_MS);
  const [out, err, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearTimeout(timer);
  if (late) throw new Error(`it did not end within ${LONGEST_MS / 1000} s`);
  if (exitCode !== 0) throw new Error(describeFailure(command, `exit ${exitCode}`, err));
  return out;
}

/** Runs a step, and notes its figures if it has a row. A step that fails is reported, and the others go on. */
async function note(
  mode: Mode,
  row: string | undefined,
  name: string,
  mounted: Mounted,
  count: number,
  step: () => Promise<number>,
): Promise<void> {
  const before = mounted.cpu();
  let wall: number;
  try {
    wall = await step();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const what = `${name}: ${row ?? "a step between rows"}`;
    if (!failures.has(what)) console.error(`${what}: ${reason}`);
    failures.set(what, reason);
    return;
  }
  if (row === undefined) return;
  const after = mounted.cpu();
  const cpu = before === undefined || after === undefined ? undefined : (after - before) / count;
  const rows = figures.get(mode) ?? new Map<string, Map<string, Figure[]>>();
  const byName = rows.get(row) ?? new Map<string, Figure[]>();
  rows.set(row, byName.set(name, [...(byName.get(name) ?? []), { wall, cpu }]));
}

function dropCaches(): void {
  writeFileSync("/proc/sys/vm/drop_caches", "3");
}

function describe(
  measured: string,
  ready: readonly Contestant[],
  peers: readonly Peer[],
  missing: readonly MissingPeer[],
): string {
  const names = ready.map(({ name }) => name);
  const shown = peers.filter(({ name }) => names.includes(name));
  const describePeers = (limit: boolean) =>
    shown.flatMap((one) => ((one.limit ?? false) === limit ? `${one.name} (${one.about})` : [])).join("; ");
  const limits = shown.filter((one) => one.limit === true).map((one) => one.name);
  const left = missing.map(({ name, reason }) => `${name} was left out: ${reason}.`);
  // The name of the temporary folder is different in each run.
  const failed = [...failures].map(([what, reason]) => `${what} failed: ${reason.replaceAll(`${scratch}/`, "")}.`);
  return [
    measured,
    `Peers: ${describePeers(false)}. ${[...left, ...failed].join(" ")}`.trim(),
    ...(limits.length === 0
      ? []
      : [`Not a peer, but what is possible with FUSE on this machine: ${describePeers(true)}.`]),
    "tmpfs: µs an operation. The others: wall time as a multiple of tmpfs's · µs of the server's processor time an operation.",
    ...MODES.flatMap((mode) => [`**Linux programs and calls, ${mode}:**`, table(mode, names, limits)]),
  ].join("\n\n");
}

function table(mode: Mode, names: readonly string[], limits: readonly string[]): string {
  const peers = names.filter((name) => name !== "tmpfs" && !name.startsWith("llmfs") && !limits.includes(name));
  const lines = [
    `| | ${names.join(" | ")} | bindfs / llmfs | best peer / llmfs |`,
    `|---|${names.map(() => "---:|").join("")}---:|---:|`,
  ];
  const gains = new Map<string, number[]>();
  for (const [row, byName] of figures.get(mode) ?? []) {
    const wall = (name: string) => median((byName.get(name) ?? []).map((figure) => figure.wall));
    const cpu = (name: string) => median((byName.get(name) ?? []).flatMap((figure) => figure.cpu ?? []));
    const gain = (name: string) => wall(name) / wall("llmfs");
    const cells = names.map((name) => {
      if (Number.isNaN(wall(name))) return "failed";
      return name === "tmpfs"
        ? formatNumber(wall(name))
        : `${formatNumber(wall(name) / wall("tmpfs"))} · ${formatNumber(cpu(name))}`;
    });
    const measured = peers.filter((name) => !Number.isNaN(gain(name)));
    const best = measured.length === 0 ? Number.NaN : Math.min(...measured.map(gain));
    lines.push(`| ${row} | ${cells.join(" | ")} | ${formatNumber(gain("bindfs"))} | ${formatNumber(best)} |`);
    if (!METADATA_ROWS.includes(row)) continue;
    for (const name of measured) gains.set(name, [...(gains.get(name) ?? []), gain(name)]);
    gains.set("the best peer of each row", [...(gains.get("the best peer of each row") ?? []), best]);
    for (const name of ["tmpfs", ...limits]) gains.set(name, [...(gains.get(name) ?? []), gain(name)]);
  }
  const means = [...gains].map(([name, list]) => `${name} ${formatNumber(geometricMean(list))}`);
  return `${lines.join("\n")}\n\nThe rows from mkdir to unlink, geometric mean, how many times as long as llmfs the others take: ${means.join(", ")}.`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
