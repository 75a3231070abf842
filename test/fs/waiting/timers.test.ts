import { expect, test } from "bun:test";
import { Timers } from "../../../src/fs/waiting/timers.ts";

/** Timers with a clock that the test sets. */
function byHand() {
  const clock = { now: 1000 };
  const ran: string[] = [];
  const timers = new Timers(() => clock.now);
  return { clock, ran, timers, after: (ms: number, name: string) => timers.schedule(ms, () => void ran.push(name)) };
}

test("timers run once, when they are due, ordered by time and then by age", () => {
  const { clock, ran, timers, after } = byHand();
  for (const [ms, name] of [
    [20, "late"],
    [10, "first"],
    [10, "second"],
    [0, "now"],
  ] as const)
    after(ms, name);
  expect([timers.run(), ran, timers.due]).toEqual([true, ["now"], 10]);
  clock.now += 9;
  expect([timers.run(), timers.due]).toEqual([false, 1]);
  clock.now += 100;
  expect([timers.due, timers.run(), ran, timers.due]).toEqual([0, true, ["now", "first", "second", "late"], undefined]);
});

test("a cancelled timer does not run, and may be cancelled again", () => {
  const { clock, ran, timers, after } = byHand();
  const [one, two] = [after(5, "one"), after(5, "two")];
  one.cancel();
  one.cancel();
  clock.now += 5;
  timers.run();
  two.cancel();
  expect([ran, timers.due]).toEqual([["two"], undefined]);
});

test("a timer may set the next one, which does not run in the same pass, however short it is", () => {
  const { clock, ran, timers } = byHand();
  const again = () => {
    ran.push("again");
    timers.schedule(1, again);
  };
  timers.schedule(1, again);
  clock.now += 1;
  timers.run();
  expect([ran, timers.due]).toEqual([["again"], 1]);
});

test("one pass takes a few milliseconds; the rest stays due", () => {
  const { clock, timers } = byHand();
  let ran = 0;
  for (let at = 0; at < 100; at++) {
    timers.schedule(1, () => {
      ran += 1;
      clock.now += 1;
    });
  }
  clock.now += 1;
  timers.run();
  expect(ran).toBeLessThan(10);
  expect(timers.due).toBe(0);
  while (timers.run());
  expect(ran).toBe(100);
});
