/**
 * Measures how llmfs grows: memory and cost per operation from a thousand files to a million, a directory with many
 * entries, holes, and a million files created and removed.
 *
 *   bun bench/scale.ts [--files 1000000]
 *
 * Needs root, gcc and `npm run build`. Resident memory is that of the serving process, after a pause in which it
 * collects garbage.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { files: { type: "string", default: "1000000" } } });
const most = Number(values.files);
const LLMFS = join(import.meta.dir, "../dist/llmfs");
const scratch = mkdtempSync(join(tmpdir(), "llmfs-scale-"));
const driver = join(scratch, "driver");
const mount = join(scratch, "mount");
run("gcc", "-O2", "-o", driver, join(import.meta.dir, "driver.c"));
mkdirSync(mount);
run(LLMFS, "mount", mount, "--size", "16G");

try {
  const pid: number = JSON.parse(readFileSync(join(mount, ".llmfs/status.json"), "utf8")).pid;
  row("", "µs to make one", "µs to make, chmod, remove one more", "resident MB");
  row("---", "---:", "---:", "---:");
  const empty = await resident(pid);
  row("an empty mount", "", drive("probe", 2000), empty);
  for (let files = 1000; files <= most; files *= 10) {
    const directory = `f${files}`;
    mkdirSync(join(mount, directory));
    const make = drive("grow", files, directory);
    const probe = drive("probe", 2000);
    row(`${files.toLocaleString("en")} empty files`, make, probe, await resident(pid));
    rmSync(join(mount, directory), { recursive: true });
  }
  row("and all removed", "", drive("probe", 2000), await resident(pid));

  const entries = Math.min(most, 1_000_000);
  const parts = ["crowd", "crowd-list", "crowd-unlink"].map((step) => drive(step, entries));
  row(`one directory of ${entries.toLocaleString("en")}: make, list, remove each`, ...parts);

  const hole = join(mount, "hole");
  writeFileSync(hole, "");
  truncateSync(hole, 10 * 2 ** 30);
  row("a file of 10 GiB of holes", "", "", await resident(pid));

  for (let cycle = 0; cycle < 10; cycle++) drive("probe", most / 10);
  row(`${most.toLocaleString("en")} files made and removed, one after the other`, "", "", await resident(pid));
} finally {
  run(LLMFS, "unmount", mount);
  rmSync(scratch, { recursive: true });
}

function drive(step: string, files: number, below = "."): string {
  return run(driver, join(mount, below), step, String(files), "0").trim();
}

/** Measured after a pause for the garbage collector. */
async function resident(pid: number): Promise<string> {
  await Bun.sleep(2500);
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return (Number(kilobytes) / 1024).toFixed(0);
}

function row(...cells: string[]): void {
  console.log(`| ${cells.join(" | ")} |`);
}

function run(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit ${exitCode}: ${stderr.toString()}`);
  return stdout.toString();
}
