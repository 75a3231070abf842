/** When idle processors are kept from halting. A file replaces /dev/cpu_dma_latency and collects all requests. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keepAwake } from "../../src/fuse/awake.ts";

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

describe("processors are kept awake", () => {
  test("processors are kept awake while requests follow each other closely, and no longer", () => {
    const awake = keepAwake(2, at("latency"), at("driver"));
    expect(asked()).toEqual([]);
    awake.noteRequests(64, 6);
    awake.noteRequests(64, 2);
    expect(asked()).toEqual([0]);
    awake.noteRequests(64, 7);
    awake.noteRequests(64, 70);
    expect(asked()).toEqual([0, ANY]);
    awake.close();
  });

  test("processors are kept awake no longer than the first pause", () => {
    const awake = keepAwake(2, at("latency"), at("driver"));
    awake.notePause();
    awake.noteRequests(64, 1);
    awake.notePause();
    awake.notePause();
    expect(asked()).toEqual([0, ANY]);
    awake.noteRequests(64, 1);
    expect(asked()).toEqual([0, ANY, 0]);
    awake.close();
  });
});

describe("processors are not kept awake", () => {
  const unasked = (processors: number, device = at("latency"), driver = at("driver")) => {
    const awake = keepAwake(processors, device, driver);
    awake.noteRequests(64, 1);
    awake.notePause();
    awake.close();
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
