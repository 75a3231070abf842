/**
 * Uses a mount for a long time, in every way at once, and checks after each round whether all resources are released.
 *
 *   npm run soak -- [MINUTES] [--seed N] [--break leaks|inodes|content]
 *
 * 20 minutes by default. Every read is compared with the expected content. After a round, inodes and bytes must be
 * exactly as many as after the first rounds; the inodes that the kernel holds, descriptors, processes and memory must
 * not stay above their level then, within the tolerances of soak/footprint.ts. `--break` causes a fault on purpose; the
 * exit status must then be 1.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { structureToSnapshot } from "../../src/snapshot/structure.ts";
import { processesOf } from "../support/mounted.ts";
import { BINARY, eventually, isAlive, mountedType, Sandbox, SOURCE } from "../support/program.ts";
import { Random } from "../support/random.ts";
import { descendants, type Footprint, footprintOf, tolerances } from "./soak/footprint.ts";
import { FAILING, idsOf, LINK, LISTED, Outside, PAGES, REFRESHED } from "./soak/outside.ts";
import { Errno, Programs } from "./soak/programs.ts";

/** Faults that can be caused on purpose, to check that they are noticed. */
export const BREAKS = ["leaks", "inodes", "content"] as const;
export type Break = (typeof BREAKS)[number];

export interface SoakOptions {
  readonly seconds: number;
  readonly seed?: number;
  readonly broken?: Break;
  /** How many rounds are compared with as many of the first ones. Default: 4. */
  readonly window?: number;
  readonly report?: (line: string) => void;
}

export interface Soaked {
  readonly rounds: number;
  /** The number of contents compared. */
  readonly checks: number;
}

/** Caches fill and helper processes start in these rounds. */
const WARM_UP_ROUNDS = 4;
/** The heap grows for some minutes until it is as large as its collector wants. In a long run, memory counts from then on. */
const SHORT_RUN_S = 120;
/** The minimum over this many rounds in a row is compared with the minimum over as many of the first rounds. */
const WINDOW = 4;
/** Rounds differ: one in this many kills readers, cancels requests and waits for them to end. */
const KILLING = 4;
const CHURN_STEPS = 60;

/** Throws if a resource is not released, or content is wrong. */
export async function soak(options: SoakOptions): Promise<Soaked> {
  using sandbox = new Sandbox();
  await using outside = await Outside.open(sandbox.at("outside"));
  await using rounds = await Rounds.begin(sandbox, outside, options);
  const { window = WINDOW } = options;
  const start = performance.now();
  const until = start + options.seconds * 1000;
  const settledAt = start + (Math.max(0, options.seconds - SHORT_RUN_S) * 1000) / 2;
  const seen: Footprint[] = [];
  let settling = 0;
  let round = 0;
  for (; performance.now() < until || seen.length < 2 * window; round++) {
    await rounds.run(round);
    const footprint = await rounds.settled(seen[0]);
    options.report?.(`round ${round}, ${rounds.checks} contents compared: ${describe(footprint)}`);
    if (round < WARM_UP_ROUNDS) continue;
    seen.push(footprint);
    if (performance.now() < settledAt) settling = seen.length;
    const found = differences(seen, settling, window);
    if (found.length > 0) throw new Error(`after round ${round}, ${found.join("; ")}`);
  }
  await rounds.end();
  return { rounds: round, checks: rounds.checks };
}

function describe({ exact, bounded }: Footprint): string {
  return Object.entries({ ...exact, ...bounded })
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

/** The resources that are not back to the level of the first rounds, in words. */
function differences(seen: readonly Footprint[], settling: number, window: number): readonly string[] {
  const [first, last] = [seen[0], seen.at(-1)];
  if (first === undefined || last === undefined) return [];
  const found: string[] = [];
  for (const name of ["inodes", "bytes", "generating"] as const) {
    const [before, after] = [first.exact[name], last.exact[name]];
    if (after !== before) found.push(`${name}: ${after} instead of ${before}`);
  }
  for (const name of [
    "kernelInodes",
    "descriptors",
    "memoryFiles",
    "channels",
    "processes",
    "memory",
    "helperMemory",
  ] as const) {
    const counted = seen.slice(/memory/i.test(name) ? settling : 0);
    if (counted.length < 2 * window) continue;
    const before = counted.slice(0, window).map(({ bounded }) => bounded[name]);
    const after = counted.slice(-window).map(({ bounded }) => bounded[name]);
    const most = Math.max(...before) + tolerances[name];
    if (Math.min(...after) > most) found.push(`${name}: ${Math.min(...after)} or more instead of ${most} or less`);
  }
  return found;
}

class Rounds implements AsyncDisposable {
  /** The number of contents compared. */
  checks = 0;
  readonly #dir: string;
  readonly #programs: Programs;
  readonly #random: Random;
  /** The content of each page, and the one that an undo restores. */
  readonly #pages = new Map<string, { current: string; previous: string }>();
  #round = 0;
  /** When the file with `refresh: 100ms` was last read. */
  #timed = Number.NEGATIVE_INFINITY;
  #server: ReturnType<typeof Bun.spawn> | undefined;

  private constructor(
    readonly sandbox: Sandbox,
    readonly outside: Outside,
    readonly options: SoakOptions,
  ) {
    this.#dir = sandbox.directory("mnt");
    sandbox.directory("other");
    this.#random = new Random(options.seed ?? 1);
    this.#programs = new Programs(sandbox.path);
  }

  static async begin(sandbox: Sandbox, outside: Outside, options: SoakOptions): Promise<Rounds> {
    const rounds = new Rounds(sandbox, outside, options);
    const pending = [...Object.keys(PAGES), "slow/one.txt", "slow/two.txt"];
    await Bun.write(
      sandbox.at("start.json"),
      structureToSnapshot(pending.map((path) => ({ path: `/${path}`, type: "file" }))),
    );
    await rounds.#mount("start.json");
    await rounds.#do("execute", "inner.db", "CREATE TABLE t (round TEXT)");
    await rounds.#do("execute", "inner.db", "INSERT INTO t VALUES ('')");
    await rounds.#do("makedirs", "links");
    for (const path of Object.keys(PAGES)) {
      const first = await rounds.#read(path);
      rounds.#expect(path, first, outside.answered(path));
      await rounds.#do("setxattr", path, "user.llmfs.regen", "again");
      rounds.#pages.set(path, { current: await rounds.#read(path), previous: first });
    }
    return rounds;
  }

  /** Everything once. */
  async run(round: number): Promise<void> {
    this.#round = round;
    this.outside.begin(round);
    await this.#refreshed();
    await this.#listed();
    await this.#regenerated();
    await this.#drafted();
    if (round % KILLING === 0) await this.#killed();
    this.checks += Number(await this.#do("churn", "churn", this.#random.below(2 ** 31), CHURN_STEPS));
    await this.#saved();
    // Helper processes end when they are idle for a while: all of them run when the footprint is taken.
    await Promise.all(Object.keys(REFRESHED).map((path) => this.#sh(`cat ${path}`)));
    if (this.options.broken === "leaks") this.#server?.kill("SIGUSR2");
    if (this.options.broken === "inodes") await this.#do("abandon", "abandoned");
  }

  /**
   * The footprint once nothing is in progress; if it does not return to its earlier level, the footprint of a while
   * later.
   */
  async settled(base: Footprint | undefined): Promise<Footprint> {
    const until = performance.now() + 10_000;
    const wanted = base && JSON.stringify(base.exact);
    let last = "";
    for (let same = 0; ; await Bun.sleep(25)) {
      const footprint = footprintOf(this.#dir);
      const exact = JSON.stringify(footprint.exact);
      if (exact === wanted || performance.now() > until) return footprint;
      same = exact === last && footprint.exact.generating === 0 ? same + 1 : 0;
      if (wanted === undefined && same === 20) return footprint;
      last = exact;
    }
  }

  /** Unmounts, and checks that a mount of the saved tree has everything. */
  async end(): Promise<void> {
    await this.#unmount(this.#dir);
    await this.#mount("saved.json");
    for (const [path, { current }] of this.#pages) this.#expect(path, await this.#read(path), current);
    await this.#unmount(this.#dir);
    const leftovers = this.sandbox.leftovers();
    if (leftovers.length > 0) throw new Error(`left behind: ${leftovers.join(", ")}`);
  }

  /** In the foreground, so that its end is noticed. */
  async #mount(from: string): Promise<void> {
    const [bun = "", main = ""] = SOURCE;
    const leaking = [bun, "--preload", join(import.meta.dir, "soak/leak.ts"), main];
    const args = ["--from", this.sandbox.at(from), "--save", this.sandbox.at("saved.json"), "--save-every", "2s"];
    this.#server = Bun.spawn({
      cmd: [
        ...(this.options.broken === "leaks" ? leaking : BINARY),
        ...["mount", "-f", this.#dir, "--mode", "off", ...args, ...this.#modelArgs()],
      ],
      cwd: this.outside.directory,
      env: this.sandbox.environment(),
      stdio: ["ignore", Bun.file(this.sandbox.at("mount.log")), Bun.file(this.sandbox.at("mount.log"))],
    });
    const ready = () => mountedType(this.#dir) !== undefined || this.#server?.exitCode !== null;
    await eventually("the mount is there", ready, 30_000);
    if (this.#server.exitCode !== null) throw new Error(readFileSync(this.sandbox.at("mount.log"), "utf8"));
  }

  #modelArgs(): readonly string[] {
    return ["--base-url", this.outside.model.baseUrl, "--model", "scripted", "--timeout", "60s"];
  }

  /** Unmounts, and checks that nothing of the mount is left. */
  async #unmount(dir: string): Promise<void> {
    const server = dir === this.#dir ? this.#server : undefined;
    const done = await this.#llmfs("unmount", dir).catch((error: Error) => error);
    if (done instanceof Error) {
      // A program outside the test made a mount namespace with a copy of every mount: the process would serve that.
      if (!done.message.includes("in the mount namespace of")) throw done;
      for (const pid of server === undefined ? processesOf(dir, "--daemon") : [server.pid])
        process.kill(pid, "SIGKILL");
    }
    await eventually(`nothing is mounted at ${dir}`, () => mountedType(dir) === undefined);
    await eventually(`no process serves ${dir}`, () => processesOf(dir).length === 0, 60_000);
    const status = await server?.exited;
    if (server !== undefined && status !== 0 && !(done instanceof Error))
      throw new Error(`the mount ended with ${status}`);
  }

  #do(request: string, path: string, ...values: readonly (string | number)[]): Promise<unknown> {
    return this.#programs.do(request, join(this.#dir, path), ...values);
  }

  #read(path: string): Promise<string> {
    return this.#programs.read(join(this.#dir, path));
  }

  /** What a shell script prints in the mount's root. */
  async #sh(script: string): Promise<string> {
    const child = Bun.spawn({ cmd: ["sh", "-c", script], cwd: this.#dir, stdio: ["ignore", "pipe", "pipe"] });
    return output(script, child);
  }

  async #llmfs(...args: readonly string[]): Promise<string> {
    const child = Bun.spawn({
      cmd: [...BINARY, ...args],
      cwd: this.sandbox.path,
      env: this.sandbox.environment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    return output(`llmfs ${args.join(" ")}`, child);
  }

  #expect(what: string, actual: string, expected: string): void {
    this.checks++;
    if (actual === expected) return;
    const show = (value: string) => `${value.length} characters, ${JSON.stringify(value.slice(0, 200))}`;
    throw new Error(`${what} in round ${this.#round}: ${show(actual)} instead of ${show(expected)}`);
  }

  /** Files of every generator with rules that say how long their content is valid. */
  async #refreshed(): Promise<void> {
    const round = this.options.broken === "content" && this.#round > WARM_UP_ROUNDS ? this.#round - 1 : this.#round;
    await this.#do("execute", "inner.db", `UPDATE t SET round = '${String(this.#round).padStart(8, "0")}'`);
    const paths = Object.keys(REFRESHED);
    const expected = (path: string) => REFRESHED[path]?.(round) ?? "";
    const together = this.#sh(`cat ${paths.join(" ")}`);
    for (const path of paths) this.#expect(path, await this.#read(path), expected(path));
    this.#expect("all of them by cat", await together, paths.map(expected).join(""));
    for (let again = 0; again < 5; again++) {
      const path = this.#random.pick(paths);
      this.#expect(path, await this.#read(path), expected(path));
    }
    this.#expect("llm.txt", await this.#read("refresh/llm.txt"), this.outside.answered("refresh/llm.txt"));
    const exec = REFRESHED["refresh/exec.txt"]?.(round) ?? "";
    await Bun.sleep(Math.max(0, this.#timed + 110 - performance.now()));
    this.#expect("timed.txt", await this.#read("refresh/timed.txt"), exec);
    this.#timed = performance.now();
    for (const until = performance.now() + 10_000; (await this.#read("refresh/stale.txt")) !== exec; ) {
      if (performance.now() > until) throw new Error(`stale.txt stays as it was in round ${this.#round}`);
      await Bun.sleep(5);
    }
    // Every failure doubles the pause before the next try of the same file.
    if (this.#round >= 3) return;
    for (const [path, errno] of Object.entries(FAILING)) {
      const outcome = await this.#read(path).catch((error) => (error instanceof Errno ? error.code : String(error)));
      this.#expect(path, outcome, errno);
    }
  }

  /** Directories whose names change, and names that exist once they are looked up. */
  async #listed(): Promise<void> {
    const ids = idsOf(this.#round);
    for (const [directory, { ending, content }] of Object.entries(LISTED)) {
      const names = ids.map((id) => `${id}${ending}`);
      this.#expect(directory, String(await this.#do("names", directory)), String(names));
      // The same names in every round, so that the same number of contents remains. Some of these names stay for a
      // round.
      for (const id of [ids[0], ids[7], ids.at(-1)].filter((one) => one !== undefined)) {
        const path = `${directory}/${id}${ending}`;
        this.#expect(path, await this.#read(path), content(id, this.#round));
      }
    }
    const paths = [1, 2, 3].map((index) => `found/${this.#round}-${index}.txt`);
    for (const path of paths) this.#expect(path, await this.#read(path), `/${path}\n`);
    await this.#sh(`rm ${paths.join(" ")}`);
  }

  /** Regeneration and undo, by the attribute and by the command, of files that are open, mapped and linked. */
  async #regenerated(): Promise<void> {
    const paths = Object.keys(PAGES);
    for (const path of paths) {
      await this.#regenerate(path);
      if (this.#random.chance(0.5)) continue;
      await this.#do("setxattr", path, "user.llmfs.regen", "undo");
      await this.#undone(path);
    }
    for (let again = 0; again < 20; again++) await this.#regenerate("pages/small.txt");
    const one = this.#random.pick(paths.slice(1));
    // The new content is for the thread that announced it: an announcement by a program that has ended has no effect.
    const announce = `setfattr -n user.llmfs.regen -v again ${one}`;
    this.#expect(one, await this.#sh(`${announce}; ${announce}; ${announce}; cat ${one}`), this.#page(one).current);
    await this.#sh(`setfattr -n user.llmfs.regen -v undo ${one}`);
    await this.#undone(one);
    const both = [one, "pages/small.txt"];
    await this.#llmfs("regen", ...both.map((path) => join(this.#dir, path)));
    for (const path of both) await this.#renewed(path);
    await this.#llmfs("regen", "--undo", ...both.map((path) => join(this.#dir, path)));
    for (const path of both) await this.#undone(path);
  }

  async #regenerate(path: string): Promise<void> {
    const { current } = this.#page(path);
    const held = Number(await this.#do("hold", path));
    await this.#do("link", path, join(this.#dir, LINK));
    this.outside.linked = path;
    await this.#do("setxattr", LINK, "user.llmfs.regen", "again");
    this.#expect(LINK, await this.#read(LINK), this.outside.answered(path));
    await this.#renewed(path);
    this.#expect(`${path}, held`, String(await this.#programs.do("see", held)), current);
    await this.#programs.do("release", held);
    await this.#do("unlink", LINK);
  }

  /** Notes that the model was asked for this page again. */
  async #renewed(path: string): Promise<void> {
    const { current: previous } = this.#page(path);
    const current = this.outside.answered(path);
    if (current === previous) throw new Error(`${path} was not generated again in round ${this.#round}`);
    this.#expect(path, await this.#read(path), current);
    this.#pages.set(path, { current, previous });
  }

  /** Notes that the previous content of this page was restored. */
  async #undone(path: string): Promise<void> {
    const { current, previous } = this.#page(path);
    this.#expect(path, await this.#read(path), previous);
    this.#pages.set(path, { current: previous, previous: current });
  }

  #page(path: string): { readonly current: string; readonly previous: string } {
    const page = this.#pages.get(path);
    if (page === undefined) throw new Error(`no page ${path}`);
    return page;
  }

  /** A pending file that a shell creates, reads, regenerates and removes. */
  async #drafted(): Promise<void> {
    const prompt = "setfattr -n user.llmfs.prompt";
    const read = await this.#sh(`touch draft.txt; ${prompt} -v 'Round ${this.#round}.' draft.txt; cat draft.txt`);
    this.#expect("draft.txt", read, this.outside.answered("draft.txt"));
    await this.#llmfs("regen", "--prompt", "In verse.", join(this.#dir, "draft.txt"));
    this.#expect("draft.txt", await this.#sh("cat draft.txt; rm draft.txt"), this.outside.answered("draft.txt"));
    await this.#sh(
      "for i in 1 2 3 4 5; do touch never.txt; setfattr -n user.llmfs.prompt -v p never.txt; rm never.txt; done",
    );
  }

  /** Readers that are killed while they wait. */
  async #killed(): Promise<void> {
    const readers = ["one", "two"].map((name) =>
      Bun.spawn({ cmd: ["cat", `slow/${name}.txt`], cwd: this.#dir, stdio: ["ignore", "ignore", "ignore"] }),
    );
    const { requests } = this.outside.model;
    const waiting = () => requests.filter(({ body }) => JSON.stringify(body.messages).includes("Write the file slow/"));
    await eventually("both are requested", () => waiting().length === 2);
    for (const reader of readers) reader.kill("SIGKILL");
    await Promise.all(readers.map((reader) => reader.exited));
    await eventually("both requests are cancelled", () => waiting().every(({ gone }) => gone));
  }

  /** The saved tree, mounted elsewhere, is the same; and changes there are saved too. */
  async #saved(): Promise<void> {
    const other = this.sandbox.at("other");
    const copy = this.sandbox.at("copy.json");
    const [from, back] = [this.sandbox.at("from.json"), copy];
    await this.#llmfs("save", this.#dir, from);
    const extra = this.#random.pick([[], ["--low-power"]]);
    const args = ["--from", from, "--save", back, "--config", "none", "--mode", "off", ...this.#modelArgs(), ...extra];
    await this.#llmfs("mount", other, ...args);
    for (const [path, { current }] of this.#pages) {
      this.#expect(`${path}, saved`, await this.#programs.read(join(other, path)), current);
    }
    this.checks += Number(await this.#programs.do("churn", join(other, "churn"), this.#round, CHURN_STEPS / 3));
    const mark = `mark ${this.#round}\n`;
    await Bun.write(join(other, "mark.txt"), mark);
    await this.#unmount(other);
    const entries: { path: string; text?: string | string[] }[] = JSON.parse(readFileSync(back, "utf8")).entries;
    const saved = (path: string) => [entries.find((entry) => entry.path === path)?.text].flat().join("");
    this.#expect("mark.txt, saved", saved("/mark.txt"), mark);
    for (const [path, { current }] of this.#pages) this.#expect(`${path}, saved again`, saved(`/${path}`), current);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#programs[Symbol.asyncDispose]();
    for (const dir of [this.#dir, this.sandbox.at("other")]) {
      if (mountedType(dir) !== undefined) await this.#llmfs("unmount", "--lazy", dir).catch(() => undefined);
    }
    if (this.#server === undefined || this.#server.exitCode !== null) return;
    // Everything left running on purpose, or by a fault, ends here.
    for (const pid of descendants(this.#server.pid)) {
      // It may be ending by itself at this moment.
      if (isAlive(pid)) process.kill(pid, "SIGKILL");
    }
    this.#server.kill("SIGKILL");
    await this.#server.exited;
  }
}

async function output(what: string, child: Bun.Subprocess<"ignore", "pipe", "pipe">): Promise<string> {
  const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  const status = await child.exited;
  if (status !== 0) throw new Error(`${what}: status ${status}: ${errors.trim()}`);
  return out;
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { seed: { type: "string", default: "1" }, break: { type: "string" } },
    allowPositionals: true,
  });
  const minutes = Number(positionals[0] ?? 20);
  const broken = BREAKS.find((one) => one === values.break);
  if (!(minutes > 0) || (values.break !== undefined && broken === undefined)) {
    console.error(`usage: npm run soak -- [MINUTES] [--seed N] [--break ${BREAKS.join("|")}]`);
    process.exit(2);
  }
  try {
    const options = { seconds: minutes * 60, seed: Number(values.seed), report: (line: string) => console.log(line) };
    const { rounds, checks } = await soak(broken === undefined ? options : { ...options, broken });
    console.log(`${rounds} rounds, ${checks} contents compared: everything is back where it was`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
