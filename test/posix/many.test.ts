/**
 * Many processes at once in one mount (many.c), and what is held afterwards. For minutes: LLMFS_STEPS=100000 bun test
 * test/posix/many.test.ts, and LLMFS_SEED for other steps.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startFilesystem } from "../../src/mount/filesystem.ts";
import type { HeldCounts } from "../../src/rpc/messages.ts";
import { compiled, execute, missing, tmpfs } from "./ground.ts";

const PROCESSES = 16;
const STEPS = Number(process.env.LLMFS_STEPS ?? 4000);
const SEED = process.env.LLMFS_SEED ?? "1";

function work(directory: string, steps: number): Promise<string> {
  return execute([compiled("many"), directory, SEED, String(PROCESSES), String(steps)], "", "/");
}

const lack = missing();

describe.skipIf(lack !== undefined)(`${PROCESSES} processes at once${lack === undefined ? "" : ` (${lack})`}`, () => {
  test("many processes find only correct contents on a tmpfs", async () => {
    await using ground = await tmpfs();
    expect(await work(ground.directory, STEPS / 10)).toBe("ok\n");
  }, 600_000);

  for (const passthrough of [true, false]) {
    test(`many processes find only correct contents ${passthrough ? "" : "without passthrough "}and leave nothing behind`, async () => {
      const mountpoint = mkdtempSync(join(tmpdir(), "posix-many-"));
      try {
        await using filesystem = await startFilesystem({
          mountpoint,
          size: 1 << 30,
          passthrough,
          generate: () => Promise.reject(new Error("nothing is generated here")),
          log: (level, tag, text) => {
            if (level === "warn" || level === "error") throw new Error(`${level} [${tag}] ${text}`);
          },
        });
        const settled = async (what: string, holds: (held: HeldCounts) => boolean) => {
          for (const until = performance.now() + 10_000; ; await Bun.sleep(10)) {
            const held = await filesystem.check();
            if (holds(held)) return held;
            if (performance.now() > until) throw new Error(`${what}: ${JSON.stringify(held)}`);
          }
        };
        expect(await work(mountpoint, STEPS)).toBe("ok\n");
        // The kernel releases files a little after they are closed.
        const before = await settled("released", ({ handles }) => handles === 0);
        expect(before.inodes).toBe(before.named);
        expect(before.named).toBeGreaterThan(10);
        await execute(["/bin/sh", "-c", 'rm -r "$1"/*', "sh", mountpoint], "", "/");
        expect(await settled("forgotten", ({ nodes }) => nodes === 1)).toEqual({
          nodes: 1,
          handles: 0,
          named: 1,
          inodes: 1,
        });
        // Inodes that the kernel still knows when the mount ends.
        await execute(
          ["/bin/sh", "-c", 'echo a > "$1/a"; mkdir "$1/d"; ln "$1/a" "$1/d/b"', "sh", mountpoint],
          "",
          "/",
        );
        await filesystem.unmount();
        expect(await filesystem.check()).toEqual({ nodes: 0, handles: 0, named: 3, inodes: 3 });
      } finally {
        rmSync(mountpoint, { recursive: true });
      }
    }, 3_600_000);
  }
});
