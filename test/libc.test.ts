import { ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import * as libc from "../src/libc.ts";

test("an address stays the array's own when the array is read in a hot loop and its buffer is asked for", () => {
  const small = new Int32Array(36);
  const address = libc.address(small);
  const sum = () => small.reduce((total, _word, at) => total + (small[at] ?? 0), 0);
  let total = 0;
  for (let round = 0; round < 200_000; round++) total += sum();
  expect(total).toBe(0);
  expect(small.buffer.byteLength).toBe(144);
  expect(ptr(small)).toBe(address);
});
