/** Which signals end a wait, and what happens with those that do not. The kernel's own part is in test/mount. */
import { describe, expect, test } from "bun:test";
import { ControlChannel } from "../../../src/fs/control/channel.ts";
import { endsWait } from "../../../src/fs/waiting/interrupts.ts";
import { setXattr } from "../../../src/tree/xattrs.ts";
import { type ServedTree, served } from "../../support/served.ts";

const SIGNALS = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
  SIGRTMIN: 34,
  SIGRTMAX: 64,
} as const;

type Name = keyof typeof SIGNALS;

/** As signal(7): those that do not terminate a program without a handler for them. */
const HARMLESS: readonly Name[] = [
  "SIGCHLD",
  "SIGCONT",
  "SIGSTOP",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
  "SIGURG",
  "SIGWINCH",
];
/** Those that interrupt a program with a handler for them. */
const INTERRUPTING: readonly Name[] = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGTERM"];

const set = (...names: readonly Name[]) => names.reduce((bits, name) => bits | (1n << BigInt(SIGNALS[name] - 1)), 0n);
const NOTHING = { pending: 0n, caught: 0n };
const pending = (...names: readonly Name[]) => ({ pending: set(...names), caught: 0n });
const handled = (...names: readonly Name[]) => ({ pending: set(...names), caught: set(...names) });

describe("a wait", () => {
  for (const name of Object.keys(SIGNALS) as Name[]) {
    const ends = !HARMLESS.includes(name);
    test(`a wait ${ends ? "ends" : "goes on"} at ${name} without a handler`, () => {
      expect(endsWait(pending(name))).toBe(ends);
    });
    // These two cannot have a handler.
    if (name === "SIGKILL" || name === "SIGSTOP") continue;
    const interrupts = INTERRUPTING.includes(name);
    test(`a wait ${interrupts ? "ends" : "goes on"} at ${name} with a handler`, () => {
      expect(endsWait(handled(name))).toBe(interrupts);
    });
  }

  test("a wait goes on when no signal is pending: the cause was a debugger or the freezer", () => {
    expect(endsWait(NOTHING)).toBe(false);
    expect(endsWait({ pending: 0n, caught: set("SIGINT") })).toBe(false);
  });

  test("a wait ends if one of several pending signals ends it", () => {
    expect(endsWait({ pending: set("SIGALRM", "SIGSTOP", "SIGTERM"), caught: set("SIGALRM", "SIGTERM") })).toBe(true);
    expect(endsWait({ pending: set("SIGALRM", "SIGSTOP", "SIGTERM"), caught: set("SIGALRM") })).toBe(true);
    expect(endsWait({ pending: set("SIGALRM", "SIGSTOP", "SIGWINCH"), caught: set("SIGALRM") })).toBe(false);
  });
});

let thread = 9000;

/** An open that waits, and the thread that waits in it. */
function waiting(fs: ServedTree, path = "/a"): { readonly unique: number; readonly pid: number } {
  const pid = ++thread;
  fs.signals.set(pid, NOTHING);
  return { unique: fs.kernel.start("open", fs.node(path), { flags: 0 }, { pid }), pid };
}

const EINTR = { error: "EINTR" } as const;

describe("a reader", () => {
  test("a reader does not notice a signal that does not concern it, and gets its content", () => {
    using fs = served();
    fs.pending("/a");
    const { unique, pid } = waiting(fs);
    fs.signals.set(pid, handled("SIGALRM"));
    expect(fs.kernel.interrupt(unique)).toBe(false);
    fs.pass(60_000);
    expect([fs.kernel.outcome(unique), fs.cancelled]).toEqual([undefined, []]);
    fs.content("text");
    expect(fs.kernel.outcome(unique)).toHaveProperty("value");
  });

  test("a reader that continues to wait is ended within 50 ms by a later signal, which the kernel does not report", () => {
    using fs = served();
    fs.pending("/a");
    const { unique, pid } = waiting(fs);
    fs.signals.set(pid, pending("SIGSTOP"));
    fs.kernel.interrupt(unique);
    fs.pass(10_000);
    fs.signals.set(pid, pending("SIGSTOP", "SIGKILL"));
    fs.pass(50);
    expect(fs.kernel.outcome(unique)).toEqual(EINTR);
  });

  test("a reader whose signals cannot be read is ended by any signal, and when it disappears from /proc", () => {
    using fs = served();
    fs.pending("/a");
    const unseen = fs.kernel.start("open", fs.node("/a"), { flags: 0 }, { pid: 0 });
    fs.kernel.interrupt(unseen);
    expect(fs.kernel.outcome(unseen)).toEqual(EINTR);
    const { unique, pid } = waiting(fs);
    fs.signals.set(pid, pending("SIGTSTP"));
    fs.kernel.interrupt(unique);
    fs.signals.delete(pid);
    fs.pass(50);
    expect(fs.kernel.outcome(unique)).toEqual(EINTR);
  });

  test("an interrupted reader is ended alone: another reader of the same file continues, whatever its signals", () => {
    using fs = served();
    fs.pending("/a");
    const [one, two] = [waiting(fs), waiting(fs)];
    for (const { unique, pid } of [one, two]) {
      fs.signals.set(pid, pending("SIGTSTP"));
      fs.kernel.interrupt(unique);
    }
    fs.signals.set(two.pid, pending("SIGINT"));
    fs.pass(50);
    expect([fs.kernel.outcome(one.unique), fs.kernel.outcome(two.unique)]).toEqual([undefined, EINTR]);
    fs.content("text");
    expect(fs.kernel.outcome(one.unique)).toHaveProperty("value");
  });

  test("a reader that has its answer is not checked again: no timer is left", () => {
    using fs = served();
    fs.pending("/a");
    const { unique, pid } = waiting(fs);
    fs.signals.set(pid, pending("SIGTSTP"));
    fs.kernel.interrupt(unique);
    fs.content("text");
    fs.pass(50);
    expect(fs.timers.due).toBeUndefined();
  });
});

test("readers that continue to wait are checked in turns, for a few milliseconds at a time", () => {
  using fs = served();
  fs.pending("/a");
  const readers = Array.from({ length: 100 }, () => waiting(fs));
  for (const { unique, pid } of readers) {
    fs.signals.set(pid, pending("SIGTSTP"));
    fs.kernel.interrupt(unique);
  }
  // Each check takes a fifth of a millisecond, so that all of them take ten times as long as is allowed.
  let looks = 0;
  fs.lookAtSignals = () => {
    looks += 1;
    fs.elapse(0.2);
  };
  fs.pass(60);
  expect(looks).toBeLessThan(15);
  for (const { pid } of readers) fs.signals.set(pid, pending("SIGKILL"));
  fs.pass(1500);
  expect(readers.map(({ unique }) => fs.kernel.outcome(unique))).toEqual(readers.map(() => EINTR));
});

/** Everything else that waits. Each starts a request for a thread. */
const WAITS: Readonly<Record<string, (fs: ServedTree, pid: number) => number>> = {
  "a listing"(fs, pid) {
    setXattr(fs.directory("/d"), "user.llmfs.generator", Buffer.from("shop"));
    return fs.kernel.start("opendir", fs.node("/d"), {}, { pid });
  },
  "the first lookup of a name"(fs, pid) {
    fs.directory("/named");
    return fs.kernel.start("lookup", fs.node("/named"), { name: "7.json" }, { pid });
  },
  "a lookup in a directory that is listed first"(fs, pid) {
    setXattr(fs.directory("/d"), "user.llmfs.generator", Buffer.from("shop"));
    return fs.kernel.start("lookup", fs.node("/d"), { name: "x" }, { pid });
  },
  "an open of what has expired"(fs, pid) {
    fs.pending("/view", { "user.llmfs.refresh": "always" });
    fs.kernel.start("open", fs.node("/view"), { flags: 0 });
    fs.content("first");
    return fs.kernel.start("open", fs.node("/view"), { flags: 0 }, { pid });
  },
  "an open of what is generated again"(fs, pid) {
    fs.pending("/poem");
    fs.kernel.start("open", fs.node("/poem"), { flags: 0 });
    fs.content("first");
    const value = Buffer.from("again");
    fs.kernel.call("setxattr", fs.node("/poem"), { name: "user.llmfs.regen", size: 5, value, flags: 0 }, { pid });
    return fs.kernel.start("open", fs.node("/poem"), { flags: 0 }, { pid });
  },
  "a read of the control file"(fs, pid) {
    fs.pending("/a");
    const nodeid = fs.node("/.llmfs/control");
    const { fh } = fs.kernel.call("open", nodeid, { flags: 2 }, { pid });
    const data = Buffer.from('{"op": "make", "path": "/a"}\n');
    fs.kernel.call("write", nodeid, { fh, size: data.length, data }, { pid });
    return fs.kernel.start("read", nodeid, { fh, offset: 0, size: 100 }, { pid });
  },
};

describe("signals and other waits", () => {
  for (const [what, start] of Object.entries(WAITS)) {
    test(`${what} goes on at a signal that does not end it, and ends at one that does`, () => {
      using fs = served({
        listing: true,
        named: [{ match: "named/{name}", generator: "shop" }],
        control: (mount, answers) => ({
          control: { dialogue: (writes) => new ControlChannel(mount, answers, writes) },
        }),
      });
      const pid = ++thread;
      fs.signals.set(pid, handled("SIGALRM", "SIGCHLD"));
      const unique = start(fs, pid);
      expect(fs.kernel.interrupt(unique)).toBe(false);
      fs.pass(5000);
      expect([fs.kernel.outcome(unique), fs.cancelled]).toEqual([undefined, []]);
      fs.signals.set(pid, handled("SIGALRM", "SIGINT"));
      fs.pass(50);
      expect(fs.kernel.outcome(unique)).toEqual(EINTR);
    });
  }
});
