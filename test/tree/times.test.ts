/** The kernel's own writes to a store are included in the file's times before those are returned or changed. */
import { describe, expect, test } from "bun:test";
import * as libc from "../../src/libc.ts";
import { PageStore } from "../../src/tree/content/heap-store.ts";
import { createTmpfsFiles, FdStore } from "../../src/tree/content/store.ts";
import { RegularFile } from "../../src/tree/file.ts";
import { fixedClock, type Time } from "../../src/tree/inode.ts";
import { Space } from "../../src/tree/space.ts";

const OWNER = { uid: 0, gid: 0 };
const SET: Time = { seconds: 1_000_000_000, nanoseconds: 123_456_789 };
const BEFORE = 1_234;

function fileIn(space: Space): RegularFile {
  return new RegularFile(2, 0o644, OWNER, fixedClock(BEFORE), space);
}

/** A file created at BEFORE, whose store is shared with the kernel. */
function shared(space = new Space()): { file: RegularFile; fd: number } {
  const file = fileIn(space);
  file.write(0, Buffer.from("before"));
  const store = file.share();
  if (!(store instanceof FdStore)) throw new Error("not a descriptor");
  return { file, fd: store.fd };
}

function writeUnseen(fd: number): void {
  expect(libc.pwrite(fd, Buffer.from("kernel"), 6, 0)).toBe(6);
}

/** A file whose store is shared and was never used, and how often fstat(2) was called on it. */
function counted(moments: { moment: number }, report?: (taken: boolean) => void) {
  const file = fileIn(new Space({ moments }));
  let looks = 0;
  const store = file.share(report);
  if (!(store instanceof FdStore)) throw new Error("not a descriptor");
  store.stat = (into) => {
    looks++;
    libc.fstat(store.fd, into);
  };
  return { file, fd: store.fd, looks: () => looks };
}

const clock = libc.now;

describe("a write by the kernel itself", () => {
  test("a write by the kernel itself is older than a time that is set after it", () => {
    const { file, fd } = shared();
    writeUnseen(fd);
    file.setTimes({ mtime: SET });
    expect(file.times()).toMatchObject({ mtime: SET.seconds, mtimeNsec: SET.nanoseconds });
    expect(file.times().ctime).toBeGreaterThan(BEFORE);
  });

  test("a write by the kernel itself is newer than a time that was set before it, even in the same tick of a coarse clock", () => {
    const coarse = { atime: 77, atimeNsec: 0, mtime: 77, mtimeNsec: 0 };
    const space = new Space({ stores: { open: () => new CoarseStore(coarse) } });
    const file = fileIn(space);
    const store = file.share();
    for (let round = 0; round < 2; round++) {
      store.write(0, Buffer.from("kernel"));
      expect(file.times().mtime).toBe(77);
      file.setTimes({ mtime: SET });
      expect(file.times().mtime).toBe(SET.seconds);
    }
    store.write(0, Buffer.from("kernel"));
    expect(file.times().mtime).toBe(77);
  });

  test("a write by the kernel itself causes no call to the store if only the ctime is set", () => {
    const store = new InterruptedStore();
    const file = fileIn(new Space({ stores: { open: () => store } }));
    file.share();
    store.armed = true;
    file.setTimes({ ctime: SET });
    expect([file.times().mtime, file.times().ctime]).toEqual([BEFORE, SET.seconds]);
  });

  test.each<[string, (file: RegularFile) => unknown]>([
    ["write", (file) => file.write(0, Buffer.from("ours"))],
    ["truncate", (file) => file.truncate(3)],
    ["truncate to nothing", (file) => file.truncate(0)],
    ["allocate", (file) => file.allocate(0, 10_000, false)],
    ["punch", (file) => file.punch(0, 4096)],
    ["touchCtime", (file) => file.touchCtime(clock)],
    ["accessed", (file) => file.touchAtime(clock)],
    ["marksReads", (file) => file.marksReads(clock)],
    ["state", (file) => file.state],
    ["setting the state", (file) => Object.assign(file, { state: "static" })],
    ["setTimes", (file) => file.setTimes({ atime: SET })],
    ["unshare", (file) => file.unshare()],
  ])("updates the times before anything else happens: %s", (_name, door) => {
    const { file, fd } = shared();
    writeUnseen(fd);
    door(file);
    const { mtime } = file.times();
    expect(mtime).toBeGreaterThan(BEFORE);
    file.unshare();
    expect(file.times().mtime).toBe(mtime);
  });

  test("a write by the kernel itself makes generated content static as soon as anybody asks for its state", () => {
    const { file, fd } = shared();
    const state = (): string => file.state;
    file.state = "ready";
    expect(state()).toBe("ready");
    writeUnseen(fd);
    expect(state()).toBe("static");
  });

  test("a write by the kernel itself is reported once, by whichever call notices it", () => {
    const file = fileIn(new Space());
    const reports: boolean[] = [];
    const store = file.share((taken) => reports.push(taken));
    file.state = "ready";
    file.bringIn();
    store.write(0, Buffer.from("kernel"));
    expect([file.size, reports]).toEqual([6, []]);
    file.times();
    file.bringIn();
    store.write(0, Buffer.from("again"));
    file.unshare();
    expect(reports).toEqual([true, false]);
  });

  test("a write by the kernel itself counts as a new write if it happens while a time is being set", () => {
    const store = new InterruptedStore();
    const file = fileIn(new Space({ stores: { open: () => store } }));
    const reports: boolean[] = [];
    file.share((taken) => reports.push(taken));
    store.armed = true;
    file.setTimes({ mtime: SET });
    file.bringIn();
    expect([file.times().mtime, reports]).toEqual([InterruptedStore.written, [false]]);
  });

  test("a write by the kernel itself is distinguished from llmfs's own writes, which update no times by themselves", () => {
    const { file } = shared();
    file.state = "ready";
    file.write(0, Buffer.from("ours"));
    file.truncate(2);
    expect([file.times().mtime, file.state]).toEqual([BEFORE, "ready"]);
  });

  test("writes by the kernel are looked for as long as another process may have the store", () => {
    const { file, fd } = shared();
    expect(file.unshare(() => false)).toBe(false);
    writeUnseen(fd);
    expect(file.times().mtime).toBeGreaterThan(BEFORE);
    expect([file.unshare(() => true), file.shared]).toEqual([true, false]);
  });
});

describe("looking at a store", () => {
  test("a store is looked at once in a moment, and not at all while it is untouched", () => {
    const moments = { moment: 1 };
    const { file, looks } = counted(moments);
    const ask = () => [file.times().mtime, file.size, file.allocated];
    expect([ask(), looks()]).toEqual([[BEFORE, 0, 0], 0]);
    moments.moment++;
    ask();
    ask();
    expect(looks()).toBe(1);
  });

  test("a store is looked at again after a change of our own in the same moment", () => {
    const { file } = counted({ moment: 1 });
    file.write(0, Buffer.from("ours"));
    expect([file.size, file.allocated]).toEqual([4, 4096]);
    file.truncate(2);
    expect(file.size).toBe(2);
  });

  test("a store is looked at a last time after the sharing has ended, when anybody asks", () => {
    const moments = { moment: 1 };
    const reports: boolean[] = [];
    const { file, fd, looks } = counted(moments, (taken) => reports.push(taken));
    file.state = "ready";
    writeUnseen(fd);
    file.endSharing();
    expect([file.shared, file.mayHaveNews, reports, looks()]).toEqual([false, true, [], 0]);
    moments.moment++;
    expect([file.size, String(file.state)]).toEqual([6, "static"]);
    expect([file.mayHaveNews, reports, looks()]).toEqual([false, [true], 1]);
    expect(file.times().mtime).toBeGreaterThan(BEFORE);
    expect(Buffer.from(file.bytes()).toString()).toBe("kernel");
  });

  test("a file whose sharing has ended goes back to the heap with its content and its time", () => {
    const moments = { moment: 1 };
    const { file, fd, looks } = counted(moments);
    writeUnseen(fd);
    file.endSharing();
    moments.moment++;
    file.demote(() => true)?.close();
    expect([looks(), file.stored, file.size]).toEqual([1, false, 6]);
    expect(file.times().mtime).toBeGreaterThan(BEFORE);
  });
});

describe("a store that is no longer needed", () => {
  test.each([
    ["is emptied for the next file", false],
    ["is closed if a program may have mapped it", true],
  ])("a store that is no longer needed %s", (_what, mappable) => {
    const space = new Space({ moments: { moment: 1 } });
    const first = fileIn(space);
    const store = first.share();
    if (!(store instanceof FdStore)) throw new Error("not a descriptor");
    store.mappable = mappable;
    writeUnseen(store.fd);
    first.dispose();
    const second = fileIn(space);
    const next = second.share();
    expect(next === store).toBe(!mappable);
    expect([second.size, second.times().mtime]).toEqual([0, BEFORE]);
    second.dispose();
  });
});

const privileged = libc.getuid() === 0;

test.skipIf(!privileged)(`a read updates the atime${privileged ? "" : " (needs root: a tmpfs of its own)"}`, () => {
  const { file, fd } = shared(new Space({ stores: createTmpfsFiles(1000) }));
  // llmfs's own descriptor leaves the atime alone; the kernel's reads do not.
  const other = libc.open(`/proc/self/fd/${fd}`, libc.O_RDONLY);
  libc.pread(other, new Uint8Array(1), 1, 0);
  file.setTimes({ mtime: SET });
  const { atime } = file.times();
  expect(atime).toBeGreaterThan(BEFORE);
  file.setTimes({ atime: { seconds: 5, nanoseconds: 0 } });
  expect(file.times().atime).toBe(5);
  libc.pread(other, new Uint8Array(1), 1, 0);
  expect(file.times().atime).toBeGreaterThanOrEqual(atime);
  libc.close(other);
});

/** A store whose writes and reads all set the same time. */
class CoarseStore extends PageStore {
  readonly #tick: Stamps;
  #times: Stamps = { atime: 0, atimeNsec: 0, mtime: 0, mtimeNsec: 0 };

  constructor(tick: Stamps) {
    super();
    this.#tick = tick;
  }

  override write(offset: number, data: Uint8Array): number {
    this.#times = this.#tick;
    return super.write(offset, data);
  }

  override stat(into: libc.FileStat): void {
    super.stat(into);
    Object.assign(into, this.#times);
  }

  setTimes({ atime, atimeNsec, mtime, mtimeNsec }: Stamps): void {
    this.#times = { atime, atimeNsec, mtime, mtimeNsec };
  }
}

/** A store that is written to just after its times were set. */
class InterruptedStore extends CoarseStore {
  static readonly written = 78;
  armed = false;

  constructor() {
    super({ atime: 0, atimeNsec: 0, mtime: InterruptedStore.written, mtimeNsec: 0 });
  }

  override setTimes(times: Stamps): void {
    super.setTimes(times);
    if (this.armed) this.write(0, Buffer.from("kernel"));
  }
}

interface Stamps {
  readonly atime: number;
  readonly atimeNsec: number;
  readonly mtime: number;
  readonly mtimeNsec: number;
}
