/**
 * Times show what was done first, in every way to read them (order.c). For more rounds: LLMFS_ROUNDS=40 LLMFS_SEED=7
 * bun test test/posix/order.test.ts
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { compiled, type Ground, llmfs, lowPower, missing, ordinary, tmpfs, unassisted } from "./ground.ts";

const ROUNDS = Number(process.env.LLMFS_ROUNDS ?? 2);
const SEED = Number(process.env.LLMFS_SEED ?? 1);

const GROUNDS = [tmpfs, llmfs, unassisted, ordinary, lowPower];

const lack = missing();

describe.skipIf(lack !== undefined)(`the time of a change${lack === undefined ? "" : ` (${lack})`}`, () => {
  let elsewhere: Ground;
  beforeAll(async () => {
    elsewhere = await tmpfs();
  });
  afterAll(async () => {
    await elsewhere[Symbol.asyncDispose]();
  });

  for (const start of GROUNDS) {
    test(`times show the order of operations, in every way to read them: ${start.name}`, async () => {
      await using ground = await start();
      const said = await ground.sh(`${compiled("order")} . ${elsewhere.directory} ${SEED} ${ROUNDS}`);
      expect(said).toBe("end\n");
    }, 300_000);
  }
});
