/** When recordings get onto the disk, and what a crash of the machine before that does. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LanguageModel } from "../../src/llm/llm.ts";
import { DiskFlush } from "../../src/recording/disk-flush.ts";
import { createRecordedModel } from "../../src/recording/recorded-model.ts";
import { createFolderStore, fileName } from "../../src/recording/stores/folder.ts";
import { recordingOf } from "../support/store-contract.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "llmfs-flush-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The flushes of a process that records `count` answers, and of the programs that it starts, in their order. */
function flushesOf(count: number, how: "flush" | "settle"): readonly string[] {
  const trace = join(folder, "trace");
  const child = [
    process.execPath,
    join(import.meta.dir, "../support/flush-child.ts"),
    join(folder, how),
    `${count}`,
    how,
  ];
  const calls = "trace=fsync,fdatasync,syncfs,sync,rename";
  const { exitCode, stderr } = Bun.spawnSync(["strace", "-f", "-qq", "-e", calls, "-o", trace, ...child]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  return readFileSync(trace, "utf8")
    .split("\n")
    .flatMap((line) => /^\d+ +(\w*sync\w*)\(|rename\("\/(recorded|flushed)"/.exec(line)?.slice(1) ?? [])
    .filter((call) => call !== undefined);
}

describe.skipIf(Bun.which("strace") === null)("flushing (needs strace)", () => {
  test("no answer is flushed by itself, and many are flushed together", () => {
    for (const how of ["flush", "settle"] as const) {
      expect(flushesOf(100, how)).toEqual(["recorded", "syncfs", "flushed"]);
    }
  });

  test("a few answers are flushed one after the other, and then their names", () => {
    expect(flushesOf(3, "flush")).toEqual(["recorded", "fsync", "fsync", "fsync", "fsync", "flushed"]);
  });
});

test("what was removed in the meantime is not flushed, and every other failure is reported once", async () => {
  const disk = new DiskFlush(folder, 1);
  disk.add(join(folder, "gone"));
  await disk.flush();
  writeFileSync(join(folder, "file"), "x");
  disk.add(join(folder, "file/below"));
  await expect(disk.flush()).rejects.toThrow("ENOTDIR");
  await disk.flush();
});

test.each(["nothing", "zeros", "half"])(
  "a recording of which a crash left %s is not used, and recorded again",
  async (left) => {
    const one = recordingOf("hello\n".repeat(100), "/a.txt");
    await createFolderStore(folder).put(one);
    const path = join(folder, fileName(one.label, one.key));
    const whole = readFileSync(path);
    if (left === "zeros") writeFileSync(path, Buffer.alloc(whole.length));
    else truncateSync(path, left === "nothing" ? 0 : whole.length >> 1);
    let asked = 0;
    const model: LanguageModel = {
      complete: async () => {
        asked += 1;
        return one.answer;
      },
    };
    const warnings: string[] = [];
    const store = createFolderStore(folder, { warn: (line) => warnings.push(line) });
    const recorded = createRecordedModel(model, store, { mode: "auto" });
    expect((await recorded.complete(one.request, { label: one.label })).text).toBe(one.answer.text);
    expect([asked, warnings.length]).toEqual([1, 1]);
    expect(readFileSync(path)).toEqual(whole);
    const replayed = createRecordedModel(undefined, createFolderStore(folder), { mode: "replay" });
    expect((await replayed.complete(one.request, { label: one.label })).text).toBe(one.answer.text);
  },
);

test("a process that dies while it writes leaves no recording", async () => {
  const one = recordingOf("hello\n", "/a.txt");
  await createFolderStore(folder).put(one);
  const path = join(folder, fileName(one.label, one.key));
  const whole = readFileSync(path);
  rmSync(path);
  writeFileSync(join(folder, ".1-00000000-0000-0000-0000-000000000000.tmp"), whole.subarray(0, 50));
  const store = createFolderStore(folder, { warn: (line) => expect(line).toBe("") });
  expect(await store.get(one.key, one.label)).toBeUndefined();
  expect(await store.list()).toEqual([]);
  await store.put(one);
  expect(readFileSync(path)).toEqual(whole);
  expect(readdirSync(folder)).toHaveLength(2);
});
