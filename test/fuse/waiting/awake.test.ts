/** When idle processors are kept from halting. A file replaces /dev/cpu_dma_latency and collects all requests. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openHold } from "../../../src/fuse/waiting/awake.ts";

let folder: string;
const at = (name: string) => join(folder, name);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-awake-"));
  writeFileSync(at("latency"), "");
  writeFileSync(at("driver"), "haltpoll\n");
});

afterEach(() => rmSync(folder, { recursive: true }));

/** The latencies requested so far, in µs. */
function asked(): number[] {
  const bytes = readFileSync(at("latency"));
  return [...new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)];
}

const ANY = 2_000_000_000;

test("processors are kept awake while that is asked for, and not from the start", () => {
  const hold = openHold(2, at("latency"), at("driver"));
  expect(asked()).toEqual([]);
  hold?.set(true);
  hold?.set(false);
  hold?.close();
  expect(asked()).toEqual([0, ANY]);
});

describe("processors are not kept awake", () => {
  const unasked = (processors: number, device = at("latency"), driver = at("driver")) => {
    const hold = openHold(processors, device, driver);
    hold?.set(true);
    hold?.close();
    return asked();
  };

  test("processors are not kept awake with one processor, where waking a caller is a context switch", () =>
    expect(unasked(1)).toEqual([]));
  test("processors are not kept awake with very many processors, which would all be kept awake", () =>
    expect(unasked(128)).toEqual([]));
  test("processors are not kept awake if the idle driver does not halt into a host", () => {
    writeFileSync(at("driver"), "intel_idle\n");
    expect(unasked(2)).toEqual([]);
  });
  test("processors are not kept awake without an idle driver", () =>
    expect(unasked(2, at("latency"), at("none"))).toEqual([]));
  test("processors are not kept awake without the device", () => expect(unasked(2, at("none"))).toEqual([]));
});
