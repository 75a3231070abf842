import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isOnLocalDisk } from "../../../src/recording/stores/local-disk.ts";

test("a folder of temporary files is on this machine, and a missing one is nowhere yet", () => {
  expect(isOnLocalDisk(tmpdir())).toBe(true);
  expect(isOnLocalDisk(join(tmpdir(), "llmfs-none"))).toBeUndefined();
});
