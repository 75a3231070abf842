import { expect, test } from "bun:test";
import { Semaphore } from "../../src/llm/semaphore.ts";

const never = new AbortController().signal;

/** Whether a slot is free right now. */
async function isFree(slots: Semaphore): Promise<boolean> {
  try {
    const waiting = new AbortController();
    const slot = slots.take(waiting.signal);
    setTimeout(() => waiting.abort(new Error("none is free")), 5);
    (await slot)[Symbol.dispose]();
    return true;
  } catch {
    return false;
  }
}

test("the longest waiting gets the next slot", async () => {
  const slots = new Semaphore(1);
  const first = await slots.take(never);
  const order: number[] = [];
  const others = [1, 2, 3].map(async (index) => {
    using _slot = await slots.take(never);
    order.push(index);
  });
  first[Symbol.dispose]();
  await Promise.all(others);
  expect(order).toEqual([1, 2, 3]);
});

test("a slot is released while its holder waits, and taken again after the last of several waits", async () => {
  const slots = new Semaphore(1);
  const slot = await slots.take(never);
  const [one, two] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const first = slot.without(() => one.promise);
  const second = slot.without(() => two.promise);
  expect(await isFree(slots)).toBe(true);
  one.resolve();
  await first;
  expect(await isFree(slots)).toBe(true);
  two.resolve();
  await second;
  expect(await isFree(slots)).toBe(false);
  slot[Symbol.dispose]();
  expect(await isFree(slots)).toBe(true);
});

test("a slot returned to a holder that has ended in the meantime is free", async () => {
  const slots = new Semaphore(1);
  const slot = await slots.take(never);
  const gate = Promise.withResolvers<void>();
  const waiting = slot.without(() => gate.promise);
  const other = await slots.take(never);
  gate.resolve();
  await Bun.sleep(0);
  slot[Symbol.dispose]();
  other[Symbol.dispose]();
  await waiting;
  expect(await isFree(slots)).toBe(true);
});

test("a slot returned to a holder that waits again is free", async () => {
  const slots = new Semaphore(1);
  const slot = await slots.take(never);
  const gate = Promise.withResolvers<void>();
  const first = slot.without(() => gate.promise);
  const other = await slots.take(never);
  gate.resolve();
  await Bun.sleep(0);
  const second = slot.without(() => new Promise(() => {}));
  second.catch(() => {});
  other[Symbol.dispose]();
  await first;
  expect(await isFree(slots)).toBe(true);
});

test("a limit below one is an error", () => {
  for (const limit of [0, -1, 1.5, Number.NaN]) expect(() => new Semaphore(limit)).toThrow("limit");
});
