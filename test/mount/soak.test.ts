/** The soak test in short, and that it notices what it looks for. For 20 minutes: `npm run soak`. */
import { expect, test } from "bun:test";
import { describeMounted } from "../support/mounted.ts";
import { soak } from "./soak.ts";

describeMounted("a mount that is used in every way", () => {
  test("shows the right contents, and takes no more after many rounds than after a few", async () => {
    const { rounds, checks } = await soak({ seconds: 60, seed: Math.floor(Date.now() / 1000) });
    expect(checks).toBeGreaterThan(rounds * 100);
  }, 900_000);

  test("is noticed to lose memory, descriptors and processes", async () => {
    await expect(soak({ seconds: 60, broken: "leaks" })).rejects.toThrow(/descriptors: .*processes: .*memory: /);
  }, 900_000);

  test("is noticed to keep inodes and their bytes", async () => {
    await expect(soak({ seconds: 60, broken: "inodes" })).rejects.toThrow(/inodes: .*bytes: /);
  }, 900_000);

  test("is noticed to show old content", async () => {
    await expect(soak({ seconds: 60, broken: "content" })).rejects.toThrow(/in round 5: .* instead of /);
  }, 900_000);
});
