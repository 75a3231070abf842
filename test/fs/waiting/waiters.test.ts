/** The waiters for what the other thread produces: tickets, interrupts, cycles, programs. */
import { describe, expect, test } from "bun:test";
import { FsError } from "../../../src/errno.ts";
import { Failures } from "../../../src/fs/lazy/backoff.ts";
import type { Attempt, AttemptHandler, Waiter } from "../../../src/fs/waiting/attempt.ts";
import type { GeneratedContent } from "../../../src/rpc/generation.ts";
import type { RegularFile } from "../../../src/tree/file.ts";
import { type ServedTree, served } from "../../support/served.ts";

/** A waiter that remembers its outcome. */
interface Witness extends Waiter {
  readonly heard: string[];
}

function witness(who: Pick<Waiter, "unique" | "requester" | "pid"> = {}): Witness {
  const heard: string[] = [];
  return { ...who, heard, done: () => heard.push("done"), fail: ({ code }) => heard.push(code) };
}

/** An attempt that remembers its outcome, and ends with it. */
function attemptFor(fs: ServedTree, file: RegularFile, ...waiters: Witness[]): Attempt & { readonly fate: string[] } {
  const { waiters: attempts } = fs.mount;
  const fate: string[] = [];
  const end = (what: string, answer: (waiter: Waiter) => void) => {
    fate.push(what);
    attempts.end(attempt, answer);
  };
  const outcome: AttemptHandler = {
    onContent: ({ bytes }) => end(`content ${Buffer.from(bytes)}`, (waiter) => waiter.done()),
    onListing: () => end("listed", (waiter) => waiter.done()),
    onFailure: (error) => end(`failed ${error.code}`, (waiter) => waiter.fail(error)),
    onCallOff: () => fate.push("cancelled"),
  };
  const attempt = attempts.open(file, outcome);
  for (const waiter of waiters) attempts.join(attempt, attempts.admit(file, waiter));
  return Object.assign(attempt, { fate });
}

const content = (text: string): GeneratedContent => ({ bytes: Buffer.from(text), metadata: new Map() });

/** The posted messages of these kinds. */
function posted(fs: ServedTree, ...types: string[]): unknown[] {
  return fs.posted.filter(({ type }) => types.includes(type));
}

/** The attempt of some file whose generator reads others. */
function making(fs: ServedTree): Attempt {
  return attemptFor(fs, fs.pending("/reader"), witness());
}

describe("an answer", () => {
  test("an answer goes to the attempt of its ticket and to everyone who waits for that attempt", () => {
    using fs = served();
    const [one, two, other] = [witness({ unique: 10 }), witness({ requester: making(fs) }), witness({ unique: 12 })];
    const a = attemptFor(fs, fs.pending("/a"), one, two);
    const b = attemptFor(fs, fs.pending("/b"), other);
    fs.mount.waiters.takeContent(a.ticket, content("text"));
    expect(a.fate).toEqual(["content text"]);
    expect([one.heard, two.heard, other.heard, b.fate]).toEqual([["done"], ["done"], [], []]);
  });

  test("an answer to a ticket that has ended or was never issued is dropped", () => {
    using fs = served();
    const a = attemptFor(fs, fs.pending("/a"), witness());
    const { waiters: attempts } = fs.mount;
    attempts.takeFailure(a.ticket, new FsError("EIO"));
    for (const ticket of [a.ticket, 4711]) {
      attempts.takeContent(ticket, content("late"));
      attempts.takeListing(ticket, { entries: [] });
      attempts.takeFailure(ticket, new FsError("EIO"));
      attempts.setMaker(ticket, process.pid);
      expect(attempts.get(ticket)).toBeUndefined();
    }
    expect(a.fate).toEqual(["failed EIO"]);
  });

  test("an answer belongs to one attempt only: no ticket is issued twice", () => {
    using fs = served();
    const file = fs.pending("/a");
    const first = attemptFor(fs, file);
    fs.mount.waiters.takeFailure(first.ticket, new FsError("EIO"));
    expect(attemptFor(fs, file).ticket).not.toBe(first.ticket);
  });

  test("an answer reaches the other waiters if one of them fails to take it", () => {
    using fs = served();
    const broken: Witness = witness();
    const [before, after] = [witness(), witness()];
    const throws = () => {
      throw new Error("the reply is too long");
    };
    const a = attemptFor(fs, fs.pending("/a"), before, { ...broken, done: throws }, after);
    fs.mount.waiters.takeContent(a.ticket, content("text"));
    expect([before.heard, broken.heard, after.heard]).toEqual([["done"], ["EIO"], ["done"]]);
  });

  test("an answer finds its inode alive even if the inode has lost its last name", () => {
    using fs = served();
    const file = fs.pending("/a");
    const a = attemptFor(fs, file, witness());
    const inodes = fs.tree.space.inodes;
    fs.kernel.call("unlink", 1, { name: "a" });
    fs.kernel.letGo();
    expect(fs.tree.space.inodes).toBe(inodes);
    fs.mount.waiters.takeContent(a.ticket, content("text"));
    expect(fs.tree.space.inodes).toBe(inodes - 1);
  });

  test("an answer in pieces that never came is a failure", () => {
    using fs = served();
    const a = attemptFor(fs, fs.pending("/a"), witness());
    fs.mount.waiters.takeContent(a.ticket, { ...content(""), streamed: true });
    expect(a.fate).toEqual(["failed EIO"]);
  });

  test("an answer in pieces frees their space when the attempt fails", () => {
    using fs = served();
    const a = attemptFor(fs, fs.pending("/a"), witness());
    fs.mount.waiters.takePiece(a.ticket, new Uint8Array(100_000));
    expect(fs.tree.space.usedPages).toBeGreaterThan(0);
    fs.mount.waiters.takeFailure(a.ticket, new FsError("EIO"));
    expect(fs.tree.space.usedPages).toBe(0);
  });
});

describe("an interrupt", () => {
  test("an interrupt for a request that does not wait here is left to others", () => {
    using fs = served();
    const reader = witness({ unique: 10 });
    const a = attemptFor(fs, fs.pending("/a"), reader);
    expect(fs.mount.waiters.leave(12)).toBe(false);
    fs.mount.waiters.takeContent(a.ticket, content("text"));
    expect(fs.mount.waiters.leave(10)).toBe(false);
    expect(reader.heard).toEqual(["done"]);
  });

  test("an interrupt ends one wait; the attempt continues while anybody else waits", () => {
    using fs = served();
    const [one, two] = [witness({ unique: 10 }), witness({ unique: 12 })];
    const a = attemptFor(fs, fs.pending("/a"), one, two);
    expect(fs.mount.waiters.leave(10)).toBe(true);
    expect([one.heard, two.heard, a.fate, fs.cancelled]).toEqual([["EINTR"], [], [], []]);
    expect(fs.mount.waiters.leave(10)).toBe(false);
    fs.mount.waiters.takeContent(a.ticket, content("text"));
    expect([one.heard, two.heard]).toEqual([["EINTR"], ["done"]]);
  });

  test("an interrupt of the last waiter cancels the attempt once, and what still arrives is dropped", () => {
    using fs = served();
    const [one, two] = [witness({ unique: 10 }), witness({ unique: 12 })];
    const a = attemptFor(fs, fs.pending("/a"), one, two);
    fs.mount.waiters.leave(12);
    fs.mount.waiters.leave(10);
    fs.mount.waiters.takeContent(a.ticket, content("text"));
    expect([one.heard, two.heard]).toEqual([["EINTR"], ["EINTR"]]);
    expect(a.fate).toEqual(["cancelled"]);
    expect(fs.cancelled).toEqual([a.ticket]);
  });

  test("an interrupt of the last reader does not affect a generator that waits for the content", () => {
    using fs = served();
    const [reader, generator] = [witness({ unique: 10 }), witness({ requester: making(fs) })];
    const a = attemptFor(fs, fs.pending("/a"), reader, generator);
    fs.mount.waiters.leave(10);
    expect([a.fate, fs.cancelled]).toEqual([[], []]);
    fs.mount.waiters.takeContent(a.ticket, content("text"));
    expect(generator.heard).toEqual(["done"]);
  });
});

test("an unmount ends every wait and notifies the other thread", () => {
  using fs = served();
  const [reader, generator, other] = [
    witness({ unique: 10 }),
    witness({ requester: making(fs) }),
    witness({ unique: 12 }),
  ];
  const a = attemptFor(fs, fs.pending("/a"), reader, generator);
  const b = attemptFor(fs, fs.pending("/b"), other);
  fs.mount.waiters.clear();
  expect([reader.heard, generator.heard, other.heard]).toEqual([["ENODEV"], ["ENODEV"], ["ENODEV"]]);
  expect([a.fate, b.fate]).toEqual([["cancelled"], ["cancelled"]]);
  expect(fs.cancelled).toEqual(expect.arrayContaining([a.ticket, b.ticket]));
});

describe("a cycle", () => {
  /** Registers for the cycle check that `file` is waited for on behalf of `by`. */
  function waits(fs: ServedTree, file: RegularFile, by: RegularFile): Witness {
    const waiter = witness({ requester: attemptFor(fs, by, witness()) });
    attemptFor(fs, file, waiter);
    return waiter;
  }

  const refusal = (fs: ServedTree, file: RegularFile, by: RegularFile) => {
    const requester = attemptFor(fs, by, witness());
    return () => fs.mount.waiters.admit(file, witness({ requester }));
  };

  test("a file that reads itself is rejected, and the error names it", () => {
    using fs = served();
    const a = fs.pending("/a");
    expect(refusal(fs, a, a)).toThrow("files depend on each other: /a → /a");
  });

  test("the request that would close a cycle of several files is rejected, with all names in its error and in the log", () => {
    using fs = served();
    const [a, b, c] = [fs.pending("/a"), fs.pending("/dir/b"), fs.pending("/c")];
    const waiting = [waits(fs, b, a), waits(fs, c, b)];
    expect(refusal(fs, a, c)).toThrow("/c → /a → /dir/b → /c");
    const waitLog = (text: string) => ({ type: "log", level: "info", tag: "generate", text });
    expect(posted(fs, "log")).toEqual([
      waitLog("/a waits for /dir/b"),
      waitLog("/dir/b waits for /c"),
      { type: "log", level: "warn", tag: "fs", text: expect.stringContaining("EDEADLK: files depend on each other") },
    ]);
    expect(waiting.map(({ heard }) => heard)).toEqual([[], []]);
  });

  test("the error for a cycle names a file that was removed in the meantime by its original path", () => {
    using fs = served();
    const a = fs.pending("/a", { "user.llmfs.origin": "/old/a" });
    attemptFor(fs, a, witness());
    fs.kernel.call("unlink", 1, { name: "a" });
    expect(refusal(fs, a, a)).toThrow("/old/a → /old/a");
  });

  test("a cycle is not formed by two ways to the same file; its error leaves out ways that lead elsewhere", () => {
    using fs = served();
    const [top, left, right] = [fs.pending("/top"), fs.pending("/left"), fs.pending("/right")];
    const [base, other] = [fs.pending("/base"), fs.pending("/other")];
    waits(fs, left, top);
    waits(fs, right, top);
    waits(fs, base, left);
    waits(fs, base, right);
    expect(refusal(fs, top, other)).not.toThrow();
    waits(fs, other, right);
    expect(refusal(fs, top, other)).toThrow("each other: /other → /top → /right → /other");
  });

  test("a cycle ends with the attempt that closed it", () => {
    using fs = served();
    const [a, b] = [fs.pending("/a"), fs.pending("/b")];
    const attempt = attemptFor(fs, b, witness({ requester: attemptFor(fs, a, witness()) }));
    expect(refusal(fs, a, b)).toThrow("/b → /a → /b");
    fs.mount.waiters.takeContent(attempt.ticket, content("text"));
    expect(refusal(fs, a, b)).not.toThrow();
  });
});

describe("a program that makes a file", () => {
  // This very process stands in for the program: /proc knows it.
  const pid = process.pid;

  test("a program that generates a file waits on behalf of it: the other thread may use its slot until the wait is over, and is notified once", () => {
    using fs = served();
    const a = attemptFor(fs, fs.pending("/a"), witness({ unique: 10 }));
    fs.mount.waiters.setMaker(a.ticket, pid);
    const [one, two] = [witness({ unique: 12, pid }), witness({ unique: 14, pid })];
    const b = attemptFor(fs, fs.pending("/b"), one);
    const c = attemptFor(fs, fs.pending("/c"), two);
    const began = { type: "waits", ticket: a.ticket, waits: true };
    expect(posted(fs, "waits")).toEqual([began, began]);
    fs.mount.waiters.takeContent(b.ticket, content("text"));
    fs.mount.waiters.takeFailure(c.ticket, new FsError("EBUSY"));
    const ended = { ...began, waits: false };
    expect(posted(fs, "waits")).toEqual([began, began, ended, ended]);
    expect([one.heard, two.heard]).toEqual([["done"], ["EBUSY"]]);
  });

  test("a program that generates a file ends its wait with one notification even if it could not take what it waited for", () => {
    using fs = served();
    const a = attemptFor(fs, fs.pending("/a"), witness({ unique: 10 }));
    fs.mount.waiters.setMaker(a.ticket, pid);
    const throws = () => {
      throw new Error("the reply is too long");
    };
    const b = attemptFor(fs, fs.pending("/b"), { ...witness({ unique: 12, pid }), done: throws });
    fs.mount.waiters.takeContent(b.ticket, content("text"));
    const told = { type: "waits", ticket: a.ticket };
    expect(posted(fs, "waits")).toEqual([
      { ...told, waits: true },
      { ...told, waits: false },
    ]);
  });

  test("a program that generates a file is recognised by its child processes and their children", async () => {
    using fs = served();
    const file = fs.pending("/a");
    const a = attemptFor(fs, file, witness({ unique: 10 }));
    fs.mount.waiters.setMaker(a.ticket, pid);
    const child = Bun.spawn({ cmd: ["sh", "-c", "sleep 100 & echo $!; wait"], stdout: "pipe" });
    const reader = child.stdout.getReader();
    const grandchild = Number(Buffer.from((await reader.read()).value ?? []));
    try {
      for (const one of [child.pid, grandchild]) {
        expect(() => fs.mount.waiters.admit(file, witness({ pid: one }))).toThrow("/a → /a");
      }
    } finally {
      process.kill(grandchild);
      await child.exited;
    }
  });

  test("a program that generates a file is not confused with another process, one that has ended, or the kernel itself", async () => {
    using fs = served();
    const file = fs.pending("/a");
    const a = attemptFor(fs, file, witness({ unique: 10 }));
    const maker = Bun.spawn({ cmd: ["sleep", "100"], stdio: ["ignore", "ignore", "ignore"] });
    const gone = Bun.spawn({ cmd: ["true"], stdio: ["ignore", "ignore", "ignore"] });
    await gone.exited;
    try {
      fs.mount.waiters.setMaker(a.ticket, maker.pid);
      for (const one of [process.pid, gone.pid, 0]) {
        const waiter = witness({ unique: 12, pid: one });
        expect(fs.mount.waiters.admit(file, waiter)).toBe(waiter);
      }
      expect(posted(fs, "waits")).toEqual([]);
    } finally {
      maker.kill();
      await maker.exited;
    }
  });

  test("a program that waited before it was known to generate a file waits on the file's behalf from then on", () => {
    using fs = served();
    const early = witness({ unique: 12, pid });
    const a = attemptFor(fs, fs.pending("/a"), witness({ unique: 10 }));
    const b = attemptFor(fs, fs.pending("/b"), early);
    expect(posted(fs, "waits")).toEqual([]);
    fs.mount.waiters.setMaker(a.ticket, pid);
    expect(posted(fs, "waits")).toEqual([{ type: "waits", ticket: a.ticket, waits: true }]);
    expect(fs.mount.waiters.leave(12)).toBe(true);
    expect(early.heard).toEqual(["EINTR"]);
    expect(posted(fs, "waits").at(-1)).toEqual({ type: "waits", ticket: a.ticket, waits: false });
    expect(b.fate).toEqual(["cancelled"]);
  });

  test("a program that waits for the file that it generates gets an error, and the attempt is cancelled if nobody else waits", () => {
    using fs = served();
    const itself = witness({ unique: 10, pid });
    const a = attemptFor(fs, fs.pending("/a"), itself);
    fs.mount.waiters.setMaker(a.ticket, pid);
    expect(itself.heard).toEqual(["EDEADLK"]);
    expect(a.fate).toEqual(["cancelled"]);
    expect(fs.cancelled).toEqual([a.ticket]);
    expect(fs.mount.waiters.leave(10)).toBe(false);
  });

  test("a program that generates a file does not affect an attempt for which nobody waits", () => {
    using fs = served();
    const a = attemptFor(fs, fs.pending("/a"), witness({ unique: 10 }));
    const b = attemptFor(fs, fs.pending("/b"));
    fs.mount.waiters.setMaker(a.ticket, pid);
    expect([b.fate, fs.cancelled]).toEqual([[], []]);
  });
});

describe("a failed attempt", () => {
  test("a failed attempt is retried at once, then after a pause that doubles up to five seconds", () => {
    const failures = new Failures<object>();
    const one = {};
    const pauses = Array.from({ length: 9 }, () => {
      const pause = failures.pause(one);
      failures.add(one);
      return pause;
    });
    expect(pauses).toEqual([0, 0, 250, 500, 1000, 2000, 4000, 5000, 5000]);
  });

  test("a success or a reset starts the pauses over; other files are not affected", () => {
    const failures = new Failures<object>();
    const [one, other] = [{}, {}];
    for (let i = 0; i < 4; i++) failures.add(one);
    expect(failures.pause(other)).toBe(0);
    failures.forgive(one);
    expect(failures.pause(one)).toBe(0);
    failures.add(one);
    expect(failures.pause(one)).toBe(0);
  });
});

test("a waiter without more time gets its error, and the attempt continues for later requests", () => {
  using fs = served();
  const { waiters } = fs.mount;
  const early = witness({ unique: 10, pid: 1 });
  const attempt = attemptFor(fs, fs.pending("/a"), early);
  const error = new FsError("ETIMEDOUT", "too late");
  expect([waiters.expire(10, error), waiters.expire(10, error), waiters.expire(11, error)]).toEqual([
    true,
    false,
    false,
  ]);
  expect([early.heard, attempt.fate, waiters.isLeft(attempt)]).toEqual([["ETIMEDOUT"], [], false]);
  const late = witness({ unique: 12 });
  waiters.join(attempt, late);
  waiters.takeContent(attempt.ticket, content("text"));
  expect([late.heard, attempt.fate, posted(fs, "cancel")]).toEqual([["done"], ["content text"], []]);
});
