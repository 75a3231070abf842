import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { compare, report, shrink } from "./differential.ts";
import { type Ground, llmfs, missing, tmpfs, unassisted } from "./ground.ts";
import { randomProgram } from "./random.ts";

/** Even seeds run on a mount without passthrough. More, and others: LLMFS_SEEDS=1000-1200 LLMFS_STEPS=2000 bun test test/posix/differential.test.ts */
const [FIRST = 1, LAST = 12] = (process.env.LLMFS_SEEDS ?? "1-12").split("-").map(Number);
const STEPS = Number(process.env.LLMFS_STEPS ?? 400);

const lack = missing();

describe.skipIf(lack !== undefined)(`a mount and a tmpfs${lack === undefined ? "" : ` (${lack})`}`, () => {
  let right: Ground;
  let mounts: Ground[] = [];
  beforeAll(async () => {
    right = await tmpfs();
    mounts = [await unassisted(), await llmfs()];
  });
  afterAll(async () => {
    for (const ours of mounts) await ours[Symbol.asyncDispose]();
    await right[Symbol.asyncDispose]();
  });

  for (let seed = FIRST; seed <= LAST; seed++) {
    test(`answer the same to ${STEPS} random calls, seed ${seed}`, async () => {
      const program = randomProgram(seed, STEPS);
      const ours = mounts[seed % 2];
      if (ours === undefined) throw new Error("there is no mount");
      const difference = await compare(program, right, ours);
      if (difference === undefined) return;
      const short = await shrink(program.slice(0, difference.at + 1), right, ours);
      const shown = (await compare(short, right, ours)) ?? difference;
      expect().fail(report(short, shown, right, ours));
    }, 600_000);
  }
});
