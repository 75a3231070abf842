/**
 * Measures how long work on a whole tree delays other requests of the mount:
 *
 *   bun bench/stalls.ts [--files 60000]       with dist/llmfs; needs gcc
 *
 * A program creates, looks up and removes directories all the time. The table shows how long its operations took while
 * something else read a control file, saved the tree or opened a pending file: in the middle, the 99.9 percentile, and the
 * longest. On a busy machine run it as root with real-time priority (`chrt -f 10`), and compare with the row "nothing else".
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { files: { type: "string", default: "60000" }, only: { type: "string" } } });
const LLMFS = join(import.meta.dir, "../dist/llmfs");
const scratch = mkdtempSync(join(tmpdir(), "llmfs-stalls-"));
const driver = join(scratch, "driver");
const mount = join(scratch, "mount");
const from = join(scratch, "from.json");
mkdirSync(mount);
await run("gcc", "-O2", "-o", driver, join(import.meta.dir, "driver.c"));
writeFileSync(from, snapshotOf(Number(values.files)));

const server = Bun.spawn([process.execPath, join(import.meta.dir, "slow-server.ts")], { stdout: "pipe" });
const port = Number(new TextDecoder().decode((await server.stdout.getReader().read()).value));
const model = ["--base-url", `http://127.0.0.1:${port}/v1`, "--model", "bench", "--mode", "off"];
await run(LLMFS, "mount", mount, "--from", from, ...model);

/** The program that measures should not have to wait for a processor. */
const first = Bun.which("chrt") !== null && process.getuid?.() === 0 ? ["chrt", "-f", "50"] : [];
const control = (name: string) => run("cat", join(mount, ".llmfs", name));
const rows: Readonly<Record<string, () => Promise<unknown>>> = {
  "nothing else": () => Bun.sleep(2000),
  "status.json": () => control("status.json"),
  "pending.json": () => control("pending.json"),
  tree: () => control("tree"),
  "tree.json": () => control("tree.json"),
  "outdated.json": () => control("outdated.json"),
  "snapshot.json": () => control("snapshot.json"),
  "full-snapshot.json": () => control("full-snapshot.json"),
  "llmfs save": () => run(LLMFS, "save", mount, join(scratch, "saved.json")),
  "a pending file": () => run("cat", join(mount, "d0/pending0")),
  "one more, in a tree that has changed": () => run("cat", join(mount, "d0/pending1")),
  "llmfs plan": () => run(LLMFS, "plan", mount),
  "the second after": () => Bun.sleep(1000),
};

try {
  console.log("| ms of an operation | middle | 99.9 % | longest |");
  console.log("|---|---:|---:|---:|");
  for (const [name, work] of Object.entries(rows)) {
    if (values.only !== undefined && !name.startsWith(values.only)) continue;
    const pulse = Bun.spawn([...first, driver, mount, "pulse", "0", "0"], { stdin: "pipe", stdout: "pipe" });
    await Bun.sleep(300);
    await work();
    await Bun.sleep(100);
    pulse.stdin.end();
    const cells = (await new Response(pulse.stdout).text()).trim().split(" ");
    console.log(`| ${[name, ...cells].join(" | ")} |`);
    if ((await pulse.exited) !== 0) throw new Error("the program that measures failed");
  }
} finally {
  await run(LLMFS, "unmount", mount);
  server.kill();
  rmSync(scratch, { recursive: true });
}

/** Directories of 100 files, of which one in three is pending. */
function snapshotOf(files: number): string {
  const entries: object[] = [];
  for (let number = 0; number < files; number++) {
    const directory = `/d${Math.floor(number / 100)}`;
    if (number % 100 === 0) entries.push({ path: directory, type: "directory" });
    const description = { xattrs: { "user.llmfs.description": `the file with the number ${number}` } };
    if (number % 3 > 0) entries.push({ path: `${directory}/file${number}`, type: "file", text: `file ${number}\n` });
    else entries.push({ path: `${directory}/pending${number / 3}`, type: "file", state: "pending", ...description });
  }
  return JSON.stringify({ llmfs: 1, entries });
}

async function run(...command: string[]): Promise<void> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed`);
}
