/**
 * Random operations on one file, compared with a model of it in memory (data.c). For longer runs:
 * LLMFS_OPERATIONS=1000000 bun test test/posix/data.test.ts, and LLMFS_SEED for other operations.
 */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { join } from "node:path";
import { compiled, execute, type Ground, llmfs, missing, tmpfs, unassisted } from "./ground.ts";

const OPERATIONS = Number(process.env.LLMFS_OPERATIONS ?? 200_000);
const SEED = Number(process.env.LLMFS_SEED ?? 1);

/** The letters of data.c, the largest size of the file, and the share of all operations. */
const MODES = [
  ["one handle, small files", "-", 10_000, 0.1],
  ["one handle", "-", 300_000, 0.2],
  ["one handle, opened again and again, sizes around the heap limit", "r", 140_000, 0.15],
  ["mappings", "m", 300_000, 0.15],
  ["two handles", "t", 300_000, 0.1],
  ["two handles, opened again and again, with O_DIRECT", "drt", 300_000, 0.15],
  ["a file without a name", "ut", 200_000, 0.15],
] as const;

const lack = missing();

describe.skipIf(lack !== undefined)(`a file and its model${lack === undefined ? "" : ` (${lack})`}`, () => {
  for (const [name, start, share] of [
    ["tmpfs", tmpfs, 0.1],
    ["llmfs", () => llmfs(), 0.5],
    ["llmfs without passthrough", unassisted, 0.4],
  ] as const) {
    describe(name, () => {
      let ground: Ground;
      beforeAll(async () => {
        ground = await start();
      });
      afterAll(async () => {
        await ground[Symbol.asyncDispose]();
      });
      for (const [title, letters, largest, part] of MODES) {
        const count = Math.round(OPERATIONS * share * part);
        test(`a file and its model agree after ${count} operations: ${title}`, async () => {
          const file = join(ground.directory, `data-${letters}${largest}`);
          await execute([compiled("data"), file, String(SEED), String(count), String(largest), letters], "", "/");
        }, 3_600_000);
      }
    });
  }
});
