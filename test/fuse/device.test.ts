/** The loop over a descriptor: when it reads, sleeps, continues and ends. A socket replaces /dev/fuse if possible. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ERRNO, FsError } from "../../src/errno.ts";
import { Device, type Mailbox, serve } from "../../src/fuse/device.ts";
import type { Filesystem } from "../../src/fuse/ops.ts";
import { Session } from "../../src/fuse/session.ts";
import { Placement, type PlacementMode, STRETCH } from "../../src/fuse/waiting/placement.ts";
import * as libc from "../../src/libc.ts";
import { UNMOVABLE } from "../support/unmovable-processors.ts";
import { EXCHANGES, INIT } from "./messages.ts";

const open: number[] = [];

afterEach(() => {
  for (const fd of open.splice(0)) libc.close(fd);
});

const STATFS = EXCHANGES.statfs?.request ?? Buffer.alloc(0);

/** A session at one end of a socket; the other end acts as the kernel. */
function connection(filesystem: Filesystem = {}) {
  const [ours, theirs] = libc.socketpair();
  open.push(ours, theirs);
  const wake = libc.eventfd();
  open.push(wake);
  const device = new Device(ours);
  const log: string[] = [];
  const session = new Session(filesystem, device, {
    flags: 0,
    flags2: 0,
    maxWrite: 65536,
    onInterrupt: () => false,
    log: (level, text) => log.push(`${level}: ${text}`),
  });
  const mail: string[] = [];
  const mailbox: Mailbox = {
    fd: wake,
    drain() {
      libc.read(wake, new Uint8Array(8), 8);
      mail.push("drained");
    },
    work: () => false,
    hasWaiting: () => false,
    expectsMail: () => false,
    timers: { due: undefined, run: () => false },
    onPause: () => mail.push("paused"),
    onIdle: (requests) => mail.push(`idle after ${requests}`),
  };
  return {
    session,
    mail,
    mailbox,
    log,
    request: (message: Buffer) => libc.write(theirs, message, message.length),
    /** Whether a read of the device would wait. */
    isBlocking: () => !/^flags:\t\d*[4-7]\d{3}$/m.test(readFileSync(`/proc/self/fdinfo/${ours}`, "latin1")),
    /** All replies so far. */
    replies() {
      const buffer = Buffer.alloc(65536);
      libc.setNonBlocking(theirs);
      const length = libc.read(theirs, buffer, buffer.length);
      return buffer.subarray(0, Math.max(0, length));
    },
    wake: () => libc.write(wake, new Uint8Array(new BigUint64Array([1n]).buffer), 8),
    serve: (stopped: () => boolean, way: PlacementMode = "spin", box: Mailbox = mailbox, processors = UNMOVABLE) =>
      serve(device, session, box, stopped, {
        maxWrite: 65536,
        placement: new Placement([way], processors),
      }),
  };
}

describe("the loop", () => {
  for (const way of ["spin", "follow", "rest"] as const) {
    test(`the loop answers what it reads (${way})`, () => {
      const { request, serve, replies } = connection();
      let turns = 0;
      request(STATFS);
      serve(() => turns++ > 0, way);
      expect(replies().readInt32LE(4)).toBe(-ERRNO.ENOSYS);
    });

    test(`the loop sleeps until another thread sends it a message, handles it, and continues (${way})`, async () => {
      const { serve, mail, wake } = connection();
      wake();
      serve(() => mail.length > 0, way);
      expect(mail).toEqual(["drained"]);
    });

    test(`the loop serves a request that arrives while it sleeps (${way})`, () => {
      const { serve, request, session, wake, mailbox } = connection();
      let rounds = 0;
      const box: Mailbox = {
        ...mailbox,
        drain() {
          mailbox.drain();
          // Three times: depending on how soon it was woken, the loop polls for a while or sleeps.
          if (++rounds <= 3) {
            request(STATFS);
            wake();
          }
        },
      };
      wake();
      serve(() => rounds > 3 && session.counts[17] === 3, way, box);
      expect(session.counts[17]).toBe(3);
    });
  }

  test("the loop answers all pending requests before it sleeps again", () => {
    const seen: number[] = [];
    const { request, serve, mail, wake } = connection({
      statfs(_request, { nodeid }) {
        seen.push(nodeid);
        if (seen.length < 5) request(STATFS);
        throw new FsError("EIO");
      },
    });
    wake();
    request(STATFS);
    serve(() => mail.length > 0);
    expect(seen).toHaveLength(5);
    expect(mail).toEqual(["drained"]);
  });

  test("the loop works in the background only while there are no requests, and does not sleep while there is work", () => {
    const { request, serve, mailbox } = connection();
    const order: string[] = [];
    let left = 3;
    const box: Mailbox = {
      ...mailbox,
      work() {
        order.push("work");
        return left-- > 0;
      },
    };
    request(STATFS);
    // With nothing to wake it, a loop that slept would never end.
    serve(
      () => {
        order.push("turn");
        return left === 0;
      },
      "rest",
      box,
    );
    expect(order).toEqual(["turn", "turn", "work", "turn", "work", "turn", "work", "turn"]);
  });

  for (const way of ["follow", "rest"] as const) {
    test(`the loop, which sleeps in read(2) during a stream, still handles messages and notices the pause (${way})`, () => {
      let seen = 0;
      const polls: number[] = [];
      const blocking: boolean[] = [];
      const { request, serve, mail, wake, mailbox, isBlocking } = connection({
        statfs() {
          blocking[++seen] = isBlocking();
          if (seen < 200) request(STATFS);
          else wake();
          throw new FsError("EIO");
        },
      });
      const box: Mailbox = {
        ...mailbox,
        work() {
          polls.push(seen);
          return false;
        },
      };
      request(STATFS);
      serve(() => mail.includes("paused"), way, box);
      expect(mail.length).toBeGreaterThanOrEqual(5);
      expect(mail.indexOf("paused")).toBe(mail.length - 1);
      // After four stretches of 16 requests at most, and when the stream has ended.
      const gaps = [...polls, seen].map((poll, index) => poll - (polls[index - 1] ?? 0));
      expect(Math.max(...gaps)).toBeLessThanOrEqual(4 * STRETCH);
      expect(polls.at(-1)).toBe(200);
      // It begins after 8 requests, or later if the machine is slow.
      const [first = 0] = polls;
      expect([blocking[first], blocking[first + 1], blocking[200], isBlocking()]).toEqual([false, true, true, false]);
    });
  }

  test("the loop sleeps until the next timer is due, and runs it, without counting that as a pause", () => {
    const { serve, mailbox, mail } = connection();
    const end = performance.now() + 300;
    let ran = 0;
    const timers = {
      get due() {
        return Math.max(0, end - performance.now());
      },
      run() {
        if (performance.now() < end) return false;
        ran += 1;
        return true;
      },
    };
    serve(() => ran > 0, "rest", { ...mailbox, timers });
    expect(performance.now()).toBeGreaterThanOrEqual(end);
    expect(mail).toEqual([]);
  });

  test("the loop runs timers even if a request always arrives at once", () => {
    let served = 0;
    let ranAt = 0;
    const { request, serve, mailbox } = connection({
      statfs() {
        served++;
        request(STATFS);
        throw new FsError("EIO");
      },
    });
    const timers = {
      due: 0,
      run() {
        ranAt = served;
        return true;
      },
    };
    request(STATFS);
    serve(() => ranAt > 0 || served > 10_000, "spin", { ...mailbox, timers });
    expect(ranAt).toBeGreaterThan(0);
    expect(ranAt).toBeLessThan(1000);
  });

  test("the loop handles messages of another thread even if requests never stop", () => {
    let served = 0;
    let drainedAt = 0;
    const { request, serve, mailbox, wake } = connection({
      statfs() {
        served++;
        request(STATFS);
        throw new FsError("EIO");
      },
    });
    const box: Mailbox = {
      ...mailbox,
      drain() {
        mailbox.drain();
        drainedAt = served;
      },
    };
    wake();
    request(STATFS);
    serve(() => drainedAt > 0 || served > 10_000, "spin", box);
    expect(drainedAt).toBeGreaterThan(0);
    expect(drainedAt).toBeLessThan(1000);
  });

  test("the loop keeps processors awake from the start of a stream until the first pause", () => {
    let left = 150;
    let seen = 0;
    const { request, serve, mailbox } = connection({
      statfs() {
        seen++;
        if (--left > 0) request(STATFS);
        throw new FsError("EIO");
      },
    });
    const told: string[] = [];
    const hold = (on: boolean) => told.push(`${on} after ${seen}`);
    request(STATFS);
    serve(() => told.length === 2, "hold", mailbox, { ...UNMOVABLE, hold });
    expect(told).toEqual(["true after 8", "false after 150"]);
  });

  test("the loop reports that it is idle after a while, and again after a longer while", () => {
    const { request, serve, mail } = connection();
    request(STATFS);
    const start = performance.now();
    serve(() => mail.length >= 2);
    expect(mail).toEqual(["paused", "idle after 1"]);
    expect(performance.now() - start).toBeGreaterThan(500);
  });

  test("the loop takes a request before the next slice of background work", () => {
    const order: string[] = [];
    const { request, serve, mailbox } = connection({
      statfs() {
        order.push("request");
        throw new FsError("EIO");
      },
    });
    const box: Mailbox = {
      ...mailbox,
      work(paused) {
        if (!paused) return false;
        order.push("work");
        if (order.length === 3) request(STATFS);
        return order.length < 8;
      },
    };
    request(STATFS);
    serve(() => order.length >= 5, "rest", box);
    expect(order).toEqual(["request", "work", "work", "request", "work"]);
  });

  test("the loop logs a malformed message and serves the next one", () => {
    const { request, serve, log, session } = connection();
    const bad = Buffer.from(STATFS);
    bad.writeUInt32LE(99, 0);
    request(bad);
    let turns = 0;
    serve(() => {
      if (turns === 1) request(STATFS);
      return turns++ === 2;
    });
    expect(log).toHaveLength(1);
    expect(session.counts[17]).toBe(1);
  });

  test("the loop throws an error other than 'again' and 'gone', with the name of the device", () => {
    const { session, mailbox } = connection();
    // A directory can be opened but not read: EISDIR.
    const fd = libc.open("/", libc.O_RDONLY);
    open.push(fd);
    const options = { maxWrite: 65536 };
    expect(() => serve(new Device(fd), session, mailbox, () => false, options)).toThrow(/read \/dev\/fuse: /);
  });
});

describe("sending", () => {
  test("a send returns 0 or the negative errno", () => {
    const [ours, theirs] = libc.socketpair();
    open.push(ours);
    const device = new Device(ours);
    expect(device.send(Buffer.from("hello"), 5)).toBe(0);
    libc.close(theirs);
    const readOnly = libc.open("/dev/null", libc.O_RDONLY);
    open.push(readOnly);
    expect(new Device(readOnly).send(Buffer.from("hello"), 5)).toBe(-ERRNO.EBADF);
  });
});

const mayMount = (() => {
  try {
    const fd = libc.open("/dev/fuse", libc.O_RDWR);
    libc.close(fd);
    return libc.geteuid() === 0;
  } catch {
    return false;
  }
})();

describe.skipIf(!mayMount)("over the real /dev/fuse (needs root and /dev/fuse)", () => {
  /** Mounts and unmounts at once: the kernel's messages can still be read, and then the device is gone. */
  function mounted(): number {
    const directory = mkdtempSync(join(tmpdir(), "llmfs-device-"));
    const fd = libc.open("/dev/fuse", libc.O_RDWR | libc.O_CLOEXEC);
    open.push(fd);
    libc.mount("llmfs", directory, "fuse.llmfs", 0, `fd=${fd},rootmode=40000,user_id=0,group_id=0`);
    try {
      return fd;
    } finally {
      libc.umount(directory, libc.MNT_DETACH);
      rmdirSync(directory);
    }
  }

  test("the loop ends when the mount is gone", () => {
    const { session, mailbox } = connection();
    let turns = 0;
    serve(new Device(mounted()), session, mailbox, () => turns++ > 1000, { maxWrite: 65536 });
    expect(turns).toBeLessThan(1000);
  });

  test("a reply without a request is rejected with ENOENT, or the errno of a device that is gone", () => {
    const device = new Device(mounted());
    const reply = Buffer.from(INIT.reply);
    expect([-ERRNO.ENOENT, -ERRNO.EPERM, -ERRNO.ENODEV]).toContain(device.send(reply, reply.length));
  });

  test("a device that was never mounted is an error, not the end of the loop", () => {
    const { session, mailbox } = connection();
    const fd = libc.open("/dev/fuse", libc.O_RDWR);
    open.push(fd);
    const options = { maxWrite: 65536 };
    expect(() => serve(new Device(fd), session, mailbox, () => false, options)).toThrow(/read \/dev\/fuse/);
  });
});
