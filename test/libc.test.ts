import { ptr } from "bun:ffi";
import { describe, expect, test } from "bun:test";
import { release } from "node:os";
import * as libc from "../src/libc.ts";
import { zombieStatusOf } from "../src/procfs.ts";

test("an array keeps its address when it is read in a hot loop and its buffer is requested", () => {
  const small = new Int32Array(36);
  const address = libc.address(small);
  const sum = () => small.reduce((total, _word, at) => total + (small[at] ?? 0), 0);
  let total = 0;
  for (let round = 0; round < 200_000; round++) total += sum();
  expect(total).toBe(0);
  expect(small.buffer.byteLength).toBe(144);
  expect(ptr(small)).toBe(address);
});

test("how a process ended is known after its parent has asked for it, on Linux 6.15 and newer", async () => {
  const child = Bun.spawn(["sleep", "60"]);
  const handle = libc.openProcess(child.pid);
  expect(zombieStatusOf(child.pid)).toBeUndefined();
  expect(libc.exitStatusOf(handle)).toBeUndefined();
  child.kill("SIGKILL");
  await child.exited;
  const [major = 0, minor = 0] = release().split(".").map(Number);
  expect(libc.exitStatusOf(handle)).toBe(major > 6 || (major === 6 && minor >= 15) ? 9 : undefined);
  libc.close(handle);
});

describe("a write by another thread", () => {
  test("a write by another thread does not block this thread", async () => {
    const [out, into] = libc.pipe();
    const write = libc.writeAsync(into, Buffer.from("hello, and more"), 5);
    if (write === undefined) throw new Error("the C library has no asynchronous writes");
    for (const until = performance.now() + 10_000; !write.done(); await Bun.sleep(1)) {
      if (performance.now() > until) throw new Error("it is never done");
    }
    const buffer = Buffer.alloc(100);
    expect(buffer.toString("utf8", 0, libc.read(out, buffer, 100))).toBe("hello");
    expect(write.cancel()).toBe(false);
    for (const fd of [out, into]) libc.close(fd);
  });

  test("a write by another thread waits as the kernel does; it can be cancelled before it has begun, and not after that", async () => {
    const [out, into] = libc.pipe();
    const size = libc.growPipe(into, 4096);
    const fill = Buffer.alloc(size, "x");
    expect(libc.write(into, fill, size)).toBe(size);
    const first = libc.writeAsync(into, Buffer.from("first"), 5);
    const second = libc.writeAsync(into, Buffer.from("second"), 6);
    if (first === undefined || second === undefined) throw new Error("the C library has no asynchronous writes");
    expect([first.done(), second.done()]).toEqual([false, false]);
    expect(second.cancel()).toBe(true);
    await Bun.sleep(20);
    expect(first.cancel()).toBe(false);
    libc.read(out, fill, size);
    while (!first.done()) await Bun.sleep(1);
    const buffer = Buffer.alloc(100);
    expect(buffer.toString("utf8", 0, libc.read(out, buffer, 100))).toBe("first");
    for (const fd of [out, into]) libc.close(fd);
  });

  test("a write by another thread to a descriptor that cannot be written fails there too", async () => {
    const write = libc.writeAsync(-1, Buffer.from("x"), 1);
    while (write?.done() === false) await Bun.sleep(1);
  });
});
