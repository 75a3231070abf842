/** How the filesystem thread chooses where to run, with simulated processors. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  Placement,
  type PlacementMode,
  type Processors,
  processorIn,
  STRETCH,
  systemProcessors,
} from "../../src/fuse/placement.ts";
import * as libc from "../../src/libc.ts";

/** `runs`: where each thread runs. `moves`: where our thread was moved to. */
function machine(runs: Record<number, number> = {}, forbidden: readonly number[] = []) {
  const moves: (number | "anywhere")[] = [];
  const processors: Processors = {
    whereRuns: (thread) => runs[thread],
    moveTo(processor) {
      if (forbidden.includes(processor)) return false;
      moves.push(processor);
      return true;
    },
    release: () => moves.push("anywhere"),
    close() {},
  };
  return { runs, moves, processors };
}

/**
 * A stream of requests of one thread, with the time of a request in each way in µs. Returns how many requests were
 * served in each way.
 */
function stream(
  placement: Placement,
  stretches: number,
  cost: Record<PlacementMode, number>,
): Record<PlacementMode, number> {
  const served = { follow: 0, spin: 0, rest: 0 };
  for (let stretch = 0; stretch < stretches; stretch++) {
    const { way } = placement;
    for (let number = 0; number < STRETCH; number++) placement.noteCaller(number, 7);
    served[way] += STRETCH;
    placement.noteStretch((STRETCH * cost[way]) / 1000);
  }
  return served;
}

const WAYS = ["spin", "follow", "rest"] as const;

for (const fastest of WAYS) {
  test(`the fastest way to wait is found and kept: ${fastest}`, () => {
    const placement = new Placement(WAYS, machine({ 7: 1 }).processors);
    const cost = { follow: 60, spin: 60, rest: 60, [fastest]: 20 };
    stream(placement, 40, cost);
    const served = stream(placement, 10_000, cost);
    expect(served[fastest] / (10_000 * STRETCH)).toBeGreaterThan(0.99);
  });
}

test("a way to wait that becomes faster later is found", () => {
  const placement = new Placement(WAYS, machine({ 7: 1 }).processors);
  stream(placement, 5000, { spin: 20, follow: 60, rest: 60 });
  expect(placement.way).toBe("spin");
  stream(placement, 2000, { spin: 60, follow: 20, rest: 60 });
  expect(placement.way).toBe("follow");
});

test("a thread stops polling when other programs want its processor, and tries again later", () => {
  const placement = new Placement(["spin", "follow"], machine({ 7: 1 }).processors);
  const cost = { spin: 20, follow: 60, rest: 60 };
  stream(placement, 100, cost);
  for (let times = 0; times < 2; times++) placement.noteInterruption();
  expect(placement.way).toBe("spin");
  // Now and then it happens everywhere.
  stream(placement, 1, cost);
  for (let times = 0; times < 2; times++) placement.noteInterruption();
  expect(placement.way).toBe("spin");
  placement.noteInterruption();
  expect(placement.way).toBe("follow");
  expect(stream(placement, 50, cost).spin).toBe(0);
  stream(placement, 1000, cost);
  expect(placement.way).toBe("spin");
});

test("a thread that polls as an experiment stops when other programs want its processor", () => {
  const placement = new Placement(["follow", "spin"], machine({ 7: 1 }).processors);
  const cost = { spin: 20, follow: 60, rest: 60 };
  for (let stretch = 0; placement.way !== "spin" && stretch < 100; stretch++) stream(placement, 1, cost);
  expect(placement.way).toBe("spin");
  for (let times = 0; times < 3; times++) placement.noteInterruption();
  expect(stream(placement, 50, cost)).toEqual({ follow: 50 * STRETCH, spin: 0, rest: 0 });
});

test("a thread that can only poll continues", () => {
  const placement = new Placement(["spin"], machine({ 7: 1 }).processors);
  for (let times = 0; times < 10; times++) placement.noteInterruption();
  expect(placement.way).toBe("spin");
});

test("a single slow stretch does not change the way to wait", () => {
  const placement = new Placement(["spin", "follow"], machine({ 7: 1 }).processors);
  stream(placement, 5000, { spin: 20, follow: 20, rest: 20 });
  placement.noteStretch(1000);
  stream(placement, 5000, { spin: 20, follow: 20, rest: 20 });
  expect(placement.way).toBe("spin");
});

test("the thread follows its caller to another processor, and may run anywhere after a pause", () => {
  const { runs, moves, processors } = machine({ 7: 1 });
  const placement = new Placement(["follow"], processors);
  for (let number = 0; number < 200; number++) placement.noteCaller(number % STRETCH, 7);
  expect(moves).toEqual([1]);
  runs[7] = 3;
  for (let number = 0; number < 200; number++) placement.noteCaller(number % STRETCH, 7);
  expect(moves).toEqual([1, 3]);
  placement.notePause();
  placement.notePause();
  expect(moves).toEqual([1, 3, "anywhere"]);
});

test("a few requests do not move the thread", () => {
  const { moves, processors } = machine({ 7: 1 });
  const placement = new Placement(["follow"], processors);
  for (let number = 0; number < 8; number++) placement.noteCaller(number, 7);
  expect(moves).toEqual([]);
});

test("a caller is not followed if its processor is unknown or not permitted", () => {
  const { moves, processors } = machine({ 7: 1 }, [1]);
  const placement = new Placement(["follow"], processors);
  for (const thread of [0, 7, 8]) for (let number = 0; number < STRETCH; number++) placement.noteCaller(number, thread);
  placement.close();
  expect(moves).toEqual([]);
});

test("the thread is not moved while it spins or rests", () => {
  for (const way of ["spin", "rest"] as const) {
    const { moves, processors } = machine({ 7: 1 });
    stream(new Placement([way], processors), 100, { spin: 1, rest: 1, follow: 1 });
    expect(moves).toEqual([]);
  }
});

const before = libc.readAllowedProcessors();
afterEach(() => libc.runOn(before));

test("the processor of a thread is field 39 of its stat, whatever its name", () => {
  const fields = (name: string) =>
    Buffer.from(`12 (${name}) ${["S", ...Array.from({ length: 49 }, (_, i) => i + 4)].join(" ")}\n`);
  for (const name of ["cat", "a b", ") (", "((", ""]) expect(processorIn(fields(name))).toBe(39);
  expect(processorIn(Buffer.from("12 (cat) S 1"))).toBeUndefined();
  expect(processorIn(Buffer.from(""))).toBeUndefined();
});

const lines = readFileSync("/proc/self/status", "utf8");
const alone = /^Cpus_allowed_list:\t\d+$/m.test(lines);

test.skipIf(alone)(
  "this thread is moved to each processor that it may run on, and found there (needs two processors)",
  () => {
    const processors = systemProcessors();
    if (processors === undefined) throw new Error("there are two processors");
    const found: number[] = [];
    for (let processor = 0; processor < 1024; processor++) {
      if (!processors.moveTo(processor)) continue;
      expect(processors.whereRuns(process.pid)).toBe(processor);
      found.push(processor);
    }
    expect(found.length).toBeGreaterThan(1);
    processors.release();
    expect(libc.readAllowedProcessors()).toEqual(before);
    expect(processors.whereRuns(2 ** 22 + 1)).toBeUndefined();
    processors.close();
  },
);

test.skipIf(alone)("a thread that may run on only one processor is never moved (needs two processors)", () => {
  const mask = new Uint8Array(before.length);
  const index = before.findIndex((byte) => byte !== 0);
  mask[index] = (before[index] ?? 0) & -(before[index] ?? 0);
  expect(libc.runOn(mask)).toBe(true);
  expect(systemProcessors()).toBeUndefined();
});
