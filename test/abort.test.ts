import { expect, test } from "bun:test";
import { abortable, memoize, memoizeSuccess, pause, waitUntil, within } from "../src/abort.ts";

test("a pause ends when its signal is aborted, with the signal's reason or with a given one", async () => {
  const stop = new AbortController();
  const [plain, worded] = [pause(60_000, stop.signal), pause(60_000, stop.signal, () => new Error("cancelled"))];
  stop.abort(new Error("enough"));
  await expect(plain).rejects.toThrow("enough");
  await expect(worded).rejects.toThrow("cancelled");
  await expect(pause(60_000, stop.signal)).rejects.toThrow("enough");
});

test("work that ignores its signal is abandoned", async () => {
  const stop = new AbortController();
  const waiting = abortable(stop.signal, new Promise(() => {}));
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  expect(await abortable(new AbortController().signal, Promise.resolve(1))).toBe(1);
});

test("work has its time limit, and no timer outlives it", async () => {
  await expect(within(1, new Promise(() => {}), () => new Error("late"))).rejects.toThrow("late");
  expect(await within(60_000, Promise.resolve(1), () => new Error("late"))).toBe(1);
  await expect(within(60_000, Promise.reject(new Error("broken")), () => new Error("late"))).rejects.toThrow("broken");
});

test("waiting for a condition ends when it holds, or after a time limit", async () => {
  let looks = 0;
  expect(await waitUntil(() => ++looks === 3, 60_000, 1)).toBe(true);
  expect(looks).toBe(3);
  expect(await waitUntil(() => false, 5, 1)).toBe(false);
});

test("a memoized result is computed once; a failure is kept, or retried", async () => {
  let calls = 0;
  const failing = async () => {
    calls++;
    throw new Error(`call ${calls}`);
  };
  const [kept, retried] = [memoize(failing), memoizeSuccess(failing)];
  await expect(kept()).rejects.toThrow("call 1");
  await expect(kept()).rejects.toThrow("call 1");
  await expect(retried()).rejects.toThrow("call 2");
  await expect(retried()).rejects.toThrow("call 3");
});
