import { expect, test } from "bun:test";
import { Deadlines } from "../../../src/fs/waiting/deadlines.ts";
import { Timers } from "../../../src/fs/waiting/timers.ts";

test("a request is ended when its time is over, unless it was answered", () => {
  const clock = { now: 0 };
  const timers = new Timers(() => clock.now);
  const waiting = new Map<number, number>();
  const ended: number[] = [];
  const deadlines = new Deadlines({
    timers,
    withinMs: 100,
    oldest: () => [...waiting].map(([unique, since]) => ({ unique, since }))[0],
    end(unique) {
      ended.push(unique);
      waiting.delete(unique);
    },
  });
  const advance = (ms: number) => {
    clock.now += ms;
    while (timers.run());
  };
  const park = (...uniques: number[]) => {
    for (const unique of uniques) {
      waiting.set(unique, clock.now);
      deadlines.check();
    }
  };
  park(1, 2);
  advance(60);
  park(3);
  waiting.delete(2);
  advance(39);
  expect(ended).toEqual([]);
  advance(1);
  expect(ended).toEqual([1]);
  advance(59);
  expect(ended).toEqual([1]);
  advance(1);
  expect(ended).toEqual([1, 3]);
  expect(timers.due).toBeUndefined();
  // After all have ended, it starts over.
  park(4);
  advance(100);
  expect(ended).toEqual([1, 3, 4]);
});
