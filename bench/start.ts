/**
 * Measures how long llmfs takes to start, compared with Bun itself:
 *
 *   bun bench/start.ts          needs `npm run build`
 *
 * `bun -e 1`, `llmfs --version` and `llmfs mount` take turns in each round, so that all of them meet the same machine. What
 * counts is the ratio to `bun -e 1`, by the fastest and by the middle round. On a machine that is busy, the processor time
 * of `--version` is more reliable than its duration; `mount` runs in several processes and has only a duration.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { writeThousandFiles } from "./thousand-files.ts";

const BINARY = join(import.meta.dir, "../dist/llmfs");
const ROUNDS = 20;

interface Run {
  readonly ms: number;
  readonly processorMs: number;
}

interface Row {
  readonly name: string;
  readonly command: readonly string[];
  /** Measured together with the command. */
  readonly afterwards?: readonly string[];
  readonly runs: Run[];
}

const folder = mkdtempSync(join(tmpdir(), "llmfs-start-"));
const mountpoint = join(folder, "mnt");
mkdirSync(mountpoint);

try {
  const snapshot = writeThousandFiles(folder);
  const rows: readonly Row[] = [
    { name: "bun -e 1", command: [process.execPath, "-e", "1"], runs: [] },
    { name: "llmfs --version", command: [BINARY, "--version"], runs: [] },
    { name: "llmfs mount, an empty tree", command: [BINARY, "mount", mountpoint], runs: [] },
    // Work that is put off until the mount has returned must not delay its first user.
    {
      name: "llmfs mount, an empty tree, and ls -l in it",
      command: [BINARY, "mount", mountpoint],
      afterwards: ["ls", "-l", mountpoint],
      runs: [],
    },
    {
      name: "llmfs mount, a snapshot of 1,000 files",
      command: [BINARY, "mount", mountpoint, "--from", snapshot],
      runs: [],
    },
    { name: "llmfs run -- true", command: [BINARY, "run", "--", "true"], runs: [] },
  ];
  for (let round = 0; round <= ROUNDS; round++) {
    for (const { command, afterwards, runs } of rows) {
      const first = await run(command);
      const second = afterwards && (await run(afterwards));
      const result = { ms: first.ms + (second?.ms ?? 0), processorMs: first.processorMs };
      // The first round reads the executables from the disk.
      if (round > 0) runs.push(result);
      if (command.includes("mount")) await run([BINARY, "unmount", mountpoint]);
    }
  }
  console.log(`Linux ${release()}, ${cpus().length} processors (${cpus()[0]?.model}); ${ROUNDS} rounds\n`);
  console.log("| | fastest, ms | fastest, ratio | median, ratio | processor time of the process, median, ratio |");
  console.log("|---|---:|---:|---:|---:|");
  const [base] = rows;
  for (const { name, runs } of rows) {
    const ratio = (of: (all: readonly Run[]) => number) => (of(runs) / of(base?.runs ?? [])).toFixed(2);
    const own = /mount|run/.test(name) ? "" : ratio((all) => middle(all.map(({ processorMs }) => processorMs)));
    console.log(
      `| ${name} | ${fastest(runs).toFixed(1)} | ${ratio(fastest)} | ${ratio((all) => middle(all.map(({ ms }) => ms)))} | ${own} |`,
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function run(command: readonly string[]): Promise<Run> {
  const begun = performance.now();
  const child = Bun.spawn({
    cmd: [...command],
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: folder },
    stdio: ["ignore", "ignore", "inherit"],
  });
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed`);
  const ms = performance.now() - begun;
  return { ms, processorMs: Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1000 };
}

function fastest(runs: readonly Run[]): number {
  return Math.min(...runs.map(({ ms }) => ms));
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
