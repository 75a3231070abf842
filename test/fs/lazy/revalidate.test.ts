/** Which open is the second try of a caller that got ESTALE, and what is kept of callers that never come back. */
import { describe, expect, test } from "bun:test";
import { Revalidation } from "../../../src/fs/lazy/revalidate.ts";
import { ByThread } from "../../../src/fs/waiting/by-thread.ts";

/** Numbers that no thread of this machine has: pid_max is at most 2^22. */
const THREAD = 2 ** 23;

describe("a thread that got ESTALE", () => {
  test("a thread that got ESTALE is expected back with its next open of the same file, and no other", () => {
    const revalidation = new Revalidation();
    const [subject, other] = [{}, {}];
    const first = revalidation.identifyOpener(THREAD);
    expect(first.comesBackFor(subject)).toBe(false);
    expect(revalidation.lookAgain(first, subject, "why").code).toBe("ESTALE");
    expect(revalidation.identifyOpener(THREAD + 1).comesBackFor(subject)).toBe(false);
    const second = revalidation.identifyOpener(THREAD);
    expect([second.comesBackFor(other), second.comesBackFor(subject)]).toEqual([false, true]);
    // The kernel retries only once, whatever it finds then.
    expect([first, second].map((one) => [one.mayLookAgain(subject), one.mayLookAgain(other)])).toEqual([
      [true, true],
      [false, false],
    ]);
    expect(revalidation.identifyOpener(THREAD).comesBackFor(subject)).toBe(false);
  });

  test("a thread that got ESTALE is not expected back once it has opened something else", () => {
    const revalidation = new Revalidation();
    const subject = {};
    revalidation.lookAgain(revalidation.identifyOpener(THREAD), subject, "why");
    expect(revalidation.expects(subject)).toBe(true);
    revalidation.identifyOpener(THREAD);
    expect([revalidation.expects(subject), revalidation.size]).toEqual([false, 0]);
    expect(revalidation.identifyOpener(THREAD).comesBackFor(subject)).toBe(false);
  });

  test("for a thread without a thread id in this namespace, one return is expected for each ESTALE", () => {
    const revalidation = new Revalidation();
    const [subject, other] = [{}, {}];
    for (let sent = 0; sent < 2; sent++) revalidation.lookAgain(revalidation.identifyOpener(0), subject, "why");
    expect(revalidation.identifyOpener(0).comesBackFor(other)).toBe(false);
    const back = [1, 2, 3].map(() => revalidation.identifyOpener(0).comesBackFor(subject));
    expect(back).toEqual([true, true, false]);
    expect(revalidation.expects(subject)).toBe(false);
  });

  test("a thread that never comes back is forgotten, and its file can be garbage-collected", async () => {
    const revalidation = new Revalidation();
    const subjects: WeakRef<object>[] = [];
    for (let thread = 0; thread < 5000; thread++) {
      const subject = { content: new Uint8Array(10_000) };
      subjects.push(new WeakRef(subject));
      revalidation.lookAgain(revalidation.identifyOpener(THREAD + thread), subject, "why");
    }
    expect(revalidation.size).toBe(1024);
    // A WeakRef keeps its target until the job that made it is over.
    await Bun.sleep(0);
    Bun.gc(true);
    expect(subjects.filter((one) => one.deref() !== undefined).length).toBeLessThan(100);
  });
});

describe("a note of a thread", () => {
  test("a note about a thread expires", async () => {
    const notes = new ByThread<string>({ milliseconds: 5, notes: 10 });
    notes.set(THREAD, "first");
    expect(notes.get(THREAD)).toBe("first");
    await Bun.sleep(10);
    expect([notes.get(THREAD), notes.size]).toEqual([undefined, 0]);
    notes.set(THREAD, "second");
    await Bun.sleep(10);
    notes.set(THREAD + 1, "other");
    expect(notes.size).toBe(1);
  });

  test("a note about a thread is not used for another thread with the same number", async () => {
    const notes = new ByThread<string>({ milliseconds: 60_000, notes: 10 });
    const child = Bun.spawn(["cat"], { stdin: "pipe" });
    notes.set(child.pid, "mine");
    expect(notes.get(child.pid)).toBe("mine");
    child.kill();
    await child.exited;
    expect(notes.get(child.pid)).toBeUndefined();
  });

  test("a note about a thread is dropped for newer ones when there are too many", () => {
    const notes = new ByThread<number>({ milliseconds: 60_000, notes: 3 });
    for (let thread = 0; thread < 4; thread++) notes.set(THREAD + thread, thread);
    notes.set(THREAD + 1, 10);
    notes.set(THREAD + 4, 4);
    expect([0, 1, 2, 3, 4].map((thread) => notes.get(THREAD + thread))).toEqual([undefined, 10, undefined, 3, 4]);
  });
});
