import { describe, expect, test } from "bun:test";
import { ERRNO, type ErrnoName, FsError } from "../../src/errno.ts";
import * as abi from "../../src/fuse/abi.ts";
import { type Filesystem, OPS, type OpName, PARKED } from "../../src/fuse/ops.ts";
import type { Granted } from "../../src/fuse/session.ts";
import { FUSE_INT_REQ_BIT, Kernel } from "../support/kernel.ts";
import { EXCHANGES, INIT } from "./messages.ts";

const OPEN = { fh: 1, open_flags: 0, backing_id: 0 };

describe("the handshake", () => {
  const flags = abi.FUSE_ASYNC_READ | abi.FUSE_MAX_PAGES | abi.FUSE_EXPLICIT_INVAL_DATA;

  test("the handshake grants what both sides know", () => {
    const kernel = new Kernel({}, { flags, flags2: abi.FUSE_PASSTHROUGH });
    const reply = kernel.init({ flags: abi.FUSE_ASYNC_READ | abi.FUSE_WRITEBACK_CACHE | abi.FUSE_INIT_EXT });
    expect(reply.flags).toBe(abi.FUSE_ASYNC_READ | abi.FUSE_INIT_EXT);
    expect(reply.flags2).toBe(abi.FUSE_PASSTHROUGH);
    expect(reply.max_stack_depth).toBe(1);
  });

  test.each([31, 36, 38, 45])("the handshake answers a kernel of 7.%d in its version", (minor) => {
    const kernel = new Kernel({}, { flags, flags2: abi.FUSE_PASSTHROUGH });
    const reply = kernel.init({ minor, ...(minor < 36 ? { flags: 0x03fffffb } : {}) });
    expect([reply.major, reply.minor]).toEqual([7, minor]);
    expect(kernel.session.granted?.minor).toBe(minor);
  });

  test("the handshake asks for a time that requests may wait, if there is one to ask for and the kernel knows it", () => {
    const ask = (requestTimeout: number, flags2?: number) => {
      const reply = new Kernel({}, { flags, requestTimeout }).init(flags2 === undefined ? {} : { flags2 });
      return [reply.flags2, reply.request_timeout];
    };
    expect(ask(0)).toEqual([0, 0]);
    expect(ask(65535)).toEqual([abi.FUSE_REQUEST_TIMEOUT, 65535]);
    expect(ask(65535, abi.FUSE_PASSTHROUGH)).toEqual([0, 0]);
  });

  test("the handshake answers a newer kernel in our version", () => {
    const kernel = new Kernel({}, { flags });
    expect(kernel.init({ minor: 99 }).minor).toBe(abi.FUSE_KERNEL_MINOR_VERSION);
  });

  test("the handshake grants no second-word flags to a kernel without them", () => {
    const kernel = new Kernel({}, { flags, flags2: abi.FUSE_PASSTHROUGH });
    const reply = kernel.init({ minor: 31, flags: 0x03fffffb });
    expect([reply.flags2, reply.max_stack_depth]).toEqual([0, 0]);
    expect(reply.flags & abi.FUSE_INIT_EXT).toBe(0);
  });

  test("the handshake grants no second-word flags to a kernel that does not set FUSE_INIT_EXT", () => {
    const kernel = new Kernel({}, { flags, flags2: abi.FUSE_PASSTHROUGH });
    expect(kernel.init({ flags: ~abi.FUSE_INIT_EXT }).flags2).toBe(0);
  });

  test("the handshake rejects a kernel before 7.31, and logs the required version", () => {
    const kernel = new Kernel({});
    expect(() => kernel.init({ minor: 30 })).toThrow(new FsError("EPROTO"));
    expect(kernel.log).toEqual([expect.stringContaining("7.30; Linux 5.4 (7.31) or newer is needed")]);
    expect(kernel.session.granted).toBeUndefined();
  });

  test("the handshake rejects a kernel of a lower major version", () => {
    expect(() => new Kernel({}).init({ major: 6, minor: 40 })).toThrow(new FsError("EPROTO"));
  });

  test("the handshake tells a kernel of a higher major version ours, and accepts its second INIT", () => {
    const granted: Granted[] = [];
    const kernel = new Kernel({}, { flags, onReady: (all) => granted.push(all) });
    const first = kernel.init({ major: 8, minor: 2 });
    expect([first.major, first.minor, first.flags]).toEqual([7, abi.FUSE_KERNEL_MINOR_VERSION, 0]);
    expect(granted).toEqual([]);
    kernel.init({});
    expect(granted).toHaveLength(1);
    expect(kernel.log).toEqual([]);
  });

  test("the handshake offers requests as large as max_write", () => {
    const reply = new Kernel({}, { flags, maxWrite: 1 << 20 }).init({});
    expect([reply.max_write, reply.max_pages]).toEqual([1 << 20, 256]);
  });

  test("the handshake lets the kernel read ahead as far as it offers", () => {
    expect(new Kernel({}).init({}).max_readahead).toBe(128 * 1024);
  });
});

describe("an operation without a handler", () => {
  for (const op of Object.keys(OPS) as OpName[]) {
    const { reply } = OPS[op];
    if (op === "init" || op === "interrupt" || op === "destroy") continue;
    test(`an operation without a handler ${op} is ${reply === "silence" ? "ignored" : "ENOSYS"}`, () => {
      const kernel = new Kernel({});
      expect(kernel.errno(op, 1)).toBe(reply === "silence" ? "ok" : "ENOSYS");
      expect(kernel.log).toEqual([]);
    });
  }

  test("an operation that is in no table is ENOSYS", () => {
    const kernel = new Kernel({});
    const replies = capture(kernel);
    for (const opcode of [0, 7, 19, 63, 64, 4096, 0xffffffff]) {
      const message = Buffer.from((EXCHANGES.statfs ?? { request: INIT.request }).request);
      message.writeUInt32LE(opcode, 4);
      kernel.raw(message);
    }
    expect(replies.map((reply) => reply.readInt32LE(4))).toEqual(Array(7).fill(-ERRNO.ENOSYS));
  });

  test("DESTROY without a handler is answered, and is remembered", () => {
    const kernel = new Kernel({});
    kernel.call("destroy", 0);
    expect(kernel.session.destroyed).toBe(true);
  });
});

/** Collects everything that is sent from now on. */
function capture(kernel: Kernel): Buffer[] {
  const replies: Buffer[] = [];
  kernel.send = (message, length) => {
    replies.push(Buffer.from(message.subarray(0, length)));
    return 0;
  };
  return replies;
}

describe("errors", () => {
  for (const code of Object.keys(ERRNO) as ErrnoName[]) {
    test(`FsError ${code} reaches the caller as ${ERRNO[code]}`, () => {
      const kernel = new Kernel({
        rmdir() {
          throw new FsError(code);
        },
      });
      expect(kernel.errno("rmdir", 1, { name: "x" })).toBe(code);
      expect(kernel.log).toEqual([]);
    });
  }

  test("errors of any other kind become EIO, with their stack in the log", () => {
    const kernel = new Kernel({
      rmdir() {
        throw new TypeError("our own bug");
      },
    });
    expect(kernel.errno("rmdir", 1, { name: "x" })).toBe("EIO");
    expect(kernel.log).toEqual([expect.stringMatching(/^error: rmdir: TypeError: our own bug\n\s+at /)]);
  });

  test("a handler can return an FsError instead of throwing it", () => {
    const kernel = new Kernel({ getxattr: () => new FsError("ENODATA"), unlink: () => new FsError("EBUSY") });
    expect(kernel.errno("getxattr", 1, { name: "user.a", size: 10 })).toBe("ENODATA");
    expect(kernel.errno("unlink", 1, { name: "a" })).toBe("EBUSY");
  });

  test("thrown values that are not Error objects become EIO too", () => {
    const kernel = new Kernel({
      rmdir() {
        throw "a string";
      },
    });
    expect(kernel.errno("rmdir", 1, { name: "x" })).toBe("EIO");
    expect(kernel.log).toEqual(["error: rmdir: a string"]);
  });

  test("an error in an operation without a reply is logged and not sent", () => {
    const kernel = new Kernel({
      forget() {
        throw new Error("our own bug");
      },
    });
    const replies = capture(kernel);
    kernel.call("forget", 1, { nlookup: 1 });
    expect(replies).toEqual([]);
    expect(kernel.log).toHaveLength(1);
  });

  test("an error does not affect the next request", () => {
    let calls = 0;
    const kernel = new Kernel({
      rmdir() {
        if (calls++ === 0) throw new Error("once");
      },
    });
    expect(kernel.errno("rmdir", 1, { name: "x" })).toBe("EIO");
    expect(kernel.errno("rmdir", 1, { name: "x" })).toBe("ok");
  });
});

describe("work after a reply", () => {
  const order: string[] = [];
  const kernel: Kernel = new Kernel({
    rmdir({ name }) {
      kernel.session.runAfterwards(() => {
        order.push(`work for ${name}`);
        if (String(name) === "bad") throw new Error("it went wrong");
      });
      if (String(name) !== "good") throw new FsError("ENOTEMPTY");
    },
  });
  const { send } = kernel;
  kernel.send = (message, length) => {
    order.push("reply");
    return send.call(kernel, message, length);
  };

  test("work after a reply is done once the reply is sent", () => {
    order.length = 0;
    expect(kernel.errno("rmdir", 1, { name: "good" })).toBe("ok");
    expect(order).toEqual(["reply", "work for good"]);
  });

  test("work after a reply is done after an error too, and not again after the next request", () => {
    order.length = 0;
    expect(kernel.errno("rmdir", 1, { name: "full" })).toBe("ENOTEMPTY");
    expect(order).toEqual(["reply", "work for full"]);
  });

  test("work after a reply is logged when it fails, and done once", () => {
    order.length = 0;
    kernel.errno("rmdir", 1, { name: "bad" });
    kernel.errno("statfs", 1);
    expect(order).toEqual(["reply", "work for bad", "reply"]);
    expect(kernel.log).toEqual([expect.stringMatching(/^error: .*it went wrong/)]);
  });
});

/** A session whose opens are parked, and whose interrupts end them as fs/lazy/pending.ts does. */
function parking(): Kernel {
  const waiting = new Set<number>();
  const kernel: Kernel = new Kernel(
    {
      open(_request, header) {
        waiting.add(header.unique);
        return PARKED;
      },
    },
    {
      onInterrupt(unique) {
        if (!waiting.delete(unique)) return false;
        kernel.session.fail(unique, new FsError("EINTR"));
        return true;
      },
    },
  );
  return kernel;
}

describe("parked requests", () => {
  test("a parked request is answered when its answer comes, and not before", () => {
    const kernel = parking();
    const unique = kernel.start("open", 5);
    expect(kernel.outcome(unique)).toBeUndefined();
    expect(kernel.session.answer(unique, "open", OPEN)).toBe(true);
    expect(kernel.outcome(unique)).toEqual({ value: OPEN });
    expect(kernel.session.parked).toBe(0);
  });

  test("parked requests may be answered in any order", () => {
    const kernel = parking();
    const [first, second] = [kernel.start("open", 5), kernel.start("open", 6)];
    expect(kernel.errno("rmdir", 1, { name: "x" })).toBe("ENOSYS");
    kernel.session.answer(second, "open", { ...OPEN, fh: 2 });
    expect(kernel.outcome(first)).toBeUndefined();
    kernel.session.answer(first, "open", OPEN);
    expect([first, second].map((unique) => kernel.outcome(unique))).toEqual([
      { value: OPEN },
      { value: { ...OPEN, fh: 2 } },
    ]);
  });

  test("a parked request can fail", () => {
    const kernel = parking();
    const unique = kernel.start("open", 5);
    kernel.session.fail(unique, new FsError("ETIMEDOUT"));
    expect(kernel.outcome(unique)).toEqual({ error: "ETIMEDOUT" });
    expect(kernel.session.parked).toBe(0);
  });

  test("a parked request is answered once: later answers are not sent", () => {
    const kernel = parking();
    const unique = kernel.start("open", 5);
    kernel.session.answer(unique, "open", OPEN);
    const replies = capture(kernel);
    expect(kernel.session.answer(unique, "open", OPEN)).toBe(false);
    kernel.session.fail(unique, new FsError("EIO"));
    expect(replies).toEqual([]);
  });

  test("a parked request is not answered with another operation's reply", () => {
    const kernel = parking();
    const unique = kernel.start("open", 5);
    expect(kernel.session.answer(unique, "write", { size: 1 })).toBe(false);
    expect(kernel.outcome(unique)).toBeUndefined();
    expect(kernel.session.parked).toBe(1);
  });

  test("the answer to a parked request of a caller that is gone fails without a warning", () => {
    const kernel = parking();
    const unique = kernel.start("open", 5);
    kernel.abandon(unique);
    expect(kernel.session.answer(unique, "open", OPEN)).toBe(false);
    expect(kernel.log).toEqual([]);
  });

  test("a reply that the kernel rejects for another reason causes a warning", () => {
    const kernel = parking();
    const unique = kernel.start("open", 5);
    kernel.send = () => -ERRNO.EINVAL;
    kernel.session.answer(unique, "open", OPEN);
    expect(kernel.log).toEqual([expect.stringMatching(/^warn: .*errno 22/)]);
  });
});

describe("interrupts", () => {
  test("an interrupt that comes before its request is sent again, and finds it then", () => {
    const kernel = parking();
    const replies: number[] = [];
    kernel.send = (message) => {
      replies.push(message.readInt32LE(4));
      return 0;
    };
    // The request with unique 2 is still on its way.
    kernel.interrupt(2);
    expect(replies).toEqual([-ERRNO.EAGAIN]);
    expect(kernel.start("open", 5)).toBe(2);
    kernel.interrupt(2);
    expect(replies).toEqual([-ERRNO.EAGAIN, -ERRNO.EINTR]);
  });

  test("an interrupt during a wait ends it with EINTR", () => {
    const kernel = parking();
    const unique = kernel.start("open", 5);
    expect(kernel.interrupt(unique)).toBe(false);
    expect(kernel.outcome(unique)).toEqual({ error: "EINTR" });
    expect(kernel.session.parked).toBe(0);
  });

  test("an interrupt comes with the thread whose request it is for", () => {
    const told: unknown[] = [];
    const kernel = new Kernel(
      { open: () => PARKED },
      {
        onInterrupt(unique, thread) {
          told.push([unique, thread]);
          return true;
        },
      },
    );
    const [first, second] = [4001, 4002].map((pid) => kernel.start("open", 5, {}, { pid }));
    expect([kernel.interrupt(second ?? 0), kernel.interrupt(first ?? 0)]).toEqual([false, false]);
    expect(told).toEqual([
      [second, 4002],
      [first, 4001],
    ]);
  });

  test("an interrupt after the answer changes nothing, and the kernel drops our reply to it", () => {
    const kernel = parking();
    const unique = kernel.start("open", 5);
    kernel.session.answer(unique, "open", OPEN);
    expect(kernel.interrupt(unique)).toBe(false);
    expect(kernel.outcome(unique)).toEqual({ value: OPEN });
    expect(kernel.log).toEqual([]);
  });

  test("an interrupt ends its own request only", () => {
    const kernel = parking();
    const [first, second] = [kernel.start("open", 5), kernel.start("open", 5)];
    kernel.interrupt(first);
    expect(kernel.outcome(first)).toEqual({ error: "EINTR" });
    expect(kernel.outcome(second)).toBeUndefined();
  });

  test("an interrupt stops a later answer from being sent", () => {
    const kernel = parking();
    const unique = kernel.start("open", 5);
    kernel.interrupt(unique);
    const replies = capture(kernel);
    expect(kernel.session.answer(unique, "open", OPEN)).toBe(false);
    expect(replies).toEqual([]);
  });

  test("an interrupt is recognised by bit 0 of its unique, the kernel's mark", () => {
    expect(FUSE_INT_REQ_BIT).toBe(1);
  });
});

describe("the debug log", () => {
  const SECRET = "the bytes of somebody's file";

  /** Answers everything, with the secret wherever bytes can be. */
  function talkative(): Filesystem {
    const handlers = Object.entries(EXCHANGES).map(([op, exchange]) => [
      op,
      (_request: unknown, _header: unknown, target: Buffer) =>
        OPS[op as OpName].reply === "data" ? target.write(SECRET) : exchange.answers,
    ]);
    return Object.fromEntries(handlers) as Filesystem;
  }

  test("the debug log contains an INIT", () => {
    const kernel = new Kernel({}, { debug: true });
    kernel.init({});
    expect(kernel.log).toEqual([expect.stringContaining(" init node 0 ")]);
  });

  for (const op of (Object.keys(OPS) as OpName[]).filter((op) => op !== "init")) {
    test(`the debug log contains a ${op}`, () => {
      const kernel = new Kernel(talkative(), { debug: true });
      capture(kernel);
      kernel.start(op, 0x1122);
      expect(kernel.log[0]).toStartWith("debug: → ");
      expect(kernel.log[0]).toContain(` ${op} node ${0x1122} `);
      expect(kernel.log.filter((line) => !line.startsWith("debug: "))).toEqual([]);
    });
  }

  test("the debug log does not contain what is written to a file or read from it", () => {
    const kernel = new Kernel(talkative(), { debug: true });
    kernel.call("write", 5, { size: SECRET.length, data: Buffer.from(SECRET) });
    kernel.call("read", 5, { size: 4096 });
    kernel.call("setxattr", 5, { name: "user.x", value: Buffer.from(SECRET), size: SECRET.length });
    kernel.call("getxattr", 5, { name: "user.x", size: 4096 });
    const log = kernel.log.join("\n");
    expect(log).not.toContain(SECRET.slice(0, 8));
    expect(log).not.toContain([...Buffer.from(SECRET.slice(0, 8))].join(","));
    expect(log).toContain(`${SECRET.length} bytes`);
  });

  test("the debug log contains 64-bit numbers, names and errors", () => {
    const kernel = new Kernel(
      {
        lseek: () => ({ offset: 0 }),
        lookup() {
          throw new FsError("ENOENT", "no such name");
        },
      },
      { debug: true },
    );
    kernel.call("lseek", 5, { fh: 7, offset: 0x7edcba9876543210n });
    kernel.errno("lookup", 1, { name: "README" });
    expect(kernel.log[0]).toContain(String(0x7edcba9876543210n));
    expect(kernel.log[2]).toContain('"name":"README"');
    expect(kernel.log[3]).toContain("lookup ENOENT no such name");
  });

  test("ordinary failures are logged only with debug", () => {
    const kernel = new Kernel({
      lookup() {
        throw new FsError("ENOENT");
      },
    });
    kernel.errno("lookup", 1, { name: "x" });
    expect(kernel.log).toEqual([]);
  });
});

test("requests are counted by opcode", () => {
  const kernel = new Kernel({});
  kernel.errno("statfs", 1);
  kernel.errno("statfs", 1);
  kernel.errno("rmdir", 1, { name: "x" });
  expect(kernel.session.counts[OPS.statfs.opcode]).toBe(2);
  expect(kernel.session.counts[OPS.rmdir.opcode]).toBe(1);
});

test("the caller's ids are those in the header", () => {
  const kernel = new Kernel({
    statfs(_request, { nodeid, uid, gid, pid }) {
      expect({ nodeid, uid, gid, pid }).toEqual({ nodeid: 9, uid: 1000, gid: 0xfffffffe, pid: 77 });
      throw new FsError("ENOTTY");
    },
  });
  expect(kernel.errno("statfs", 9, {}, { uid: 1000, gid: 0xfffffffe, pid: 77 })).toBe("ENOTTY");
});

test("a notification that is sent from within a handler does not disturb its reply", () => {
  const kernel: Kernel = new Kernel({
    write() {
      const body = { ino: 1, off: -1, len: 0 };
      expect(kernel.session.notify(abi.FUSE_NOTIFY_INVAL_INODE, abi.notifyInvalInodeOut, body)).toBe(0);
      return { size: 5 };
    },
  });
  expect(kernel.call("write", 5, { size: 5, data: Buffer.from("hello") })).toEqual({ size: 5 });
  expect(kernel.notifications).toEqual([{ code: "inval inode", nodeid: 1, off: -1, len: 0 }]);
});
