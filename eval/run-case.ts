/** Runs one case of the evaluation twice: with the `uses` of the layout, and without. Both start from the same layout. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { EvalCase } from "./cases.ts";

export interface EvalOptions {
  /** The command that starts llmfs. */
  readonly llmfs: readonly string[];
  /** Flags of `llmfs mount` that lead to the model. */
  readonly modelFlags: readonly string[];
  readonly repairs: number;
  /** An empty directory that may be filled. */
  readonly scratch: string;
  readonly say: (line: string) => void;
}

/** What one run of a case came to. JSON-able. */
export interface EvalResult {
  readonly name: string;
  readonly uses: boolean;
  /** Files that the model was to write. */
  readonly files: number;
  /** Requests and tokens of everything: layout, files, repairs. */
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Dollars; 0 if the price is not known. */
  readonly usd: number;
  /** How often files were repaired. */
  readonly rounds: number;
  readonly passed: boolean;
  readonly seconds: number;
  /** Why it did not pass: the end of the output of the check, or the error. */
  readonly problem: string;
}

interface Spent {
  readonly calls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly usd: number;
}

const NOTHING: Spent = { calls: 0, inputTokens: 0, outputTokens: 0, usd: 0 };

/** The checks take seconds. One that takes minutes hangs. */
const CHECK_TIMEOUT = "2m";

export async function runCase(one: EvalCase, options: EvalOptions): Promise<readonly EvalResult[]> {
  const layout = join(options.scratch, one.name, "layout.json");
  mkdirSync(dirname(layout), { recursive: true });
  const start = one.existing === undefined ? ["--prompt", one.prompt] : ["--from", one.existing, "--grow", one.prompt];
  const withUses = await runOnce(one, true, start, NOTHING, options, layout);
  if (!("laidOut" in withUses)) return [withUses.result];
  writeFileSync(layout, withoutUses(readFileSync(layout, "utf8")));
  const without = await runOnce(one, false, ["--from", layout], withUses.laidOut, options);
  return [withUses.result, without.result];
}

/** `before` was spent on the layout. The layout is saved in `layout`, if given. */
async function runOnce(
  one: EvalCase,
  uses: boolean,
  start: readonly string[],
  before: Spent,
  options: EvalOptions,
  layout?: string,
): Promise<{ readonly result: EvalResult; readonly laidOut: Spent } | { readonly result: EvalResult }> {
  const { llmfs, modelFlags, repairs, say } = options;
  const folder = join(options.scratch, one.name, uses ? "with" : "without");
  const mountpoint = join(folder, "tree");
  mkdirSync(mountpoint, { recursive: true });
  const begun = performance.now();
  const describe = (more: Partial<EvalResult>, spent: Spent): EvalResult => ({
    name: one.name,
    uses,
    files: 0,
    requests: before.calls + spent.calls,
    inputTokens: before.inputTokens + spent.inputTokens,
    outputTokens: before.outputTokens + spent.outputTokens,
    usd: before.usd + spent.usd,
    rounds: 0,
    passed: false,
    seconds: (performance.now() - begun) / 1000,
    problem: "",
    ...more,
  });
  say(`${one.name}, ${uses ? "with" : "without"} uses: laying out`);
  const recordings = join(folder, "recordings");
  const mounted = await run(
    [...llmfs, "mount", mountpoint, ...start, "--recordings", recordings, ...modelFlags],
    folder,
  );
  if (mounted.status !== 0) return { result: describe({ problem: mounted.stderr }, NOTHING) };
  try {
    const laidOut = readUsage(mountpoint);
    if (layout !== undefined) await run([...llmfs, "save", mountpoint, layout], folder);
    say(`${one.name}, ${uses ? "with" : "without"} uses: generating and checking`);
    const flags = ["--json", "--repairs", String(repairs), "--check-timeout", CHECK_TIMEOUT];
    const checked = await run([...llmfs, "check", mountpoint, ...flags, "--", "sh", one.check], folder);
    const spent = readUsage(mountpoint);
    const { passed, rounds, generated, output, reason } = readReport(checked);
    const problem = passed ? "" : `${output}\n${reason ?? ""}`.trim();
    return { result: describe({ files: generated, rounds, passed, problem }, spent), laidOut };
  } finally {
    await run([...llmfs, "unmount", mountpoint, "--lazy"], folder);
    rmSync(mountpoint, { recursive: true, force: true });
  }
}

interface Report {
  readonly passed: boolean;
  readonly rounds: number;
  readonly generated: number;
  readonly output: string;
  readonly reason: string | null;
}

/** Without a report, the check did not run: files could not be generated. */
function readReport({ stdout, stderr }: Finished): Report {
  try {
    // `llmfs check --json` of this same version wrote it: see docs/check.md.
    const report = JSON.parse(stdout) as Omit<Report, "rounds"> & { readonly rounds: readonly object[] };
    return { ...report, rounds: report.rounds.length };
  } catch {
    return { passed: false, rounds: 0, generated: 0, output: stderr, reason: null };
  }
}

function readUsage(mountpoint: string): Spent {
  // The mount of this same version wrote it.
  const usage = JSON.parse(readFileSync(join(mountpoint, ".llmfs/usage.json"), "utf8")) as Partial<Spent>;
  return { ...NOTHING, ...usage };
}

/** A snapshot whose pending files depend on nothing. */
function withoutUses(snapshot: string): string {
  // The format is described in docs/snapshot.md.
  const tree = JSON.parse(snapshot) as { readonly entries: readonly { readonly xattrs?: Record<string, string> }[] };
  for (const { xattrs } of tree.entries) if (xattrs !== undefined) delete xattrs["user.llmfs.depends"];
  return JSON.stringify(tree);
}

interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The checks use Bun by its name, whatever its executable is called here. */
const PROGRAMS = join(import.meta.dir, "../node_modules/.bin");

async function run(cmd: readonly string[], cwd: string): Promise<Finished> {
  const child = Bun.spawn({
    cmd: [...cmd],
    cwd,
    env: { ...process.env, PATH: `${process.env.PATH ?? ""}:${PROGRAMS}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { status: await child.exited, stdout, stderr };
}
