/** What `.llmfs/status.json` says about the store of recordings. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { describeMounted, mounted } from "../support/mounted.ts";
import { programs, testWith } from "../support/needs.ts";
import { BINARY, eventually } from "../support/program.ts";
import { redisServer } from "../support/servers.ts";

setDefaultTimeout(120_000);

const withRedis = testWith(programs("redis-server"));

describeMounted("the store in status.json", () => {
  withRedis(
    "status.json counts hits and misses, and says since when the store does not answer and what it lacks",
    async () => {
      await using redis = await redisServer();
      // A third of this is how long an answer waits for the store.
      const args = ["--recordings", redis.url, "--timeout", "6s"];
      await using m = await mounted({ pending: ["a.txt", "b.txt", "c.txt"], args });
      const status = () => JSON.parse(readFileSync(`${m.dir}/.llmfs/status.json`, "utf8")).recordings;
      expect(status()).toEqual({});
      await m.out("cat a.txt b.txt");
      const well = status();
      expect(well).toMatchObject({ store: redis.url, reachable: true, hits: 0, misses: 2, waits: 0, waiting: 0 });
      expect(well.onlyLocal).toBe(0);
      expect(Date.now() - Date.parse(well.since)).toBeLessThan(60_000);
      const shown = async (...flags: string[]) =>
        (await m.sandbox.llmfs(["status", ...flags, m.dir], { program: BINARY })).stdout;
      expect(await shown()).toMatch(/\n {13}reachable for \d+ s; 0 answers used, 2 not recorded before\n/);
      expect(JSON.parse(await shown("--json")).store).toEqual(well);
      await redis.kill();
      await m.out("cat c.txt");
      await eventually("the store is reported as away", () => status().reachable === false);
      expect(Date.parse(status().since)).toBeGreaterThanOrEqual(Date.parse(well.since));
      expect(status()).toMatchObject({ misses: 3, onlyLocal: 1 });
      expect(await shown()).toMatch(
        /NOT reachable for \d+ s; 0 answers used, 3 not recorded before; 1 answer only on this machine/,
      );
    },
  );

  test("status.json has no times for a folder of recordings", async () => {
    await using m = await mounted({ pending: ["a.txt"], args: ["--recordings", "rec"] });
    await m.out("cat a.txt");
    const { recordings } = JSON.parse(readFileSync(`${m.dir}/.llmfs/status.json`, "utf8"));
    expect(recordings).toMatchObject({ reachable: null, since: null, hits: 0, misses: 1, onlyLocal: 0 });
  });
});
