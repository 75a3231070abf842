/**
 * Three machines that share a store, and everything that can happen to the store or to them.
 *
 *   npm run fleet                          runs the whole matrix (about half an hour) and prints the table
 *   npm run fleet -- --only REDIS/healthy  only cells whose name contains this, in any case
 *   npm run fleet -- --kind Redis --json   only one kind of store, and the results as JSON
 *   npm run fleet -- --write               also writes the table into docs/fleet.md
 *
 * Each machine generates the same tree. The model never gives the same answer twice, so trees are equal only if the
 * machines used the same answers.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { structureToSnapshot } from "../../src/snapshot/structure.ts";
import { type OpenaiServer, openaiServer } from "../support/openai-server.ts";
import { BINARY } from "../support/program.ts";
import { canMakeNamespaces, createLink, type Link } from "./network.ts";
import { type Condition, createTestStore, type StoreKind, type TestStore } from "./stores.ts";

export const KINDS: readonly StoreKind[] = ["Redis", "S3", "S3 without conditions"];
const MACHINES = 3;
const CONCURRENCY = 2;
const FILES = 40;
/** So many that what is under way on one machine is less than a twentieth. */
const MANY_FILES = 80;
/** The key for the model, which must not be shown either. */
const MODEL_KEY = crypto.randomUUID();
/** How long the model takes, in milliseconds. */
const ANSWER_MS = 400;
const PAUSE_S = 60;
const CUT_S = 10;
/** How much longer than --timeout a file may take, and how long the end of a machine may take, in seconds. */
const SLACK_S = 1;
const END_S = 10;
/** How many more calls than needed may be paid for. */
const MOST_PAID = 1.05;

interface Scenario {
  readonly name: string;
  readonly condition?: Condition;
  /** Of a round trip to the store, in milliseconds. */
  readonly delay?: number;
  /** Seconds by which the clocks of the machines are wrong. */
  readonly clocks?: readonly number[];
  readonly before?: (links: readonly Link[]) => void;
  /** Called once, after a third of the calls. */
  readonly midway?: (run: Run) => Promise<void>;
  /** Called when a machine has generated everything. */
  readonly after?: (run: Run, machine: Machine) => Promise<void>;
  /** The number of files to generate, if it is not the usual one. */
  readonly files?: number;
  /** A machine is cut off, so what is under way at that moment may be paid for again. */
  readonly cutsOff?: true;
  /** The store refuses answers, so files fail, and no machine may report success. */
  readonly fails?: true;
}

export const SCENARIOS: readonly Scenario[] = [
  { name: "healthy" },
  { name: "round trip of 50 ms", delay: 50 },
  { name: "round trip of 200 ms", delay: 200 },
  {
    name: "store restarted empty",
    midway: async ({ store, lost }) => {
      lost.answers = await store.count();
      await store.restartEmpty();
    },
  },
  { name: "store full", condition: "full", fails: true },
  { name: "store becomes full", midway: ({ store }) => store.fill(), fails: true },
  { name: "store read-only", condition: "read-only", fails: true },
  {
    name: "one machine cut off before",
    cutsOff: true,
    before: (links) => links[2]?.cut(),
    midway: ({ machines }) => healLater(machines[2]),
  },
  {
    name: "one machine cut off during",
    cutsOff: true,
    midway: async ({ machines }) => {
      machines[1]?.link.cut();
      await healLater(machines[1]);
    },
  },
  {
    name: "one machine cut off after",
    cutsOff: true,
    after: async ({ machines }, machine) => {
      if (machine !== machines[0]) return;
      machine.link.cut();
      await healLater(machine);
    },
  },
  { name: "holder killed", files: MANY_FILES, midway: async ({ machines }) => killAll(machines[0]) },
  {
    name: `holder paused for ${PAUSE_S} s`,
    files: MANY_FILES,

    midway: async ({ machines }) => {
      const [machine] = machines;
      signalAll(machine, "STOP");
      await Bun.sleep(PAUSE_S * 1000);
      signalAll(machine, "CONT");
      if (machine !== undefined) machine.pausedS = PAUSE_S;
    },
  },
  { name: "clocks wrong by an hour and by 90 s", clocks: [0, 3600, -90] },
  { name: "rights missing", condition: "rights missing" },
];

interface Machine {
  readonly link: Link;
  /** For how long it was stopped. */
  pausedS: number;
  /** The command lines of its processes, while it runs. */
  readonly commandLines: ReadonlySet<string>;
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly done: Promise<Outcome>;
}

interface Outcome {
  /** Negative: killed. */
  readonly status: number;
  /** A digest of the tree; undefined if the machine did not get that far. */
  readonly tree: string | undefined;
  readonly output: string;
  /** How long llmfs took, without its command. */
  readonly seconds: number;
  /** How long it took for the slowest file; the whole time if files failed. */
  readonly longest: number;
  /** How long it took after its command. */
  readonly end: number;
}

interface Run {
  readonly store: TestStore;
  readonly machines: Machine[];
  /** Answers that the store lost, and calls that were being answered when it happened. */
  readonly lost: { answers: number; calls: number };
}

/** What a cell of the matrix came to. */
interface Result {
  readonly kind: StoreKind;
  readonly scenario: string;
  /** Calls that were needed: each answer once, and again if it was lost. */
  readonly needed: number;
  readonly paid: number;
  /** Calls that were being answered when it happened: their answers may be lost. */
  readonly underWay: number;
  readonly trees: number;
  readonly statuses: readonly number[];
  /** In seconds: for the slowest file, and for the slowest machine. */
  readonly longest: number;
  readonly seconds: number;
  /** Empty: as it should be. */
  readonly problems: readonly string[];
}

export interface MatrixOptions {
  readonly files: number;
  readonly timeoutS: number;
  readonly namespaces: boolean;
}

export async function runCell(kind: StoreKind, scenario: Scenario, options: MatrixOptions): Promise<Result> {
  const { timeoutS, namespaces } = options;
  const files = scenario.files ?? options.files;
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "llmfs-fleet-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const store = stack.use(await createTestStore(kind, scenario.condition ?? "well"));
  const model = stack.use(await openaiServer());
  const paths = Array.from({ length: files }, (_, index) => `f${index}.txt`);
  writeFileSync(join(folder, "tree.json"), structureToSnapshot(paths.map((path) => ({ path, type: "file" }))));
  const run: Run = { store, machines: [], lost: { answers: 0, calls: 0 } };
  const { midway, active } = countCalls(model, Math.ceil(files / 3));
  const links: Link[] = [];
  for (let index = 0; index < MACHINES; index++) {
    const link = await createLink({
      index,
      storePort: store.port,
      modelPort: model.port,
      delay: scenario.delay ?? 0,
      namespaces,
    });
    links.push(stack.use(link));
  }
  const shim = scenario.clocks === undefined ? undefined : compileClock(folder);
  for (const [index, link] of links.entries()) {
    if (index === 2) scenario.before?.(links);
    run.machines.push(
      startMachine({ index, link, folder, store, timeoutS, paths, offset: scenario.clocks?.[index] ?? 0, shim }),
    );
  }
  const events: Promise<unknown>[] = [];
  const over = Promise.all(run.machines.map(({ done }) => done));
  if (scenario.midway !== undefined) {
    events.push(
      Promise.race([midway, over]).then(() => {
        run.lost.calls = active();
        return scenario.midway?.(run);
      }),
    );
  }
  if (scenario.after !== undefined) {
    for (const machine of run.machines)
      events.push(untilWarm(machine, folder, run).then(() => scenario.after?.(run, machine)));
  }
  const outcomes = await over;
  await Promise.all(events);
  return judge(kind, scenario, run, outcomes, model, store, { ...options, files });
}

/** Gives a different answer to each call. `midway` resolves after that many calls; `active` counts unanswered ones. */
function countCalls(
  model: OpenaiServer,
  many: number,
): { readonly midway: Promise<void>; readonly active: () => number } {
  const { promise, resolve } = Promise.withResolvers<void>();
  let calls = 0;
  let answered = 0;
  model.script(async () => {
    calls += 1;
    const call = calls;
    if (calls === many) resolve();
    await Bun.sleep(ANSWER_MS);
    answered += 1;
    return { stream: `the answer to call ${call}\n` };
  });
  return { midway: promise, active: () => calls - answered };
}

interface StartOptions {
  readonly index: number;
  readonly link: Link;
  readonly folder: string;
  readonly store: TestStore;
  readonly timeoutS: number;
  readonly paths: readonly string[];
  readonly offset: number;
  readonly shim: string | undefined;
}

function startMachine({ index, link, folder, store, timeoutS, offset, shim }: StartOptions): Machine {
  const home = join(folder, `machine${index}`);
  mkdirSync(home);
  const { url, env } = store.location(link.store.host, link.store.port);
  const flags = [
    ...["--from", join(folder, "tree.json"), "--model", "scripted"],
    ...["--base-url", `http://${link.model.host}:${link.model.port}/v1`],
    ...["--timeout", `${timeoutS}s`, "--concurrency", String(CONCURRENCY)],
  ];
  const shown = ["status.json", "config.json", "usage.json", "pending.json", "tree"].map((name) => `.llmfs/${name}`);
  const program = BINARY.map((word) => `'${word}'`).join(" ");
  const show = [
    `touch ${home}/warm`,
    "cat f*.txt | sha256sum",
    `cat ${shown.join(" ")}`,
    // One machine is enough: starting programs takes long while all are busy.
    ...(index === 0 ? [`${program} status; ${program} status --json; ${program} why f0.txt`] : []),
    "getfattr -d -m - f*.txt",
    `touch ${home}/shown`,
  ].join("; ");
  const began = Date.now();
  const child = Bun.spawn([...link.prefix, ...BINARY, "run", "--warm", ...flags, "--", "sh", "-c", show], {
    cwd: home,
    env: {
      PATH: process.env.PATH ?? "",
      HOME: home,
      XDG_STATE_HOME: join(home, "state"),
      TMPDIR: home,
      // The proxies are on this machine.
      NO_PROXY: "*",
      // Not on the command line, which everybody can read.
      LLMFS_RECORDINGS: url,
      OPENAI_API_KEY: MODEL_KEY,
      ...env,
      ...(shim !== undefined && offset !== 0 && { LD_PRELOAD: shim, CLOCK_OFFSET: String(offset) }),
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const done = (async (): Promise<Outcome> => {
    const [stdout, stderr] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    const status = await child.exited;
    const log = await Bun.file(join(home, "state/llmfs/llmfs.log"))
      .text()
      .catch(() => "");
    const ended = Date.now();
    const shown = timesOf(home);
    const files = [...stdout.matchAll(/^user\.llmfs\.meta\.ms="(\d+)"$/gm)].map(([, ms]) => Number(ms) / 1000);
    const seconds = (ended - began - (shown === undefined ? 0 : shown.ended - shown.begun)) / 1000;
    return {
      status: child.signalCode === null ? status : -1,
      tree: /^([0-9a-f]{64})/.exec(stdout)?.[1],
      output: `${stdout}${stderr}${log}`,
      seconds,
      longest: shown === undefined ? seconds : Math.max(...files),
      end: shown === undefined ? 0 : (ended - shown.ended) / 1000,
    };
  })();
  const commandLines = new Set<string>();
  const watch = setInterval(() => {
    for (const pid of processesOf(child.pid)) commandLines.add(commandLineOf(pid));
  }, 500);
  done.finally(() => clearInterval(watch));
  return { link, child, done, commandLines, pausedS: 0 };
}

/** When the command of the machine, which shows what llmfs knows, began and ended. Undefined if it did not. */
function timesOf(home: string): { readonly begun: number; readonly ended: number } | undefined {
  const [begun, ended] = ["warm", "shown"].map(
    (name) => statSync(join(home, name), { throwIfNoEntry: false })?.mtimeMs,
  );
  return begun === undefined || ended === undefined ? undefined : { begun, ended };
}

/** Empty if the process has ended. */
function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function compileClock(folder: string): string {
  const library = join(folder, "wrong-clock.so");
  const source = join(import.meta.dir, "wrong-clock.c");
  const { exitCode, stderr } = Bun.spawnSync(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"]);
  if (exitCode !== 0) throw new Error(`gcc: ${stderr}`);
  return library;
}

async function untilWarm(machine: Machine, folder: string, { machines }: Run): Promise<void> {
  const home = join(folder, `machine${machines.indexOf(machine)}`);
  let over = false;
  machine.done.then(() => {
    over = true;
  });
  while (!over && !(await Bun.file(join(home, "warm")).exists())) await Bun.sleep(20);
}

async function healLater(machine: Machine | undefined): Promise<void> {
  await Bun.sleep(CUT_S * 1000);
  machine?.link.heal();
}

/** The processes of a machine: llmfs, its guardian and its command. */
function processesOf(pid: number): readonly number[] {
  let children: readonly string[] = [];
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  } catch {
    // It has ended.
  }
  return [pid, ...children.filter((one) => one !== "").flatMap((child) => processesOf(Number(child)))];
}

function signalAll(machine: Machine | undefined, signal: "STOP" | "CONT" | "KILL"): void {
  if (machine === undefined || machine.child.exitCode !== null) return;
  for (const pid of processesOf(machine.child.pid)) {
    try {
      process.kill(pid, `SIG${signal}`);
    } catch {
      // It has ended in the meantime.
    }
  }
}

/** Kills llmfs as the kernel does when memory is short: its helpers clean up after it. */
function killAll(machine: Machine | undefined): void {
  machine?.child.kill("SIGKILL");
}

async function judge(
  kind: StoreKind,
  scenario: Scenario,
  run: Run,
  outcomes: readonly Outcome[],
  model: OpenaiServer,
  store: TestStore,
  { files, timeoutS }: MatrixOptions,
): Promise<Result> {
  const survivors = outcomes.filter(({ status }) => status >= 0);
  const underWay = run.lost.calls;
  const needed = files + run.lost.answers;
  const paid = model.requests.length;
  const succeeded = survivors.filter(({ status }) => status === 0);
  const trees = new Set(succeeded.map(({ tree }) => tree)).size;
  // A machine that is stopped does not know how long it waits.
  const ofSurvivors = (seconds: (outcome: Outcome) => number) =>
    Math.max(
      ...outcomes.flatMap((one, index) => (one.status < 0 ? [] : [seconds(one) - (run.machines[index]?.pausedS ?? 0)])),
    );
  const [longest, slowest] = [ofSurvivors((one) => one.longest), ofSurvivors((one) => one.seconds)];
  const end = Math.max(...survivors.map((one) => one.end));
  const secrets = [...store.secrets, MODEL_KEY];
  const shows = (text: string) => secrets.some((secret) => text.includes(secret));
  const problems = [
    ...(paid > (scenario.cutsOff ? needed + underWay : needed * MOST_PAID) ? [`${paid} calls paid for ${needed}`] : []),
    ...(trees > 1 ? [`${trees} different trees with status 0`] : []),
    ...(longest > timeoutS + SLACK_S ? [`a file took ${longest.toFixed(0)} s`] : []),
    ...(end > END_S ? [`the end took ${end.toFixed(0)} s`] : []),
    ...(outcomes.some(({ output }) => shows(output)) ? ["a secret was printed"] : []),
    ...(run.machines.some(({ commandLines }) => shows([...commandLines].join("\n")))
      ? ["a secret is in a command line"]
      : []),
    ...(survivors.some(({ status, tree }) => status === 0 && tree === undefined) ? ["status 0 without a tree"] : []),
    ...(scenario.fails && succeeded.length > 0 ? ["status 0 although files failed"] : []),
  ];
  if (problems.length > 0 && process.env.FLEET_OUTPUT !== undefined) {
    for (const { output } of outcomes) console.error(output);
  }
  return {
    kind,
    scenario: scenario.name,
    needed,
    paid,
    underWay,
    trees: new Set(survivors.flatMap(({ tree }) => tree ?? [])).size,
    statuses: outcomes.map(({ status }) => status),
    longest,
    seconds: slowest,
    problems,
  };
}

/** The table for docs/fleet.md. */
function formatTable(results: readonly Result[]): string {
  const head =
    "| what happens | store | calls needed | under way | paid | trees | exit statuses | longest wait | time |\n" +
    "|---|---|---|---|---|---|---|---|---|";
  const rows = results.map(
    ({ scenario, kind, needed, underWay, paid, trees, statuses, longest, seconds, problems }) => {
      const shown = statuses.map((status) => (status < 0 ? "killed" : String(status))).join(", ");
      const wrong = problems.length === 0 ? "" : ` **${problems.join("; ")}**`;
      return `| ${scenario} | ${kind} | ${needed} | ${underWay === 0 ? "" : underWay} | ${paid} | ${trees} | ${shown}${wrong} | ${longest.toFixed(0)} s | ${seconds.toFixed(0)} s |`;
    },
  );
  return [head, ...rows].join("\n");
}

export const PAGE = join(import.meta.dir, "../../docs/fleet.md");
const MARKS = ["<!-- written by `npm run fleet -- --write` -->", "<!-- end -->"] as const;

/** The value after a flag of the command line. */
function flag(name: string): string | undefined {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
}

async function runKind(kind: StoreKind): Promise<readonly Result[]> {
  const wanted = flag("--only")?.toLowerCase() ?? "";
  const options: MatrixOptions = { files: FILES, timeoutS: 60, namespaces: canMakeNamespaces() };
  const results: Result[] = [];
  for (const scenario of SCENARIOS) {
    if (!`${kind}/${scenario.name}`.toLowerCase().includes(wanted)) continue;
    const result = await runCell(kind, scenario, options);
    results.push(result);
    console.error(formatTable([result]).split("\n").at(-1));
  }
  return results;
}

/** Each kind of store has a process of its own, so that they run at the same time. */
async function runAll(): Promise<readonly Result[]> {
  const all = KINDS.map(async (kind): Promise<readonly Result[]> => {
    const more = flag("--only") === undefined ? [] : ["--only", flag("--only") ?? ""];
    const command = [process.execPath, import.meta.path, "--kind", kind, "--json", ...more];
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
    return JSON.parse(await child.stdout.text());
  });
  const results = (await Promise.all(all)).flat();
  return SCENARIOS.flatMap(({ name }) => results.filter(({ scenario }) => scenario === name));
}

async function main(): Promise<void> {
  console.error(canMakeNamespaces() ? "machines are network namespaces" : "machines are processes with proxies");
  const kind = KINDS.find((one) => one === flag("--kind"));
  const results = kind === undefined ? await runAll() : await runKind(kind);
  console.log(process.argv.includes("--json") ? JSON.stringify(results) : formatTable(results));
  if (process.argv.includes("--write")) {
    const page = readFileSync(PAGE, "utf8");
    const [before = "", after = ""] = [page.split(MARKS[0])[0], page.split(MARKS[1])[1]];
    writeFileSync(PAGE, `${before}${MARKS[0]}\n\n${formatTable(results)}\n\n${MARKS[1]}${after}`);
  }
  process.exitCode = results.some(({ problems }) => problems.length > 0) ? 1 : 0;
}

if (import.meta.main) await main();
