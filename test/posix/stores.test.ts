/** The kernel's files in which a mount stores what programs write without a request (passthrough). */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { release } from "node:os";
import { MOST_SPARE } from "../../src/tree/content/store.ts";
import { execute, llmfs, missing } from "./ground.ts";

/** Passthrough exists since Linux 6.9. */
const [major = 0, minor = 0] = release().split(".").map(Number);
const lack = missing() ?? (major > 6 || (major === 6 && minor >= 9) ? undefined : "Linux 6.9 or newer");

/** This process serves the mount. */
function countDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

describe.skipIf(lack !== undefined)(`stores${lack === undefined ? "" : ` (${lack})`}`, () => {
  test("new files get stores that were made in a pause, and empty files return them", async () => {
    const before = countDescriptors();
    await using ground = await llmfs();
    const create = (name: string, count: number, text: string) => {
      const script = 'for i in $(seq "$2"); do printf "$3" > "$1$i"; done';
      return execute(["/bin/sh", "-c", script, "sh", name, String(count), text], "", ground.directory);
    };
    await create("first", 1, "x");
    const made = Math.min(500, MOST_SPARE - 10);
    for (const until = performance.now() + 10_000; countDescriptors() < before + made; await Bun.sleep(10)) {
      if (performance.now() > until) throw new Error(`${countDescriptors()} descriptors after ${before}`);
    }
    // Pauses make more of them in the meantime, but only if some are missing.
    const ready = countDescriptors();
    await create("empty", 700, "");
    await create("full", 200, "text");
    expect(countDescriptors()).toBeLessThanOrEqual(ready + 20);
  });
});
