/** How ways to wait for requests are compared, with given times. */
import { describe, expect, test } from "bun:test";
import { type Outcome, Trial } from "../../../src/fuse/waiting/trial.ts";

type Way = "present" | "first" | "second";

/** Runs a trial with these times in ms, and returns its outcome and how many stretches each way had. */
function run(
  others: readonly Way[],
  timeOf: (way: Way, stretch: number) => number,
  { usualMs = 1, costOf }: { usualMs?: number; costOf?: (way: Way) => number } = {},
) {
  const trial = new Trial<Way>(others, "present", usualMs, costOf !== undefined);
  const stretches: Record<Way, number> = { present: 0, first: 0, second: 0 };
  let outcomes: ReadonlyMap<Way, Outcome> | undefined;
  for (let stretch = 0; outcomes === undefined; stretch++) {
    const { way } = trial;
    stretches[way]++;
    outcomes = trial.note({ ms: timeOf(way, stretch), cost: costOf?.(way) ?? Number.NaN });
    expect(stretch).toBeLessThan(100);
  }
  const of = (way: Way) => outcomes?.get(way) ?? { time: Number.NaN, cost: Number.NaN, ms: Number.NaN };
  return { stretches, of };
}

describe("a trial of ways to wait", () => {
  test("the outcome of each other way is relative to the present one", () => {
    const times = { present: 1, first: 0.9, second: 1.05 };
    const { of } = run(["first", "second"], (way) => times[way]);
    expect(of("first").time).toBeCloseTo(0.9, 5);
    expect(of("second").time).toBeCloseTo(1.05, 5);
    expect(of("second").ms).toBeCloseTo(1.05, 5);
  });

  test("the order does not matter if requests become faster all the time", () => {
    const times = { present: 1, first: 0.8, second: 1 };
    const { of } = run(["first", "second"], (way, stretch) => times[way] * Math.exp(-stretch / 20), { usualMs: 2 });
    expect(of("first").time).toBeWithin(0.7, 0.9);
    expect(of("second").time).toBeWithin(0.87, 1.15);
  });

  test("a way that takes twice as long costs one or two stretches, and the others continue", () => {
    const { stretches, of } = run(["first", "second"], (way) => ({ present: 1, first: 5, second: 0.9 })[way]);
    expect(stretches.first).toBe(2);
    expect(stretches.second).toBeGreaterThan(8);
    expect(of("first").time).toBeCloseTo(5, 5);
  });

  test("the present way drops out after one turn if another one takes less than a third", () => {
    const { stretches, of } = run(["first", "second"], (way) => ({ present: 1, first: 0.2, second: 0.8 })[way]);
    expect(stretches.present).toBe(4);
    expect(of("first").time).toBeCloseTo(0.2, 5);
    expect(of("second").time).toBeCloseTo(0.8, 5);
  });

  test("a single slow stretch decides nothing", () => {
    const { of } = run(["first"], (_, stretch) => (stretch === 2 ? 1.9 : 1));
    expect(of("first").time).toBeWithin(0.95, 1.1);
    const { of: ofLater } = run(["first"], (_, stretch) => (stretch === 10 ? 50 : 1));
    expect(ofLater("first").time).toBeWithin(0.85, 1.15);
  });

  test("if costs matter, a slower way stays in the trial until twice the time, and its cost is known", () => {
    const timeOf = (way: Way) => ({ present: 1, first: 1.8, second: 1 })[way];
    const costOf = (way: Way) => ({ present: 1, first: 0.4, second: 1 })[way];
    const { stretches, of } = run(["first"], timeOf, { costOf });
    expect(stretches.first).toBeGreaterThan(8);
    expect(of("first").cost).toBeCloseTo(0.4, 5);
    expect(run(["first"], timeOf).stretches.first).toBeLessThan(stretches.first);
  });

  test("a cost that is not known is not a number", () => {
    expect(run(["first"], () => 1, { costOf: () => Number.NaN }).of("first").cost).toBeNaN();
  });
});
