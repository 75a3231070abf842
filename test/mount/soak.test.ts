/** A short soak test, and checks that it notices what it looks for. For 20 minutes: `npm run soak`. */
import { expect, test } from "bun:test";
import { describeMounted, IS_ROOT } from "../support/mounted.ts";
import { testWith } from "../support/needs.ts";
import { soak } from "./soak.ts";

// These test the soak test itself, so running them once is enough.
const testOnce = testWith(IS_ROOT ? undefined : "root");

describeMounted("a mount that is used in every way", () => {
  test("a mount that is used in every way shows the right contents, and uses no more resources after many rounds than after a few", async () => {
    const { rounds, checks } = await soak({ seconds: 60, seed: Math.floor(Date.now() / 1000) });
    expect(checks).toBeGreaterThan(rounds * 100);
  }, 900_000);

  testOnce(
    "the soak test fails if a mount leaks memory, descriptors and processes",
    async () => {
      await expect(soak({ seconds: 5, window: 2, broken: "leaks" })).rejects.toThrow(
        /descriptors: .*processes: .*memory: /,
      );
    },
    900_000,
  );

  testOnce(
    "the soak test fails if a mount keeps inodes and their bytes",
    async () => {
      await expect(soak({ seconds: 5, window: 2, broken: "inodes" })).rejects.toThrow(/inodes: .*bytes: /);
    },
    900_000,
  );

  testOnce(
    "the soak test fails if a mount shows old content",
    async () => {
      await expect(soak({ seconds: 5, window: 2, broken: "content" })).rejects.toThrow(/in round 5: .* instead of /);
    },
    900_000,
  );
});
