/** How the filesystem thread chooses where to run and how to wait, with simulated processors and times. */
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import {
  Placement,
  type PlacementMode,
  type PlacementOptions,
  possibleWays,
} from "../../../src/fuse/waiting/placement.ts";
import { countOnline, type Processors, processorIn, systemProcessors } from "../../../src/fuse/waiting/processors.ts";
import * as libc from "../../../src/libc.ts";

const WAYS = ["follow", "defer", "spin", "hold", "rest"] as const;
type Costs = Record<PlacementMode, number>;

interface Machine {
  /** Where each thread runs, and which processors ours may not use. */
  readonly runs?: Record<number, number>;
  readonly forbidden?: readonly number[];
  /** Milliseconds for which our thread had to wait, and the processor time that it and its caller have used. */
  delayedMs?: number;
  usedMs?: number;
}

/** `done`: what was done about processors. */
function machine({ runs = { 7: 1 }, forbidden = [], ...times }: Machine = {}) {
  const done: string[] = [];
  const state = { delayedMs: 0, usedMs: 0, rooms: 0, ...times };
  const processors: Processors = {
    canMove: true,
    others: 1,
    whereRuns: (thread) => runs[thread],
    moveTo(processor) {
      if (forbidden.includes(processor)) return false;
      done.push(`to ${processor}`);
      return true;
    },
    makeRoom: () => {
      state.rooms++;
    },
    release: () => done.push("anywhere"),
    defer: (on) => done.push(on ? "defer" : "insist") > 0,
    hold: (on) => done.push(on ? "awake" : "asleep"),
    delayedMs: () => state.delayedMs,
    usedMs: () => state.usedMs,
    close() {},
  };
  return { runs, done, state, processors };
}

const alike = (us: number): Costs => ({ follow: us, defer: us, spin: us, hold: us, rest: us });

/**
 * A stream of one thread's requests, with the time of a request in each way in µs, and the processor
 * time if that is another. Returns how many requests were served in each way, and the milliseconds that it took.
 */
function stream(
  placement: Placement,
  stretches: number,
  costs: Costs | ((way: PlacementMode, stretch: number) => number),
  use?: (ms: number, way: PlacementMode) => void,
) {
  const served = alike(0);
  let took = 0;
  for (let stretch = 0; stretch < stretches; stretch++) {
    const { way, length } = placement;
    const us = typeof costs === "function" ? costs(way, stretch) : costs[way];
    const ms = (length * us) / 1000;
    served[way] += length;
    took += ms;
    use?.(ms, way);
    placement.noteStretch(ms, 7);
  }
  return { served, took };
}

/** The costs if one way takes longer after its first stretches in a row, and the other way always takes the same. */
function fading(one: PlacementMode, { first, later, other }: Record<"first" | "later" | "other", number>) {
  let since = 0;
  return (way: PlacementMode) => {
    since = way === one ? since + 1 : 0;
    return way === one ? (since > 6 ? later : first) : other;
  };
}

function share(served: Costs, way: PlacementMode): number {
  return served[way] / Object.values(served).reduce((sum, one) => sum + one, 0);
}

function begun(ways: readonly [PlacementMode, ...PlacementMode[]], on = machine(), options?: PlacementOptions) {
  const placement = new Placement(ways, on.processors, options);
  stream(placement, 1, alike(20));
  return placement;
}

describe("the way to wait", () => {
  for (const fastest of WAYS) {
    test(`the fastest way is found and kept: ${fastest}`, () => {
      const placement = begun(WAYS);
      const costs = { ...alike(60), [fastest]: 20 };
      const first = stream(placement, 400, costs);
      expect(share(first.served, fastest)).toBeGreaterThan(0.5);
      expect(share(stream(placement, 40_000, costs).served, fastest)).toBeGreaterThan(0.98);
    });
  }

  test("the fastest way is found soon, although no other one is better than the first", () => {
    for (const fastest of WAYS) {
      const placement = begun(WAYS);
      const { took } = stream(placement, 600, { ...alike(60), [fastest]: 20 });
      expect(took / (600 * 16 * 0.02)).toBeLessThan(1.4);
    }
  });

  test("trying ways that are much slower costs little of the time", () => {
    const placement = begun(WAYS);
    const costs = { ...alike(200), hold: 20 };
    stream(placement, 400, costs);
    const { took } = stream(placement, 40_000, costs);
    expect(took / (40_000 * 16 * 0.02)).toBeLessThan(1.03);
  });

  test("if another program needs a processor in the middle of a stream, the way changes within 50 ms, and back afterwards", () => {
    const quiet = { follow: 190, defer: 36, spin: 75, hold: 18, rest: 140 };
    const busy = { follow: 25, defer: 300, spin: 60, hold: 60, rest: 40 };
    const placement = begun(WAYS);
    stream(placement, 5000, quiet);
    for (let time = 0; time < 5; time++) {
      for (const [costs, best] of [
        [busy, "follow"],
        [quiet, "hold"],
      ] as const) {
        let ms = 0;
        while (placement.way !== best || stream(placement, 8, costs).served[best] < 128) {
          ms += stream(placement, 1, costs).took;
          expect(ms).toBeLessThan(50);
        }
        const { served } = stream(placement, 3000, costs);
        expect(share(served, best)).toBeGreaterThan(0.9);
      }
    }
  });

  test("a way that becomes faster is found, although the present one remains what it was", () => {
    const placement = begun(WAYS);
    stream(placement, 5000, { ...alike(60), hold: 20 });
    stream(placement, 5000, { ...alike(60), hold: 20, follow: 10 });
    expect(placement.way).toBe("follow");
  });

  test("a way is left if it is good only while it takes turns with another", () => {
    const placement = begun(["hold", "spin"]);
    const costs = fading("spin", { first: 15, later: 70, other: 20 });
    stream(placement, 2000, costs);
    expect(share(stream(placement, 20_000, costs).served, "hold")).toBeGreaterThan(0.97);
  });

  test("a way that is less good than its trial, but better than the one before, is kept", () => {
    const placement = begun(["rest", "hold"]);
    const costs = fading("hold", { first: 15, later: 40, other: 80 });
    stream(placement, 100, costs);
    expect(share(stream(placement, 20_000, costs).served, "hold")).toBeGreaterThan(0.97);
  });

  test("other programs at work, with random delays, do not cost more than a tenth of the time", () => {
    let seed = 42;
    const random = () => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return seed / 2 ** 31;
    };
    const placement = begun(WAYS);
    const best = { follow: 20, defer: 40, spin: 22, hold: 22, rest: 24 };
    // A stretch is sometimes interrupted for 3 ms.
    const costs = (way: PlacementMode) => best[way] * (0.8 + random() * 0.4) + (random() < 0.1 ? 3000 / 16 : 0);
    const { took } = stream(placement, 100_000, costs);
    expect(took / (100_000 * 16 * (0.02 + (0.1 * 3) / 16))).toBeLessThan(1.1);
  });

  test("a single slow stretch does not change the way", () => {
    const placement = begun(["spin", "follow"]);
    stream(placement, 5000, alike(20));
    placement.noteStretch(1000, 7);
    stream(placement, 5000, alike(20));
    expect(placement.way).toBe("spin");
  });

  test("processors are not kept awake for requests that are far apart, even if each is then faster", () => {
    const { done, processors } = machine();
    const placement = begun(["hold", "rest"], { ...machine(), processors, done });
    const costs = { ...alike(300), hold: 200 };
    stream(placement, 100, costs);
    const { served } = stream(placement, 10_000, costs);
    expect(share(served, "hold")).toBeLessThan(0.05);
  });

  test("the ways that are possible depend on the machine", () => {
    const { processors } = machine();
    const [defer, hold] = [undefined, undefined];
    expect(possibleWays(processors)).toEqual(["follow", "defer", "hold", "rest"]);
    expect(possibleWays({ ...processors, defer, hold })).toEqual(["follow", "spin", "rest"]);
    expect(possibleWays({ ...processors, canMove: false })).toEqual(["rest", "hold"]);
  });
});

/** How often each way is used in the end. `uses`: the processor time of a request in each way, in µs, as `times`. */
function settled(times: Costs, uses: Costs, options?: PlacementOptions): Costs {
  const on = machine();
  const placement = begun(WAYS, on, options);
  const use = (took: number, way: PlacementMode) => {
    on.state.usedMs += (took * uses[way]) / times[way];
  };
  stream(placement, 1000, times, use);
  return stream(placement, 10_000, times, use).served;
}

describe("ways that are nearly as fast", () => {
  test("of these, the one that takes less processor time is chosen", () => {
    const times = { follow: 20, defer: 60, spin: 18.4, hold: 60, rest: 60 };
    expect(share(settled(times, { ...alike(60), follow: 20, spin: 34 }), "follow")).toBeGreaterThan(0.95);
    expect(share(settled({ ...times, spin: 20.8 }, { ...alike(60), follow: 34, spin: 20 }), "spin")).toBeGreaterThan(
      0.95,
    );
  });

  test("a faster one is chosen that takes about the same processor time", () => {
    const times = { ...alike(20), rest: 18.4 };
    expect(share(settled(times, alike(20)), "rest")).toBeGreaterThan(0.9);
  });

  test("a way that is clearly faster is chosen, whatever it costs", () => {
    const times = { ...alike(20), hold: 14 };
    expect(share(settled(times, { ...alike(10), hold: 60 }), "hold")).toBeGreaterThan(0.9);
  });
});

describe("saving power", () => {
  const times = { follow: 100, defer: 22, spin: 24, hold: 20, rest: 100 };
  const saving = (uses: Costs) => settled(times, uses, { savesPower: true });

  test("the way that takes the least processor time is chosen", () => {
    expect(share(saving({ ...alike(40), spin: 30, defer: 20 }), "defer")).toBeGreaterThan(0.95);
    expect(share(saving({ ...alike(40), spin: 20, defer: 30 }), "spin")).toBeGreaterThan(0.95);
  });

  test("processors that are kept awake count", () => {
    expect(share(saving({ ...alike(40), defer: 35, hold: 20 }), "defer")).toBeGreaterThan(0.95);
    expect(share(saving({ ...alike(60), defer: 55, hold: 20 }), "hold")).toBeGreaterThan(0.95);
  });

  test("a way that takes more than 1.3 times as long as the fastest one is not chosen", () => {
    expect(share(saving({ ...alike(60), rest: 1 }), "rest")).toBeLessThan(0.02);
  });

  test("the thread does not poll before requests stream in, nor keep processors awake after the last", () => {
    const on = machine();
    const placement = new Placement(["hold"], on.processors, { savesPower: true });
    expect([placement.way, placement.polls]).toEqual(["rest", false]);
    stream(placement, 1, alike(20));
    expect([placement.way, placement.polls]).toEqual(["hold", true]);
    placement.noteMiss();
    expect(on.done).toEqual(["awake", "asleep"]);
    placement.notePause();
    expect([placement.way, placement.polls]).toEqual(["rest", false]);
  });
});

describe("other programs on the same processor", () => {
  test("a thread stops polling when other programs want its processor, and tries again later", () => {
    const placement = begun(["spin", "follow"]);
    const costs = { ...alike(60), spin: 20 };
    stream(placement, 100, costs);
    for (let times = 0; times < 2; times++) placement.noteInterruption();
    expect(placement.way).toBe("spin");
    // Now and then it happens everywhere.
    stream(placement, 4, costs);
    for (let times = 0; times < 2; times++) placement.noteInterruption();
    expect(placement.way).toBe("spin");
    placement.noteInterruption();
    expect(placement.way).toBe("follow");
    expect(stream(placement, 200, costs).served.spin).toBe(0);
    stream(placement, 1000, costs);
    expect(placement.way).toBe("spin");
  });

  test("a thread that polls as an experiment stops when other programs want its processor", () => {
    const placement = begun(["follow", "spin"]);
    const costs = { ...alike(60), spin: 20 };
    for (let stretch = 0; placement.way !== "spin" && stretch < 100; stretch++) stream(placement, 1, costs);
    expect(placement.way).toBe("spin");
    for (let times = 0; times < 3; times++) placement.noteInterruption();
    expect(stream(placement, 200, costs).served.spin).toBe(0);
  });

  test("a thread that polls between streams may be interrupted", () => {
    const placement = new Placement(["hold", "follow"], machine().processors);
    expect(placement.way).toBe("spin");
    for (let times = 0; times < 10; times++) placement.noteInterruption();
    expect(placement.way).toBe("rest");
  });

  test("a thread that can only poll continues", () => {
    const placement = begun(["spin"]);
    for (let times = 0; times < 10; times++) placement.noteInterruption();
    expect(placement.way).toBe("spin");
  });

  test("a thread that defers insists after the first time that it had to wait, and each time for longer", () => {
    const on = machine();
    const placement = begun(["follow", "defer"], on);
    const costs = { ...alike(60), defer: 20 };
    const pauses = [1, 2, 3].map(() => {
      let stretches = 0;
      for (; placement.way !== "defer"; stretches++) stream(placement, 1, costs);
      expect(on.done.at(-1)).toBe("defer");
      placement.noteDelay();
      expect(placement.way).toBe("defer");
      on.state.delayedMs += 4;
      placement.noteDelay();
      expect([placement.way, on.done.at(-1)]).toEqual(["follow", "insist"]);
      return stretches;
    });
    expect(pauses[1]).toBeGreaterThanOrEqual(256);
    expect(pauses[2]).toBeGreaterThanOrEqual(512);
  });
});

describe("a thread that has begun to follow its caller", () => {
  test("tries nothing else at first while the caller stays on its processor", () => {
    const placement = begun(WAYS);
    const { served } = stream(placement, 60, { ...alike(60), follow: 20 });
    expect(share(served, "follow")).toBe(1);
    const later = stream(placement, 100, { ...alike(20), follow: 20 });
    expect(share(later.served, "follow")).toBeLessThan(1);
  });

  test("tries other ways at once if the caller does not stay there", () => {
    const { runs, processors } = machine();
    const placement = begun(WAYS, { ...machine(), runs, processors });
    const { served } = stream(placement, 40, (way, stretch) => {
      runs[7] = stretch % 2;
      return way === "hold" ? 20 : 100;
    });
    expect(placement.way).toBe("hold");
    expect(served.follow).toBeLessThan(8 * 16);
  });

  test("makes room on its processor, again when it moves, and now and then for threads that were started since", () => {
    const { runs, state, processors } = machine();
    const placement = begun(["follow"], { ...machine(), runs, processors });
    expect(state.rooms).toBe(1);
    runs[7] = 3;
    stream(placement, 4, alike(20));
    expect(state.rooms).toBeGreaterThan(1);
    const before = state.rooms;
    stream(placement, 1000, alike(20));
    expect(state.rooms - before).toBeWithin(1000 / 64, 1000 / 32);
  });
});

describe("where the thread runs", () => {
  test("the thread follows its caller to another processor, and may run anywhere after a pause", () => {
    const { runs, done, processors } = machine();
    const placement = begun(["follow"], { ...machine(), runs, done, processors });
    stream(placement, 20, alike(20));
    expect(done).toEqual(["to 1"]);
    runs[7] = 3;
    stream(placement, 20, alike(20));
    expect(done).toEqual(["to 1", "to 3"]);
    placement.notePause();
    placement.notePause();
    expect(done).toEqual(["to 1", "to 3", "anywhere"]);
  });

  test("a few requests do not move the thread, nor do requests that are far apart", () => {
    const { done, processors } = machine();
    const placement = new Placement(["follow"], processors);
    for (let times = 0; times < 100; times++) placement.noteStretch(placement.length * 0.6, 7);
    expect(done).toEqual([]);
  });

  test("a caller is not followed if its processor is unknown or not permitted", () => {
    const { done, processors } = machine({ forbidden: [1] });
    const placement = new Placement(["follow", "defer"], processors);
    for (const thread of [0, 7, 8]) for (let times = 0; times < 30; times++) placement.noteStretch(0.3, thread);
    placement.close();
    expect(done).toEqual([]);
  });

  test("the thread is not moved while it spins or rests", () => {
    for (const way of ["spin", "rest"] as const) {
      const { done, processors } = machine();
      stream(new Placement([way], processors), 100, alike(1));
      expect(done).toEqual([]);
    }
  });

  test("everything that was done is undone at a pause, and when the way changes", () => {
    const { done, processors } = machine();
    const placement = new Placement(WAYS, processors);
    stream(placement, 5000, (way, stretch) => (way === WAYS[Math.floor(stretch / 500) % WAYS.length] ? 20 : 60));
    placement.notePause();
    const last = (...kinds: readonly string[]) => done.findLast((one) => kinds.some((kind) => one.startsWith(kind)));
    expect([last("to", "anywhere"), last("defer", "insist"), last("awake", "asleep")]).toEqual([
      "anywhere",
      "insist",
      "asleep",
    ]);
  });
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
    expect(processors.canMove).toBe(true);
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
  const processors = systemProcessors();
  expect(processors?.canMove).toBe(false);
  processors?.close();
});

test.skipIf(alone)(
  "a thread that is started in the meantime may run anywhere later (needs two processors)",
  async () => {
    const processors = systemProcessors();
    processors?.moveTo(0);
    const worker = new Worker(URL.createObjectURL(new Blob(["postMessage(0)"])));
    await new Promise((done) => worker.addEventListener("message", done));
    processors?.release();
    for (const thread of readdirSync("/proc/self/task"))
      expect(libc.readAllowedProcessors(Number(thread))).toEqual(before);
    worker.terminate();
    processors?.close();
  },
);

test.skipIf(alone)(
  "the threads in which the engine compiles leave the processor that this thread was moved to (needs two processors)",
  async () => {
    const processors = systemProcessors();
    const compilers = () =>
      readdirSync("/proc/self/task").filter((thread) =>
        readFileSync(`/proc/self/task/${thread}/comm`, "latin1").startsWith("JITWorker"),
      );
    // The engine starts such a thread when it has something to compile.
    for (let count = 0; compilers().length === 0; count++) {
      const compiled = new Function("n", `let sum = ${count}; for (let i = 0; i < n; i++) sum += i % 7; return sum`);
      for (let calls = 0; calls < 1000; calls++) compiled(1000);
    }
    let home = 0;
    while (processors?.moveTo(home) === false) home++;
    const mayRunThere = (thread: string) => {
      const mask = libc.readAllowedProcessors(Number(thread));
      return ((mask[home >> 3] ?? 0) & (1 << (home & 7))) !== 0;
    };
    // More of them may start in the meantime, and each gets its name only when it first runs.
    processors?.makeRoom(home);
    for (let times = 0; compilers().some(mayRunThere); times++) {
      expect(times).toBeLessThan(10);
      await Bun.sleep(10);
      processors?.makeRoom(home);
    }
    processors?.release();
    for (const thread of compilers()) expect(libc.readAllowedProcessors(Number(thread))).toEqual(before);
    processors?.close();
  },
);

test("a thread that defers can be told to insist again, and its own time is known", () => {
  const deference = libc.createDeference();
  const policy = () => readFileSync("/proc/thread-self/stat", "latin1").split(" ").at(40);
  expect(policy()).toBe("0");
  if (deference !== undefined) {
    expect(deference(true)).toBe(true);
    expect(policy()).toBe("5");
    expect(deference(false)).toBe(true);
  }
  expect(policy()).toBe("0");
  const [own, all] = [libc.threadTimeMs(), libc.processTimeMs(process.pid) ?? 0];
  expect(own).toBeGreaterThan(0);
  expect(all).toBeGreaterThanOrEqual(own);
  expect(libc.processTimeMs(2 ** 22 + 1)).toBeUndefined();
});

test("the processors that are online are counted", () => {
  for (const [list, count] of [
    ["0\n", 1],
    ["0-1\n", 2],
    ["0-3,8,10-11", 7],
  ] as const) {
    expect(countOnline(list)).toBe(count);
  }
});
