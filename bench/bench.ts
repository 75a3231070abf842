/**
 * Compares llmfs with tmpfs and two FUSE filesystems over tmpfs (bindfs, fuse-overlayfs) in one run, as a table of
 * ratios.
 *
 *   bun bench/bench.ts [--rounds N] [--files N] [--mib N] [--work] [--write]
 *
 * Needs root, gcc, `npm run build`, and Debian's bindfs and fuse-overlayfs; a filesystem that is not installed is
 * reported and skipped. `--work` adds real work (clone, status, tar, build, grep, SQLite). `--write` puts the tables
 * into docs/performance.md. Machines differ and measurements are noisy, so compare only ratios of medians within one
 * run.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Contestant, contestants } from "./contestants.ts";
import { work } from "./work.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    files: { type: "string", default: "5000" },
    mib: { type: "string", default: "256" },
    work: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});

/** The driver's steps, in order, and the row that each counts for. "cold" drops the kernel's caches first. */
const STEPS: readonly { readonly step: string; readonly row?: string; readonly cold?: boolean }[] = [
  { step: "setup" },
  { step: "mkdir", row: "mkdir" },
  { step: "create", row: "create + write 4 KiB + close" },
  { step: "stat" },
  { step: "stat", row: "stat, warm" },
  { step: "read" },
  { step: "read", row: "open + read + close, warm" },
  { step: "stat", row: "stat, cold", cold: true },
  { step: "read", row: "open + read + close, cold", cold: true },
  { step: "list", row: "ls -l, cold, per entry", cold: true },
  { step: "list" },
  { step: "list", row: "ls -l, warm, per entry" },
  { step: "chmod", row: "chmod" },
  { step: "rename", row: "rename" },
  { step: "rename-back" },
  { step: "negative", row: "negative lookup" },
  { step: "unlink", row: "unlink" },
  { step: "write-data", row: "write, sequential" },
  { step: "read-data", row: "read, cold", cold: true },
  { step: "random-write", row: "random write 4 KiB" },
];

/** In MB/s, where more is better; all other rows are in µs. */
const DATA_ROWS = new Set(["write, sequential", "read, cold"]);
/** Rows in which every filesystem handles requests: those of the geometric means. */
const METADATA_ROWS = STEPS.flatMap(({ row }) =>
  row === undefined || DATA_ROWS.has(row) || row === "random write 4 KiB" ? [] : [row],
);

const scratch = mkdtempSync(join(tmpdir(), "llmfs-bench-"));
const driver = join(scratch, "driver");
run(["gcc", "-O2", "-o", driver, join(import.meta.dir, "driver.c")]);

/** row → filesystem → the result of each round */
const figures = new Map<string, Map<string, number[]>>();

try {
  const ready = await contestants(scratch);
  const names = ready.map(({ name }) => name);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const contestant of ready) await measure(contestant);
  }
  let report = table(names);
  if (values.work) report += `\n${await work(ready, scratch)}`;
  console.log(report);
  if (values.write) writeReport(report);
} catch (error) {
  // Print it now, because the cleanup below may fail for the same reason.
  console.error(error, error instanceof SuppressedError ? [error.error, error.suppressed] : "");
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function measure(contestant: Contestant): Promise<void> {
  await using mounted = await contestant.mount();
  const base = join(mounted.path, "bench");
  const { as = [] } = contestant;
  run([...as, "mkdir", base]);
  for (const { step, row, cold } of STEPS) {
    if (cold === true) writeFileSync("/proc/sys/vm/drop_caches", "3");
    const figure = Number(run([...as, driver, base, step, values.files, values.mib]));
    if (row === undefined) continue;
    const byName = figures.get(row) ?? new Map<string, number[]>();
    figures.set(row, byName);
    byName.set(contestant.name, [...(byName.get(contestant.name) ?? []), figure]);
  }
  run([...as, "rm", "-r", base]);
}

function table(names: readonly string[]): string {
  const peers = names.filter((name) => name !== "tmpfs" && !name.startsWith("llmfs"));
  const lines = [
    `| µs per operation, MB/s for data | ${names.join(" | ")} | llmfs / tmpfs | best peer / llmfs |`,
    `|---|${names.map(() => "---:|").join("")}---:|---:|`,
  ];
  const gains = new Map<string, number[]>();
  for (const [row, byName] of figures) {
    const of = (name: string) => median(byName.get(name) ?? []);
    const better = (ours: number, theirs: number) => (DATA_ROWS.has(row) ? ours / theirs : theirs / ours);
    const llmfs = of("llmfs");
    const best = peers.map((peer) => better(llmfs, of(peer)));
    for (const [at, peer] of peers.entries()) {
      if (METADATA_ROWS.includes(row)) gains.set(peer, [...(gains.get(peer) ?? []), best[at] ?? 0]);
    }
    if (METADATA_ROWS.includes(row)) gains.set("best", [...(gains.get("best") ?? []), Math.min(...best)]);
    const cells = names.map((name) => short(of(name)));
    const toTmpfs = llmfs / of("tmpfs");
    lines.push(
      `| ${row} | ${cells.join(" | ")} | ${short(toTmpfs)} | ${peers.length ? short(Math.min(...best)) : "–"} |`,
    );
  }
  const means = [...gains].map(
    ([name, list]) => `${name === "best" ? "the best peer of each row" : name} ${short(geometricMean(list))}`,
  );
  if (means.length > 0)
    lines.push("", `Metadata rows, geometric mean, how many times faster llmfs is: ${means.join(", ")}.`);
  return `${lines.join("\n")}\n`;
}

function writeReport(report: string): void {
  const file = join(import.meta.dir, "../docs/performance.md");
  const [before, after] = ["<!-- figures -->", "<!-- end of figures -->"];
  const text = readFileSync(file, "utf8");
  const from = text.indexOf(before);
  const to = text.indexOf(after);
  if (from < 0 || to < 0) throw new Error(`${file}: the place between ${before} and ${after} is gone`);
  const kernel = run(["uname", "-sr"]).trim();
  const machine = `${kernel}, ${cpus().length} processors (${cpus()[0]?.model ?? "unknown"}); medians of ${values.rounds} rounds, ${values.files} files of 4 KiB in 100 directories, a file of ${values.mib} MiB.`;
  writeFileSync(file, `${text.slice(0, from + before.length)}\n\n${machine}\n\n${report}\n${text.slice(to)}`);
}

function run(command: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit ${exitCode}: ${stderr.toString()}`);
  return stdout.toString();
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function geometricMean(numbers: readonly number[]): number {
  return Math.exp(numbers.reduce((sum, number) => sum + Math.log(number), 0) / numbers.length);
}

function short(number: number): string {
  return number >= 100 ? number.toFixed(0) : number >= 10 ? number.toFixed(1) : number.toFixed(2);
}
