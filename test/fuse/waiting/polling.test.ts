/** How long the filesystem thread polls for a request before it sleeps. */
import { afterEach, describe, expect, test } from "bun:test";
import { ERRNO } from "../../../src/errno.ts";
import { Placement, type PlacementMode } from "../../../src/fuse/waiting/placement.ts";
import { Polling } from "../../../src/fuse/waiting/polling.ts";
import * as libc from "../../../src/libc.ts";
import { UNMOVABLE } from "../../support/unmovable-processors.ts";

const open: number[] = [];

afterEach(() => {
  for (const fd of open.splice(0)) libc.close(fd);
});

/** Polling of a stream of requests, and a socket that stands for /dev/fuse. */
function polling(way: PlacementMode, savesPower = false) {
  const [ours, theirs] = libc.socketpair();
  open.push(ours, theirs);
  libc.setNonBlocking(ours);
  const placement = new Placement([way], UNMOVABLE, { savesPower });
  placement.noteStretch(0.1, 0);
  const poll = new Polling(placement);
  const buffer = new Uint8Array(8);
  const read = () => poll.poll(() => libc.read(ours, buffer, buffer.length));
  return { poll, read, send: () => libc.write(theirs, new Uint8Array(1), 1) };
}

describe("polling", () => {
  test("it begins with a stretch of requests, and only in a way that polls", () => {
    const { poll } = polling("spin");
    expect(poll.isDue).toBe(false);
    poll.noteStretch(0.3, 16);
    expect(poll.isDue).toBe(true);
    const { poll: resting } = polling("rest");
    resting.noteStretch(0.3, 16);
    expect(resting.isDue).toBe(false);
  });

  test("each time that no request comes halves the time, until it is over", () => {
    const { poll, read } = polling("spin");
    poll.noteStretch(0.3, 16);
    let misses = 0;
    for (; poll.isDue; misses++) {
      expect(read()).toBe(-ERRNO.EAGAIN);
      expect(misses).toBeLessThan(10);
    }
    expect(misses).toBeGreaterThan(3);
  });

  test("a request that comes brings back the whole time", () => {
    const { poll, read, send } = polling("spin");
    poll.noteStretch(0.3, 16);
    for (let miss = 0; miss < 3; miss++) read();
    send();
    expect(read()).toBe(1);
    let misses = 0;
    for (; poll.isDue; misses++) read();
    expect(misses).toBeGreaterThan(3);
  });

  test("after a sleep it begins again if the request came soon", () => {
    const { poll } = polling("spin");
    poll.noteSleep(5);
    expect(poll.isDue).toBe(false);
    poll.noteSleep(0.05);
    expect(poll.isDue).toBe(true);
  });

  test("to save power, one miss ends it, and a request after a sleep does not begin it", () => {
    const { poll, read } = polling("spin", true);
    poll.noteSleep(0.05);
    expect(poll.isDue).toBe(false);
    poll.noteStretch(0.3, 16);
    expect(poll.isDue).toBe(true);
    read();
    expect(poll.isDue).toBe(false);
  });
});
