/** The clock of a mount and the timestamps of files that the kernel writes have one order. */
import { describe, expect, test } from "bun:test";
import { release } from "node:os";
import { Stamps } from "../../src/fs/clock.ts";
import * as libc from "../../src/libc.ts";
import { type Clock, fixedClock, type Time } from "../../src/tree/inode.ts";
import { Dice } from "../posix/random.ts";

const STAT: libc.FileStat = { size: 0, blocks: 0, atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };

const [major = 0, minor = 0] = release().split(".").map(Number);
/** Whether the kernel has exact timestamps. */
const EXACT = major > 6 || (major === 6 && minor >= 13);

function taken(clock: Clock): Time {
  return { ...clock() };
}

function written(fd: number): Time {
  libc.pwrite(fd, Buffer.from("x"), 1, 0);
  libc.fstat(fd, STAT);
  return { seconds: STAT.mtime, nanoseconds: STAT.mtimeNsec };
}

function earlier(a: Time, b: Time): boolean {
  return a.seconds < b.seconds || (a.seconds === b.seconds && a.nanoseconds < b.nanoseconds);
}

describe("the clock", () => {
  test("the clock never returns a time before an earlier timestamp, nor after a later one", () => {
    const stamps = new Stamps();
    const dice = new Dice(1);
    const files = Array.from({ length: 3 }, () => libc.memfd("test"));
    let last: Time = { seconds: 0, nanoseconds: 0 };
    for (let round = 0; round < 3000; round++) {
      stamps.advance();
      const time = dice.chance(0.5) ? taken(stamps.clock) : written(dice.pick(files));
      if (earlier(time, last)) throw new Error(`round ${round}: ${JSON.stringify([last, time])}`);
      last = time;
    }
    for (const fd of files) libc.close(fd);
  });

  test.skipIf(!EXACT)(`the clock returns a later time for each request${EXACT ? "" : " (needs Linux 6.13)"}`, () => {
    const stamps = new Stamps();
    let last: Time = { seconds: 0, nanoseconds: 0 };
    for (let round = 0; round < 3000; round++) {
      stamps.advance();
      const time = taken(stamps.clock);
      expect(earlier(last, time)).toBe(true);
      last = time;
    }
  });

  test.skipIf(!EXACT)(
    `a write by the kernel after the clock was read has a later time${EXACT ? "" : " (needs Linux 6.13)"}`,
    () => {
      const stamps = new Stamps();
      const files = Array.from({ length: 500 }, () => libc.memfd("test"));
      for (const fd of files) {
        stamps.advance();
        const time = taken(stamps.clock);
        expect(earlier(time, written(fd))).toBe(true);
      }
      for (const fd of files) libc.close(fd);
    },
  );

  test("the clock returns one time for everything that a request changes", () => {
    const stamps = new Stamps();
    const first = taken(stamps.clock);
    for (const until = performance.now() + 20; performance.now() < until; );
    expect(taken(stamps.clock)).toEqual(first);
    stamps.advance();
    expect(earlier(first, taken(stamps.clock))).toBe(true);
  });

  test("the clock has a fixed time for llmfs's own work if one is set", () => {
    const stamps = new Stamps();
    const fixed: Clock = fixedClock(315_532_800);
    expect(stamps.withClock(fixed, () => taken(stamps.clock))).toEqual({ seconds: 315_532_800, nanoseconds: 0 });
    expect(() =>
      stamps.withClock(fixed, () => {
        throw new Error("that failed");
      }),
    ).toThrow("that failed");
    expect(taken(stamps.clock).seconds).toBeGreaterThan(1_700_000_000);
  });

  test("the clock knows the current second without a timestamp", () => {
    const now = Math.floor(Date.now() / 1000);
    expect(new Stamps().clock.seconds?.()).toBeGreaterThanOrEqual(now);
  });
});
