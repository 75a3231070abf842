/** A kernel that lets requests wait for a limited time only, and would end the whole mount after it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { contentOf, describeMounted, Gate, mounted } from "../support/mounted.ts";

setDefaultTimeout(120_000);

const SYSCTL = "/proc/sys/fs/fuse/max_request_timeout";
/** The shortest time that the kernel accepts, in seconds. */
const SHORTEST = "15";
const isMissing = !existsSync(SYSCTL) || process.getuid?.() !== 0;

/** Mounts while the kernel has a limit, which then holds for this mount only. */
async function mountedWithLimit(answer: NonNullable<Parameters<typeof mounted>[0]>["answer"]) {
  const before = readFileSync(SYSCTL, "utf8");
  writeFileSync(SYSCTL, SHORTEST);
  try {
    return await mounted({ pending: ["slow.txt", "b.txt"], ...(answer && { answer }) });
  } finally {
    writeFileSync(SYSCTL, before);
  }
}

describeMounted("a kernel that limits how long a request waits", () => {
  test.skipIf(isMissing)(
    "an open that waits longer than the kernel allows fails in time, generation continues, and a later open finds the content (needs root and Linux 6.15)",
    async () => {
      const gate = new Gate();
      await using m = await mountedWithLimit(gate.holds());
      const { status, stderr } = await m.sh("cat slow.txt");
      expect([status, stderr]).toEqual([1, expect.stringContaining("timed out")]);
      gate.open();
      expect(await m.out("cat slow.txt b.txt")).toBe(contentOf("slow.txt") + contentOf("b.txt"));
      expect(m.asked("slow.txt")).toBe(1);
    },
  );
});
