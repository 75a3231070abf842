/**
 * Measures how fast files are generated, replayed and read, compared with the ideal.
 *
 *   bun bench/generation.ts [warm|replay|wait|meanwhile]     with dist/llmfs; all of them by default
 *
 * - warm: 1,000 pending files with `llmfs warm`, a server that takes 50 ms, 64 at a time, without recordings and with.
 *   Ideal: 64 files every 50 ms. Goal: 90 % of that.
 * - replay: 10,000 files from a folder of recordings, with `mount --warm`. Goal: 5,000 a second.
 * - wait: how much longer the first open of a recorded file takes than that of an ordinary file. Goal: under 3 ms.
 * - meanwhile: how long stat, open, read and create of ordinary files take, alone and while `llmfs warm` runs as above.
 *   Goal: the same. With fewer processors than working threads this includes waiting for the scheduler.
 */
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createForesight } from "../src/offline/dry-run.ts";
import { OfflineTree } from "../src/offline/offline-tree.ts";
import { writeRecording } from "../src/recording/record.ts";
import { fileName } from "../src/recording/stores/folder.ts";
import { structureToSnapshot } from "../src/snapshot/structure.ts";
import { LATENCY_MS } from "./slow-server.ts";

const LLMFS = join(import.meta.dir, "../dist/llmfs");
const AT_ONCE = 64;

/**
 * Creates a directory with a snapshot of `count` pending files, and flags for a mount whose model is the slow server.
 */
async function slowly(count: number, use: (place: Place, flags: readonly string[]) => Promise<void>): Promise<void> {
  await using place = new Place();
  const from = place.at("from.json");
  writeFileSync(from, snapshot(count));
  const server = Bun.spawn([process.execPath, join(import.meta.dir, "slow-server.ts")], { stdout: "pipe" });
  const port = Number(new TextDecoder().decode((await server.stdout.getReader().read()).value));
  const model = ["--base-url", `http://127.0.0.1:${port}/v1`, "--model", "bench"];
  try {
    await use(place, ["--from", from, "--concurrency", String(AT_ONCE), ...model]);
  } finally {
    server.kill();
  }
}

/** In this time, everything is loaded that the first reader would otherwise wait for. */
const SETTLED_MS = 1500;

async function benchWarm(): Promise<void> {
  const count = 1000;
  const ideal = (count / AT_ONCE) * (LATENCY_MS / 1000);
  await slowly(count, async (place, flags) => {
    for (const recorded of [false, true]) {
      for (const round of [1, 2, 3]) {
        const kept = recorded ? ["--recordings", place.at(`recordings${round}`)] : ["--mode", "off"];
        await place.mount(...flags, ...kept);
        await Bun.sleep(SETTLED_MS);
        const { seconds } = JSON.parse(await place.llmfs("warm", "--json", place.mnt));
        await place.unmount();
        const share = ((ideal / seconds) * 100).toFixed(0);
        const name = `warm ${round}${recorded ? ", recorded" : ""}`;
        console.log(`${name}: ${count} files in ${seconds.toFixed(2)} s, ${rate(count, seconds)}; ${share} % of ideal`);
      }
    }
  });
}

async function benchReplay(): Promise<void> {
  const count = 10_000;
  await using place = new Place();
  await record(place, count);
  for (const round of [1, 2, 3]) {
    const flags = ["--mode", "replay", "--model", "bench", "--recordings", place.at("rec"), "--concurrency", "64"];
    const said = await place.mount("--from", place.at("from.json"), "--warm", ...flags);
    await place.unmount();
    const [, done, seconds] = /(\d+) of \d+ files generated in ([\d.]+) s/.exec(said) ?? [];
    console.log(`replay ${round}: ${done} files in ${seconds} s, ${rate(Number(done), Number(seconds))}`);
  }
}

async function benchWait(): Promise<void> {
  const count = 400;
  await using place = new Place();
  await record(place, count);
  const flags = ["--mode", "replay", "--model", "bench", "--recordings", place.at("rec")];
  await place.mount("--from", place.at("from.json"), ...flags);
  const paths = Array.from({ length: count }, (_, index) => place.at(`mnt/${path(index)}`));
  const [first, ...others] = paths;
  opened([first ?? ""]);
  const pending = opened(others);
  const ordinary = opened(others);
  await place.unmount();
  console.log(`wait: a recorded file opens in ${pending.toFixed(2)} ms, an ordinary one in ${ordinary.toFixed(2)} ms`);
}

async function benchMeanwhile(): Promise<void> {
  const count = 5000;
  await slowly(count, async (place, flags) => {
    await place.mount(...flags, "--mode", "off");
    await Bun.sleep(SETTLED_MS);
    mkdirSync(place.at("mnt/own"));
    for (let index = 0; index < OWN; index++) writeFileSync(own(place, index), Buffer.alloc(4096));
    latencies(place, 1);
    const alone = latencies(place, ROUNDS);
    const warming = place.llmfs("warm", "--json", place.mnt);
    await Bun.sleep(500);
    const meanwhile = latencies(place, ROUNDS);
    const { seconds } = JSON.parse(await warming);
    await place.unmount();
    const pace = rate(count, seconds);
    console.log(`meanwhile: µs, median and p99, alone | while llmfs warm runs (${pace} in all)`);
    for (const [name, times] of alone) {
      const [before, during] = [times, meanwhile.get(name) ?? []].map((all) =>
        [0.5, 0.99].map((part) => at(all, part)),
      );
      console.log(`  ${name.padEnd(8)}${before?.join(" ").padStart(12)} |${during?.join(" ").padStart(12)}`);
    }
  });
}

/** The number of static files. */
const OWN = 200;
const ROUNDS = 8;

function own(place: Place, index: number): string {
  return place.at(`mnt/own/${index}`);
}

/** The microseconds of each operation. */
function latencies(place: Place, rounds: number): ReadonlyMap<string, readonly number[]> {
  const buffer = Buffer.alloc(4096);
  const found = new Map<string, number[]>();
  const timed = <T>(name: string, work: () => T): T => {
    const begun = performance.now();
    const value = work();
    const times = found.get(name) ?? [];
    times.push((performance.now() - begun) * 1000);
    found.set(name, times);
    return value;
  };
  for (let round = 0; round < rounds; round++) {
    for (let index = 0; index < OWN; index++) {
      const path = own(place, index);
      timed("stat", () => statSync(path));
      const fd = timed("open", () => openSync(path, "r"));
      timed("read", () => readSync(fd, buffer, 0, buffer.length, 0));
      closeSync(fd);
      const fresh = place.at(`mnt/own/fresh${index}`);
      closeSync(timed("create", () => openSync(fresh, "wx")));
      unlinkSync(fresh);
    }
  }
  return found;
}

function at(times: readonly number[], part: number): string {
  return (times.toSorted((a, b) => a - b)[Math.floor(times.length * part)] ?? Number.NaN).toFixed(0);
}

/** The median time of an open, in milliseconds. */
function opened(paths: readonly string[]): number {
  const times = paths.map((one) => {
    const begun = performance.now();
    closeSync(openSync(one, "r"));
    return performance.now() - begun;
  });
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
}

function path(index: number): string {
  return `d${index % 100}/file${index}.txt`;
}

function snapshot(count: number): string {
  const entries = Array.from({ length: count }, (_, index) => ({
    path: path(index),
    type: "file" as const,
    description: `the file with the number ${index}`,
  }));
  return structureToSnapshot(entries);
}

/** Creates a tree, and a folder with an answer for every file of it. */
async function record(place: Place, count: number): Promise<void> {
  writeFileSync(place.at("from.json"), snapshot(count));
  mkdirSync(place.at("rec"));
  const tree = new OfflineTree({ file: place.at("from.json") });
  const foresight = createForesight({ tree, modelName: "bench" });
  for (let index = 0; index < count; index++) {
    const { asks } = await foresight.foresee(`/${path(index)}`);
    if (asks === undefined) throw new Error("nothing is asked");
    const { request, key } = asks;
    const recording = {
      key,
      label: `/${path(index)}`,
      request,
      answer: { text: "one line of text\n", model: "bench" },
    };
    writeFileSync(place.at(join("rec", fileName(recording.label, key))), writeRecording(recording));
  }
}

function rate(count: number, seconds: number): string {
  return `${Math.round(count / seconds)} files/s`;
}

/** A folder for one benchmark, with a mountpoint in it. */
class Place implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), "llmfs-bench-"));
  readonly mnt = join(this.path, "mnt");
  #mounted = false;

  constructor() {
    mkdirSync(this.mnt);
  }

  at(name: string): string {
    return join(this.path, name);
  }

  /** Returns what it printed; its stderr if nothing else. */
  async llmfs(...args: readonly string[]): Promise<string> {
    const env = { ...process.env, XDG_STATE_HOME: this.path };
    const child = Bun.spawn([LLMFS, ...args], { env, stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    if ((await child.exited) !== 0) throw new Error(`llmfs ${args[0]}: ${err}`);
    return out === "" ? err : out;
  }

  async mount(...args: readonly string[]): Promise<string> {
    const said = await this.llmfs("mount", this.mnt, ...args);
    this.#mounted = true;
    return said;
  }

  async unmount(): Promise<void> {
    await this.llmfs("unmount", this.mnt);
    this.#mounted = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#mounted) await this.llmfs("unmount", this.mnt, "--lazy");
    rmSync(this.path, { recursive: true, force: true });
  }
}

const chosen = process.argv[2];
const all = { warm: benchWarm, replay: benchReplay, wait: benchWait, meanwhile: benchMeanwhile };
for (const [name, bench] of Object.entries(all)) {
  if (chosen === undefined || chosen === name) await bench();
}
