/** Blocking reads in a stream, and the timer that interrupts them. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ERRNO } from "../../../src/errno.ts";
import { Patience } from "../../../src/fuse/waiting/patience.ts";
import * as libc from "../../../src/libc.ts";

const open: number[] = [];

afterEach(() => {
  for (const fd of open.splice(0)) libc.close(fd);
});

function pair() {
  const [ours, theirs] = libc.socketpair();
  open.push(ours, theirs);
  libc.setNonBlocking(ours);
  const buffer = new Uint8Array(8);
  const read = () => libc.read(ours, buffer, buffer.length);
  return { ours, theirs, read };
}

/** The timers of this process (proc_pid_timers(5)). */
function timers(): number {
  return readFileSync("/proc/self/timers", "utf8").match(/^ID:/gm)?.length ?? 0;
}

describe("patience", () => {
  test("a read waits until the timer interrupts it, and no longer than that when patience has ended", () => {
    const { ours, read } = pair();
    const patience = new Patience(ours);
    expect(read()).toBe(-ERRNO.EAGAIN);
    patience.begin(64);
    expect(patience.on).toBe(true);
    const start = performance.now();
    expect(read()).toBe(-ERRNO.EINTR);
    expect(performance.now() - start).toBeGreaterThan(1);
    patience.end();
    expect([read(), patience.on]).toEqual([-ERRNO.EAGAIN, false]);
    patience.close();
  });

  test("patience ends at the first tick without a request since the one before", () => {
    const { ours, read } = pair();
    const patience = new Patience(ours);
    patience.begin(64);
    expect(read()).toBe(-ERRNO.EINTR);
    patience.noteTick(65);
    expect(patience.on).toBe(true);
    expect(read()).toBe(-ERRNO.EINTR);
    patience.noteTick(65);
    expect([patience.on, read()]).toEqual([false, -ERRNO.EAGAIN]);
    patience.close();
  });

  test("nothing of patience is left when it is closed", () => {
    const { ours, read } = pair();
    const before = timers();
    const patience = new Patience(ours);
    patience.begin(0);
    expect(timers()).toBe(before + 1);
    patience.close();
    expect([timers(), read()]).toEqual([before, -ERRNO.EAGAIN]);
    patience.begin(0);
    expect(patience.on).toBe(false);
    patience.close();
  });
});
