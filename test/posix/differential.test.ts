import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { compare, report, shrink } from "./differential.ts";
import { type Ground, llmfs, lowPower, missing, ordinary, tmpfs, unassisted } from "./ground.ts";
import { randomProgram } from "./random.ts";

/**
 * Each seed runs on one kind of mount, or on every kind with LLMFS_EVERY_MOUNT=1. For more and longer programs:
 * LLMFS_SEEDS=1000-1200 LLMFS_STEPS=2000 bun test test/posix/differential.test.ts
 */
const [FIRST = 1, LAST = 12] = (process.env.LLMFS_SEEDS ?? "1-12").split("-").map(Number);
const STEPS = Number(process.env.LLMFS_STEPS ?? 400);
const EVERY = process.env.LLMFS_EVERY_MOUNT === "1";

const KINDS = [llmfs, unassisted, ordinary, lowPower];

const lack = missing();

describe.skipIf(lack !== undefined)(`a mount and a tmpfs${lack === undefined ? "" : ` (${lack})`}`, () => {
  let right: Ground;
  let mounts: Ground[] = [];
  beforeAll(async () => {
    right = await tmpfs();
    mounts = await Promise.all(KINDS.map((start) => start()));
  });
  afterAll(async () => {
    for (const ours of mounts) await ours[Symbol.asyncDispose]();
    await right[Symbol.asyncDispose]();
  });

  for (let seed = FIRST; seed <= LAST; seed++) {
    test(`both filesystems give the same results for ${STEPS} random calls, seed ${seed}`, async () => {
      const program = randomProgram(seed, STEPS);
      const chosen = EVERY ? mounts : mounts.filter((_, index) => index === seed % mounts.length);
      for (const ours of chosen) {
        const difference = await compare(program, right, ours);
        if (difference === undefined) continue;
        const short = await shrink(program.slice(0, difference.at + 1), right, ours);
        const shown = (await compare(short, right, ours)) ?? difference;
        expect().fail(report(short, shown, right, ours));
      }
    }, 600_000);
  }
});
